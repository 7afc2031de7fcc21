"""Stored solutions are judged again, and what changed is reported without altering the run."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from prismenv.contracts.archive import NodeRecord, Store
from prismenv.contracts.jail import Sandbox
from prismenv.engine.rejudge import Rejudging, rejudge_run
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.verdict import Execution, Verdict, VerdictMode


class FunctionSandbox(Sandbox):
    """Verdicts by a function, and how many were judged at once."""

    isolation = "portable"
    ceiling = Limits()

    def __init__(self, judge: Callable[[str, str], Verdict], modes: list[VerdictMode | None]) -> None:
        self._judge = judge
        self.running = self.most = 0
        self.modes = modes

    async def judge(  # noqa: PLR0913 - the contract
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,
        module: str | None = None,
        language: str = "python",
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        self.modes.append(verdict)
        self.running += 1
        self.most = max(self.most, self.running)
        await anyio.sleep(0.001)
        self.running -= 1
        return self._judge(solution, tests)

    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        raise NotImplementedError

    async def probe(self) -> Mapping[str, str]:
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def as_stored(solution: str, tests: str) -> Verdict:
    passed = solution.endswith("# 1")
    return Verdict(
        outcome="passed" if passed else "failed", tests_passed_num=int(passed), tests_failed_num=int(not passed)
    )


def rejudge(store: Store, judge: Callable[[str, str], Verdict], **options: Any) -> Rejudging:
    async def main() -> Rejudging:
        async with FunctionSandbox(judge, options.pop("asked", [])) as sandbox:
            report = await rejudge_run(store, options.pop("run_id", "run-1"), sandbox, **options)
            assert sandbox.most <= options.get("concurrency", 8)
            return report

    return anyio.run(main)


@pytest.fixture
def filled(store: Store, make_run, make_node) -> Store:
    store.save_run(make_run())
    for index in range(5):
        store.save_nodes("run-1", [make_node(index, passed=True)])
    return store


def test_the_same_judge_changes_nothing(filled: Store) -> None:
    report = rejudge(filled, as_stored)
    assert (report.judged, report.unjudged, report.skipped, report.changes) == (10, 0, 0, [])


def test_changed_outcomes_and_counts_are_listed_in_the_order_of_the_run(filled: Store) -> None:
    report = rejudge(filled, lambda *_: Verdict(outcome="passed", tests_passed_num=1), concurrency=3)
    assert [(change.node_index, change.position) for change in report.changes] == [(index, 0) for index in range(5)]
    first = report.to_json()["changes"][0]
    assert first["before"]["outcome"] == "failed"
    assert first["after"]["outcome"] == "passed"
    report = rejudge(filled, lambda *_: as_stored("# 1", "").model_copy(update={"tests_passed_num": 2}))
    assert len(report.changes) == 10


def test_a_judge_that_breaks_now_says_nothing_about_the_solution(filled: Store) -> None:
    report = rejudge(filled, lambda *_: Verdict(outcome="infrastructure_error", fault="infrastructure"))
    assert (report.judged, report.unjudged, report.changes) == (0, 10, [])


def test_a_verdict_that_was_missing_for_a_broken_judge_is_a_change_when_it_comes(
    store: Store, make_run, make_node
) -> None:
    store.save_run(make_run())
    node = make_node(0, attempts=1)
    broken = Verdict(outcome="infrastructure_error", fault="infrastructure")
    record = node.outcome.result.data_trail[0].model_copy(update={"verdict": broken})
    result = node.outcome.result.model_copy(update={"data_trail": (record,)})
    store.save_nodes("run-1", [NodeRecord(replace(node.outcome, result=result))])
    (change,) = rejudge(store, as_stored).changes
    assert (change.before.outcome, change.after.outcome) == ("infrastructure_error", "failed")


def test_each_attempt_is_judged_in_the_mode_that_it_was_judged_in(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    node = make_node(0, attempts=2)
    modes: list[VerdictMode] = ["split", "shared"]
    trail = tuple(
        record.model_copy(update={"verdict": record.verdict.model_copy(update={"verdict_mode": mode})})
        for record, mode in zip(node.outcome.result.data_trail, modes, strict=True)
    )
    result = node.outcome.result.model_copy(update={"data_trail": trail})
    store.save_nodes("run-1", [NodeRecord(replace(node.outcome, result=result))])
    asked: list[VerdictMode | None] = []
    rejudge(store, as_stored, asked=asked)
    assert asked == modes


def test_attempts_without_solution_tests_or_verdict_are_skipped_and_counted(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    result = ChallengeResults(success=False, data_trail=(TrailRecord(), TrailRecord(solution_code="x", test_cases="y")))
    store.save_nodes("run-1", [NodeRecord(replace(make_node(0).outcome, result=result))])
    store.save_nodes("run-1", [NodeRecord(replace(make_node(1).outcome, result=None, error="it broke"))])
    report = rejudge(store, as_stored)
    assert (report.judged, report.skipped) == (0, 2)


def test_the_run_stays_as_it_was(filled: Store, file: Path) -> None:
    before = list(filled.nodes("run-1"))
    rejudge(filled, lambda *_: Verdict(outcome="crashed"))
    with closing(open_store(file)) as again:
        assert list(again.nodes("run-1")) == before


def test_progress_is_told_after_each_attempt(filled: Store) -> None:
    seen: list[int] = []
    rejudge(filled, as_stored, on_progress=lambda report: seen.append(report.judged))
    assert seen == list(range(1, 11))


def test_an_unknown_run_is_named(filled: Store) -> None:
    with pytest.raises(StorageException, match="Did you mean run-1"):
        rejudge(filled, as_stored, run_id="run-2")


def test_a_solution_of_several_files_is_judged_again_as_it_was(store: Store, make_run, make_node) -> None:
    files = FileSet(
        files={"bank/main.py": "from .rates import rate", "bank/rates.py": "rate = 1"}, entry="bank/main.py"
    )
    store.save_run(make_run())
    node = make_node(0, attempts=1)
    given = {**dict(node.outcome.result.data_trail[0].items()), "solution_code": files}
    result = node.outcome.result.model_copy(update={"data_trail": [TrailRecord.model_validate(given)]})
    store.save_nodes("run-1", [NodeRecord(replace(node.outcome, result=result))])
    judged: list[Any] = []
    rejudge(store, lambda solution, _: judged.append(solution) or Verdict(outcome="failed"))
    assert judged == [files]
    (stored,) = store.nodes("run-1")
    assert stored.outcome.result.data_trail[0].solution_code == files.listing()
