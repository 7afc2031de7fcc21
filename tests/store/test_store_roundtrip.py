"""What goes into the store comes out equal, whatever an environment or a model put into it."""

import math
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prismenv.contracts.archive import CallRecord, NodeRecord, RunRecord, Store
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
from prismenv.words.events import Event
from prismenv.words.masking import mask_secrets
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import CaseResult, Verdict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OWN_KEYS = st.dictionaries(st.text(max_size=8).map(lambda text: f"own {text}"), JSON, max_size=3)
NATURAL = st.integers(min_value=0)
SECONDS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
FAULTS = st.sampled_from(["none", "candidate", "tests", "environment", "infrastructure"])
USAGE = st.builds(
    Usage,
    model=st.none() | st.text(),
    calls=st.integers(0, 2**63 - 1),
    prompt_tokens=st.integers(0, 2**63 - 1),
    completion_tokens=st.integers(0, 2**63 - 1),
    cost_usd=st.none() | SECONDS,
    estimated=st.booleans(),
)
CASES = st.builds(
    CaseResult, name=st.text(), outcome=st.sampled_from(["passed", "failed", "timed_out"]), message=st.text()
)
VERDICTS = st.builds(
    lambda own, **known: Verdict(**known, **own),
    own=OWN_KEYS,
    outcome=st.sampled_from(["passed", "failed", "crashed", "infrastructure_error"]),
    fault=FAULTS,
    cases=st.lists(CASES, max_size=3).map(tuple),
    output=st.text(),
    cpu_seconds=SECONDS,
    tests_passed_num=NATURAL,
)
RECORDS = st.builds(
    lambda own, **known: TrailRecord(**known, **own),
    own=OWN_KEYS,
    problem_statement=st.none() | st.text(),
    solution_code=st.none() | st.text(),
    success=st.booleans(),
    attempt_num=NATURAL,
    problem_index=NATURAL,
    tests_failed_num=NATURAL,
    test_validation=JSON,
    verdict=st.none() | VERDICTS,
    fault=FAULTS,
    usage=st.dictionaries(st.text(), USAGE, max_size=2),
    wall_seconds=SECONDS,
    seed=st.none() | st.integers(),
)
PROBLEMS = st.builds(
    ProblemSummary,
    problem_index=st.integers(0, 9),
    success=st.booleans(),
    attempts=NATURAL,
    title=st.text(),
    fault=FAULTS,
)
RESULTS = st.builds(
    lambda own, **known: ChallengeResults(**known, **own),
    own=OWN_KEYS,
    success=st.booleans(),
    data_trail=st.lists(RECORDS, max_size=3),
    problems=st.lists(PROBLEMS, max_size=2),
    success_rate=st.none() | st.floats(0, 1),
)
REQUESTS = st.builds(
    NodeRequest,
    index=st.integers(0, 2**40),
    node_id=st.text(),
    concepts=st.lists(st.text(), max_size=3).map(tuple),
    difficulty=st.text(),
    seed=st.integers(),
    options=st.dictionaries(st.text(), JSON, max_size=3),
)
OUTCOMES = st.builds(
    NodeOutcome,
    request=REQUESTS,
    result=st.none() | RESULTS,
    fault=FAULTS,
    error=st.none() | st.text(),
    wall_seconds=SECONDS,
)
CALLS = st.builds(
    CallRecord,
    role=st.text(),
    model=st.text(),
    prompt=st.text(),
    answer=st.text(),
    usage=USAGE,
    wall_seconds=SECONDS,
    error=st.none() | st.text(),
)
EVENTS = st.builds(
    Event,
    type=st.sampled_from(["node_started", "model_called", "node_finished"]),
    run_id=st.just("run-1"),
    at=SECONDS,
    data=st.dictionaries(st.text(), JSON, max_size=3),
)
NODES = st.builds(
    NodeRecord, outcome=OUTCOMES, calls=st.lists(CALLS, max_size=3).map(tuple), events=st.lists(EVENTS).map(tuple)
)
RUN = RunRecord("run-1", "n", "e", "running", 0, {}, 0.0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(node=NODES)
def test_any_node_is_read_back_equal(store: Store, node: NodeRecord) -> None:
    store.save_run(RUN)
    store.save_nodes("run-1", [node])
    assert list(store.nodes("run-1")) == [node]
    store.delete_run("run-1")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=st.dictionaries(st.text(), JSON, max_size=3), seed=st.integers(), name=st.text(), note=st.text())
def test_any_run_is_read_back_equal_but_for_its_secrets(
    store: Store, recipe: dict[str, Any], seed: int, name: str, note: str
) -> None:
    run = RunRecord("run-1", name, "e", "finished", seed, recipe, 1.5, 2.5, 0, note)
    store.save_run(RUN)
    store.save_run(run)
    assert list(store.runs()) == [replace(run, recipe=mask_secrets(recipe))]


def test_nodes_come_in_index_order_over_many_pages_and_survive_reopening(place, store, make_run, make_node) -> None:
    store.save_run(make_run())
    saved = {index: make_node(index) for index in reversed(range(250))}
    for node in saved.values():
        store.save_nodes("run-1", [node])
    with closing(open_store(place)) as again:
        assert list(again.nodes("run-1")) == [saved[index] for index in range(250)]


def test_runs_are_listed_newest_first_with_their_nodes_counted(store: Store, make_run, make_node) -> None:
    store.save_run(make_run("old", started_at=1.0, nodes_done=99))
    store.save_run(make_run("new", started_at=2.0))
    store.save_nodes("old", [make_node(0)])
    store.save_nodes("old", [make_node(4)])
    assert [(run.run_id, run.nodes_done) for run in store.runs()] == [("new", 0), ("old", 2)]


def test_a_run_keeps_its_own_events_in_order_beside_those_of_its_nodes(store: Store, make_run, make_node) -> None:
    started, stopped = Event("run_started", "run-1", 5.0), Event("run_interrupted", "run-1", 4.0, {"why": "Ctrl-C"})
    resumed = Event("run_resumed", "run-1", 6.0)
    store.save_run(make_run(), [started, stopped])
    store.save_nodes("run-1", [make_node(0)])
    store.save_run(make_run(status="finished"), [resumed])
    assert list(store.events("run-1")) == [started, stopped, resumed]


def test_the_same_node_twice_is_refused_and_the_first_stays(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    first = make_node(3, passed=True)
    store.save_nodes("run-1", [first])
    with pytest.raises(StorageException, match="Node 3 of run run-1 is in the store") as caught:
        store.save_nodes("run-1", [make_node(3, passed=False)])
    assert caught.value.code == "duplicate_node"
    assert list(store.nodes("run-1")) == [first]


def test_several_nodes_are_written_together_or_not_at_all(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    store.save_nodes("run-1", [make_node(0), make_node(1)])
    with pytest.raises(StorageException, match="Node 1 of run run-1 is in the store") as caught:
        store.save_nodes("run-1", [make_node(2), make_node(1), make_node(4)])
    assert caught.value.code == "duplicate_node"
    with pytest.raises(StorageException, match="Nodes 5, 5 of run run-1"):
        store.save_nodes("run-1", [make_node(5), make_node(5)])
    assert list(store.nodes("run-1")) == [make_node(0), make_node(1)]


def test_an_unknown_run_is_named_with_the_nearest_one(store: Store, make_run, make_node) -> None:
    store.save_run(make_run("run-a1b2"))
    for call in (
        lambda: store.nodes("run-a1b3"),
        lambda: store.events("run-a1b3"),
        lambda: store.delete_run("run-a1b3"),
        lambda: store.save_nodes("run-a1b3", [make_node(0)]),
    ):
        with pytest.raises(StorageException, match="Did you mean run-a1b2") as caught:
            call()
        assert caught.value.code == "unknown_run"


def test_deleting_a_run_removes_all_of_it_and_nothing_else(store: Store, make_run, make_node) -> None:
    for run_id in ("gone", "kept"):
        store.save_run(make_run(run_id), [Event("run_started", run_id, 1.0)])
        store.save_nodes(run_id, [make_node(0)])
    store.delete_run("gone")
    assert [run.run_id for run in store.runs()] == ["kept"]
    assert len(list(store.nodes("kept"))) == 1
    store.save_run(make_run("gone"))
    assert not list(store.nodes("gone"))
    assert not store.events("gone")


def test_deleted_runs_give_their_space_back(file: Path, make_run, make_node) -> None:
    with closing(open_store(file)) as store:
        store.save_run(make_run())
        for index in range(200):
            store.save_nodes("run-1", [make_node(index)])
    full = file.stat().st_size
    with closing(open_store(file)) as store:
        store.delete_run("run-1")
    assert file.stat().st_size < full / 4


def test_text_that_no_encoding_can_write_is_kept_readable(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    node = make_node(0)
    usage = Usage(model="u\udc00", calls=1, prompt_tokens=10**30)
    call = CallRecord("solver\ud800", "m\ud800", "ok \x00 ok", "bad \ud800 end", usage, math.nan, error="\udfff")
    request = replace(node.outcome.request, node_id="n\ud800", difficulty="d\ud800")
    outcome = replace(node.outcome, request=request, error="half \ud83d", wall_seconds=math.nan)
    store.save_nodes("run-1", [NodeRecord(outcome, (call,))])
    (read,) = store.nodes("run-1")
    assert read.outcome.error == "half \ufffd"
    assert (read.outcome.request.node_id, read.outcome.request.difficulty) == ("n\ufffd", "d\ufffd")
    assert (read.calls[0].role, read.calls[0].model, read.calls[0].usage.model) == (
        "solver\ufffd",
        "m\ufffd",
        "u\ufffd",
    )
    assert read.calls[0].error == "\ufffd"
    assert read.calls[0].prompt == "ok \x00 ok"
    assert read.calls[0].answer == "bad \ufffd end"
    assert read.calls[0].usage.prompt_tokens == 2**63 - 1


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ((1, 2), [1, 2]),
        ({1: 2}, {"1": 2}),
        ({"text": "lone \ud800", "number": math.nan}, {"text": "lone \ud800", "number": None}),
        ([math.inf], [None]),
        (b"\xff", "b'\\xff'"),
        (10**5000, f"1{'0' * 5000}"),
        (object, "<class 'object'>"),
    ],
    ids=["tuple", "number as key", "lone surrogate", "infinity", "raw bytes", "huge integer", "class"],
)
def test_odd_values_of_an_environment_never_cost_the_result(
    store: Store, make_run, value: object, read: object
) -> None:
    store.save_run(make_run())
    verdict = Verdict(outcome="passed", cases=(CaseResult(name="test_it", outcome="passed"),))
    record = TrailRecord(success=True, extra=value, verdict=verdict, usage={"solver": Usage(calls=1)})
    result = ChallengeResults(success=True, data=value, data_trail=(record,))
    outcome = NodeOutcome(NodeRequest(0, "a", ("a",), "easy", 1, {"option": value}), result)
    store.save_nodes("run-1", [NodeRecord(outcome)])
    (node,) = store.nodes("run-1")
    assert node.outcome.result is not None
    assert node.outcome.result["data"] == read
    assert node.outcome.result.data_trail == [record.model_copy(update={"extra": read})]
    assert node.outcome.request.options == {"option": read}


def test_a_result_with_a_cycle_is_refused_with_the_reason_and_leaves_no_half(store: Store, make_run) -> None:
    store.save_run(make_run())
    cycle: list[object] = []
    cycle.append(cycle)
    outcome = NodeOutcome(NodeRequest(0, "a", ("a",), "easy", 1), ChallengeResults(success=True, data=cycle))
    with pytest.raises(StorageException, match="cannot be written as JSON") as caught:
        store.save_nodes("run-1", [NodeRecord(outcome)])
    assert caught.value.code == "unstorable_result"
    assert not list(store.nodes("run-1"))


def test_many_threads_write_and_read_at_once(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for index in range(first, first + 20):
                store.save_nodes("run-1", [make_node(index)])
                list(store.nodes("run-1"))
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(20 * number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [node.outcome.request.index for node in store.nodes("run-1")] == list(range(120))


def test_a_reader_that_stops_half_way_holds_nothing(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    for index in range(150):
        store.save_nodes("run-1", [make_node(index)])
    for _ in range(30):
        next(store.nodes("run-1"))
    store.delete_run("run-1")
    assert not store.runs()
