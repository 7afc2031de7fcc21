"""Whose failure a node was, how far a run is, and who hears of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.engine.broadcast import Broadcast
from prismenv.engine.outcomes import complaint, describe_error, fault_of_error, fault_of_result, unwrap
from prismenv.engine.progress import Progress, failure_kind
from prismenv.words.errors import AgentCommunicationException, EnvironmentExecutionException, SandboxException
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import Fault, Verdict

REQUEST = NodeRequest(0, "loops|easy", ("loops",), "easy", seed=1)
FAULTS: list[Fault] = ["none", "candidate", "tests", "environment", "infrastructure"]


def result(success: bool = False, problems: list[Fault] | None = None, trail: list[Fault] | None = None):
    return ChallengeResults(
        success=success,
        problems=tuple(
            ProblemSummary(problem_index=index, success=False, attempts=1, fault=fault)
            for index, fault in enumerate(problems or [])
        ),
        data_trail=tuple(TrailRecord(fault=fault) for fault in trail or []),
    )


@pytest.mark.parametrize(
    ("given_result", "fault"),
    [
        (result(success=True, trail=["infrastructure"]), "none"),
        (result(), "candidate"),
        (result(trail=["candidate", "infrastructure"]), "infrastructure"),
        (result(trail=["infrastructure", "candidate"]), "candidate"),
        (result(problems=["infrastructure", "candidate"]), "candidate"),
        (result(problems=["tests", "infrastructure"]), "infrastructure"),
        (result(problems=["tests", "environment"]), "environment"),
        (result(problems=["tests"], trail=["candidate"]), "tests"),
    ],
)
def test_the_fault_of_a_result_is_the_candidates_as_soon_as_anything_was_measured(
    given_result: ChallengeResults, fault: Fault
) -> None:
    assert fault_of_result(given_result) == fault


def test_a_broken_model_or_sandbox_is_infrastructure_however_deep_it_lies() -> None:
    outer = EnvironmentExecutionException("execute_node failed")
    outer.__cause__ = ValueError("wrapped")
    outer.__cause__.__cause__ = SandboxException("gone")
    assert fault_of_error(outer) == "infrastructure"
    assert fault_of_error(AgentCommunicationException("no answer")) == "infrastructure"
    assert fault_of_error(KeyError("x")) == "environment"


def test_errors_are_described_by_their_own_message_or_by_type_and_message() -> None:
    assert describe_error(EnvironmentExecutionException("it broke", hint="mend it")) == "it broke\nmend it"
    assert describe_error(KeyError("x")) == "KeyError: 'x'"


def test_a_group_stands_for_the_first_error_of_ours_in_it() -> None:
    ours = SandboxException("gone")
    assert unwrap(ExceptionGroup("a", [ValueError("x"), ExceptionGroup("b", [ours])])) is ours
    assert unwrap(ExceptionGroup("a", [ValueError("x"), ours])) is ours
    plain = ValueError("y")
    assert unwrap(ExceptionGroup("a", [ExceptionGroup("b", [plain])])) is plain


@given(st.sampled_from(FAULTS), st.booleans())
def test_only_what_was_not_measured_is_complained_of(fault: Fault, success: bool) -> None:
    outcome = NodeOutcome(REQUEST, result(success=success), fault=fault)
    assert (complaint(outcome) is None) == (fault in ("none", "candidate", "tests"))


def test_the_kind_of_a_failure_is_the_last_verdict_or_the_fault() -> None:
    judged = ChallengeResults(
        success=False,
        data_trail=(TrailRecord(verdict=Verdict(outcome="timed_out")), TrailRecord(verdict=Verdict(outcome="failed"))),
    )
    assert failure_kind(NodeOutcome(REQUEST, judged, fault="candidate")) == "failed"
    assert failure_kind(NodeOutcome(REQUEST, judged, fault="infrastructure")) == "infrastructure"
    assert failure_kind(NodeOutcome(REQUEST, None, fault="environment", error="x")) == "environment"
    assert failure_kind(NodeOutcome(REQUEST, result(), fault="candidate")) == "no_verdict"
    assert failure_kind(NodeOutcome(REQUEST, result(success=True))) is None


def test_a_node_failed_of_the_problem_that_was_not_solved() -> None:
    trail = (
        TrailRecord(problem_index=0, verdict=Verdict(outcome="errored", fault="candidate")),
        TrailRecord(problem_index=1, success=True, verdict=Verdict(outcome="passed")),
    )
    node = NodeOutcome(REQUEST, ChallengeResults(success=False, data_trail=trail), fault="candidate")
    assert failure_kind(node) == "errored"


@given(st.lists(st.tuples(st.sampled_from(FAULTS), st.booleans(), st.booleans())), st.randoms())
def test_progress_counts_the_same_in_any_order_and_leaves_nothing_uncounted(
    nodes: list[tuple[Fault, bool, bool]], shuffler: Any
) -> None:
    outcomes = [
        NodeOutcome(REQUEST, result(success=success), fault=fault, replayed=replayed)
        for fault, success, replayed in nodes
    ]
    snapshots = []
    for _ in range(2):
        progress = Progress(total=len(nodes) + 2)
        for outcome in outcomes:
            progress.add(outcome)
        snapshots.append(progress.snapshot(10.0))
        shuffler.shuffle(outcomes)
    assert snapshots[0] == snapshots[1]
    assert snapshots[0]["measured"] + sum(snapshots[0]["left_out"].values()) == snapshots[0]["done"] == len(nodes)
    assert (snapshots[0]["remaining_seconds"] is None) == all(replayed for *_, replayed in nodes)


def test_an_observer_that_raises_changes_nothing_and_is_not_called_again() -> None:
    heard: list[str] = []
    calls: list[str] = []

    def broken(event: Event) -> None:
        calls.append(event.type)
        raise RuntimeError("a plugin's bug")

    broadcast = Broadcast(lambda event: heard.append(event.type), [broken, lambda event: heard.append("watched")])
    for _ in range(2):
        broadcast(Event("node_started", "run-1", 0.0))
    assert calls == ["node_started"]
    assert heard == ["node_started", "watched"] * 2


def test_an_answer_without_use_is_the_solver_s_failure_and_not_a_broken_model_s() -> None:
    error = AgentCommunicationException("no code", code="no_usable_answer", subject="problem_solver")
    error.usage = Usage(calls=1)
    assert fault_of_error(error) == "candidate"
    error.subject = "challenge_designer"
    assert fault_of_error(error) == "environment"
