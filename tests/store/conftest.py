"""Runs and nodes to store."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.archive import CallRecord, NodeRecord, RunRecord, Store
from prismenv.store.database import open_store
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import CaseResult, Verdict

MakeRun = Callable[..., RunRecord]
MakeNode = Callable[..., NodeRecord]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".prismenv" / "prismenv.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = open_store(file)
    yield opened
    opened.close()


@pytest.fixture
def make_run() -> MakeRun:
    def make(run_id: str = "run-1", **changes: Any) -> RunRecord:
        facts: dict[str, Any] = {
            "name": "quickstart",
            "environment": "environment_coding_challenge",
            "status": "running",
            "seed": 7,
            "recipe": {"name": "quickstart", "models": {"default": "simulated/perfect"}},
            "started_at": 1000.0,
        }
        return RunRecord(run_id=run_id, **{**facts, **changes})

    return make


@pytest.fixture
def make_node() -> MakeNode:
    def make(index: int = 0, *, passed: bool = True, attempts: int = 2, run_id: str = "run-1") -> NodeRecord:
        trail = tuple(attempt(number, passed=passed and number == attempts - 1) for number in range(attempts))
        result = ChallengeResults(
            success=passed,
            data_trail=trail,
            problems=(ProblemSummary(problem_index=0, success=passed, attempts=attempts, title="Sum"),),
            success_rate=float(passed),
        )
        request = NodeRequest(index, f"loops|easy|{index}", ("loops", "sorting"), "easy", 2**62 + index, {"n": [1, 2]})
        outcome = NodeOutcome(request, result, "none" if passed else "candidate", wall_seconds=0.5)
        usage = Usage(model="simulated/perfect", calls=1, prompt_tokens=10, completion_tokens=5, cost_usd=None)
        calls = tuple(
            CallRecord("problem_solver", "simulated/perfect", f"solve {i}", "ok", usage, 0.1) for i in (1, 2, 3)
        )
        events = (Event("attempt_judged", run_id, 1001.0, {"attempt": 0}), Event("node_finished", run_id, 1002.0))
        return NodeRecord(outcome, calls, events)

    return make


def attempt(number: int, *, passed: bool) -> TrailRecord:
    verdict = Verdict(
        outcome="passed" if passed else "failed",
        fault="none" if passed else "candidate",
        cases=(CaseResult(name="test_sum", outcome="passed" if passed else "failed", wall_seconds=0.01),),
        tests_passed_num=int(passed),
        tests_failed_num=int(not passed),
        harness_hash="abc",
    )
    return TrailRecord(
        problem_statement="Add two numbers.",
        test_cases="class TestSum: ...",
        solution_code=f"def add(a, b):\n    return a + b  # {number}",
        success=passed,
        output="All tests passed." if passed else "1 failed",
        tests_passed_num=int(passed),
        tests_failed_num=int(not passed),
        attempt_num=number,
        verdict=verdict,
        fault="none" if passed else "candidate",
        usage={"problem_solver": Usage(calls=1, prompt_tokens=10)},
        own_key={"nested": [1, None, "ä"]},
    )
