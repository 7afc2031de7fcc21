"""The runner: order, concurrency, stops and replay, with executors that stand in for environments."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, SearchPolicy
from prismenv.contracts.recipe import SearchSettings
from prismenv.engine.runner import Ending, Pace, Runner, RunnerHooks
from prismenv.engine.switch import StopSwitch
from prismenv.search.grid import build_grid
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException, StorageException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults

Execute = Callable[[NodeRequest], Awaitable[NodeOutcome]]
USUAL = Pace(concurrency=4, window=16)


def solved(request: NodeRequest) -> NodeOutcome:
    return NodeOutcome(request, ChallengeResults(success=True))


def grid(count: int) -> SearchPolicy:
    nodes = tuple(PlannedNode(f"n{index}|easy", (f"n{index}",), "easy") for index in range(count))
    return build_grid(PolicyContext(nodes, SearchSettings(), seed=1))


class Adaptive(SearchPolicy):
    """Asks for what the last outcome told suggests: any difference in order or timing shows in what it asks."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._asked = 0
        self._memory = 0

    def ask(self, most: int) -> Sequence[NodeRequest]:
        requests = []
        while len(requests) < most and self._asked < self._total:
            name = f"m{self._memory % 97}"
            requests.append(NodeRequest(self._asked, f"{name}|easy", (name,), "easy", seed=self._asked))
            self._asked += 1
        return requests

    def tell(self, outcome: NodeOutcome) -> None:
        self._memory = self._memory * 31 + outcome.request.index + sum(map(ord, outcome.request.node_id))

    @property
    def finished(self) -> bool:
        return self._asked >= self._total

    @property
    def total(self) -> int:
        return self._total


@dataclass
class Watch:
    """Everything that a runner said."""

    started: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    told: list[NodeOutcome] = field(default_factory=list)
    stop: StopSwitch = field(default_factory=StopSwitch)
    gate: Callable[[], str | None] = lambda: None
    broken: Callable[[], str | None] = lambda: None

    def hooks(self) -> RunnerHooks:
        return RunnerHooks(
            gate=self.gate,
            broken=self.broken,
            started=lambda request: self.started.append(request.index),
            arrived=lambda outcome: self.arrived.append(outcome.request.index),
            told=self.told.append,
        )

    @property
    def told_indexes(self) -> list[int]:
        return [outcome.request.index for outcome in self.told]


def run(
    policy: SearchPolicy,
    execute: Execute,
    *,
    watch: Watch | None = None,
    pace: Pace = USUAL,
    before: Sequence[NodeOutcome] = (),
) -> Ending:
    watch = watch or Watch()

    async def main() -> Ending:
        runner = Runner(policy, execute, watch.hooks(), watch.stop, pace)
        for outcome in before:
            runner.replay(outcome)
        return await runner.run()

    return anyio.run(main)


def jittery(seed: int) -> Execute:
    """Nodes that end in a random order."""
    generator = random.Random(seed)

    async def execute(request: NodeRequest) -> NodeOutcome:
        for _ in range(generator.randrange(8)):
            await anyio.lowlevel.checkpoint()
        return solved(request)

    return execute


@given(st.integers(0, 40), st.integers(1, 20), st.integers(1, 20), st.integers(0, 10**6))
def test_outcomes_are_told_in_index_order_and_every_node_runs_once(
    count: int, concurrency: int, window: int, seed: int
) -> None:
    watch = Watch()
    ending = run(grid(count + 1), jittery(seed), watch=watch, pace=Pace(concurrency, window))
    assert ending == Ending("finished")
    assert watch.told_indexes == list(range(count + 1))
    assert sorted(watch.arrived) == sorted(watch.started) == list(range(count + 1))


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 10**6))
def test_an_adaptive_policy_asks_the_same_at_any_concurrency(count: int, window: int, seed: int) -> None:
    trails = []
    for concurrency in (1, 3, 16):
        watch = Watch()
        run(Adaptive(count), jittery(seed), watch=watch, pace=Pace(concurrency, window))
        trails.append([outcome.request for outcome in watch.told])
    assert trails[0] == trails[1] == trails[2]


@given(st.integers(2, 30), st.integers(1, 12), st.integers(0, 10**6), st.data())
def test_a_run_resumed_from_any_holes_ends_as_an_undisturbed_one(
    count: int, window: int, seed: int, data: st.DataObject
) -> None:
    whole = Watch()
    run(Adaptive(count), jittery(seed), watch=whole, pace=Pace(3, window))
    told = data.draw(st.integers(0, count))
    ahead = data.draw(st.sets(st.integers(told + 1, max(told + 1, min(told + window - 1, count - 1)))))
    kept = [index for index in (*range(told), *sorted(ahead)) if index < count and (index < told or window > 1)]
    rest = Watch()
    before = [replace(whole.told[index], replayed=True) for index in kept]
    run(Adaptive(count), jittery(seed + 1), watch=rest, pace=Pace(5, window), before=before)
    assert [outcome.request for outcome in rest.told] == [outcome.request for outcome in whole.told]
    assert not set(rest.started) & set(kept)
    assert sorted(rest.started + kept) == list(range(count))


def test_never_more_nodes_run_at_once_than_the_concurrency_allows() -> None:
    running, most = 0, 0

    async def execute(request: NodeRequest) -> NodeOutcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        return solved(request)

    run(grid(50), execute, pace=Pace(7, 64))
    assert most == 7


def test_a_changed_search_cannot_be_resumed() -> None:
    before = [NodeOutcome(NodeRequest(0, "other|easy", ("other",), "easy", seed=3), None, error="x", replayed=True)]
    with pytest.raises(ConfigurationException, match=r"stored as 'other\|easy'.*'n0\|easy'") as caught:
        run(grid(3), jittery(0), before=before)
    assert caught.value.code == "run_diverged"


def test_more_stored_nodes_than_the_search_asks_for_cannot_be_resumed() -> None:
    whole = Watch()
    run(grid(4), jittery(0), watch=whole)
    with pytest.raises(ConfigurationException, match="asks for nothing there"):
        run(grid(3), jittery(0), before=whole.told)


def test_a_spent_budget_starts_nothing_more_and_lets_the_rest_finish() -> None:
    watch = Watch()
    watch.gate = lambda: "budget.nodes: 5 of 5" if len(watch.started) >= 5 else None
    assert run(grid(20), jittery(2), watch=watch) == Ending("budget_reached", "budget.nodes: 5 of 5")
    assert watch.told_indexes == [0, 1, 2, 3, 4]


def test_a_budget_that_is_spent_by_the_last_node_does_not_cut_the_run() -> None:
    watch = Watch()
    watch.gate = lambda: "spent" if len(watch.started) >= 5 else None
    assert run(grid(5), jittery(2), watch=watch).status == "finished"


def test_draining_finishes_what_runs_and_leaves_a_run_to_resume() -> None:
    watch = Watch()

    async def execute(request: NodeRequest) -> NodeOutcome:
        if request.index == 5:
            watch.stop.drain()
        await anyio.lowlevel.checkpoint()
        return solved(request)

    assert run(grid(30), execute, watch=watch).status == "interrupted"
    assert watch.told_indexes == sorted(watch.started) == list(range(len(watch.started)))
    assert 6 <= len(watch.started) < 30
    rest = Watch()
    before = [replace(outcome, replayed=True) for outcome in watch.told]
    assert run(grid(30), jittery(1), watch=rest, before=before).status == "finished"
    assert sorted(rest.started + watch.started) == list(range(30))


def test_aborting_cancels_what_runs_and_keeps_what_had_finished() -> None:
    watch, cancelled = Watch(), []

    async def execute(request: NodeRequest) -> NodeOutcome:
        if request.index == 0:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.append(request.index)
        if request.index == 6:
            watch.stop.abort()
        return solved(request)

    assert run(grid(30), execute, watch=watch).status == "interrupted"
    assert cancelled == [0]
    assert {1, 2, 3, 4, 5, 6} <= set(watch.told_indexes)
    assert sorted(watch.arrived) == watch.told_indexes


def test_an_aborted_switch_starts_nothing() -> None:
    watch = Watch()
    watch.stop.abort()
    assert run(grid(3), jittery(0), watch=watch).status == "interrupted"
    assert watch.arrived == []


def failing(message: Callable[[NodeRequest], str]) -> Execute:
    async def execute(request: NodeRequest) -> NodeOutcome:
        await anyio.lowlevel.checkpoint()
        return NodeOutcome(request, None, fault="environment", error=message(request))

    return execute


def test_a_run_whose_first_five_nodes_fail_alike_stops_with_the_reason() -> None:
    watch = Watch()
    ending = run(grid(100), failing(lambda _: "KeyError: 'x'"), watch=watch, pace=Pace(1, 8))
    assert ending.status == "failed"
    assert "first 5 nodes failed in the same way" in ending.note
    assert "KeyError: 'x'" in ending.note
    assert len(watch.told) == 5


def test_a_short_run_in_which_every_node_fails_alike_has_failed() -> None:
    ending = run(grid(2), failing(lambda _: "KeyError: 'x'"))
    assert ending == Ending("failed", "every node failed in the same way: KeyError: 'x'")


def test_a_run_that_measures_nothing_has_failed_in_however_many_ways() -> None:
    ending = run(grid(20), failing(lambda request: f"KeyError: {request.index}"))
    assert ending.status == "failed"
    assert ending.note.startswith("none of 20 nodes could be measured (by fault: environment 20)")
    assert "KeyError: 0; KeyError: 1; KeyError: 2" in ending.note


def test_nodes_that_fail_in_different_ways_beside_one_that_was_measured_are_data() -> None:
    async def execute(request: NodeRequest) -> NodeOutcome:
        fail = failing(lambda request: f"KeyError: {request.index}")
        return solved(request) if request.index == 19 else await fail(request)

    assert run(grid(20), execute).status == "finished"


def test_a_budget_that_was_spent_on_nothing_is_a_failure() -> None:
    watch = Watch()
    watch.gate = lambda: "nodes: 3 of 3" if len(watch.started) >= 3 else None
    ending = run(grid(20), failing(lambda request: f"KeyError: {request.index}"), watch=watch, pace=Pace(1, 4))
    assert ending.status == "failed"
    assert ending.note.startswith("nodes: 3 of 3; none of 3 nodes could be measured")


class Silent(Adaptive):
    """Finished before it asked."""

    def ask(self, most: int) -> Sequence[NodeRequest]:
        return ()

    @property
    def finished(self) -> bool:
        return True


def test_a_search_that_asks_for_nothing_has_failed_and_says_so() -> None:
    ending = run(Silent(0), jittery(0))
    assert ending == Ending("failed", "the search asked for no node at all")


def test_equal_failures_after_a_success_are_data() -> None:
    async def execute(request: NodeRequest) -> NodeOutcome:
        return solved(request) if request.index == 0 else await failing(lambda _: "boom")(request)

    assert run(grid(20), execute).status == "finished"


def test_failures_of_an_earlier_sitting_do_not_stop_a_resumed_run() -> None:
    first = Watch()
    run(grid(12), failing(lambda _: "boom"), watch=first, pace=Pace(1, 8))
    before = [replace(outcome, replayed=True) for outcome in first.told]
    assert run(grid(12), jittery(0), before=before).status == "finished"


def test_a_broken_run_stops_as_failed() -> None:
    watch = Watch()
    watch.broken = lambda: "price unknown" if watch.arrived else None
    assert run(grid(20), jittery(0), watch=watch, pace=Pace(1, 4)) == Ending("failed", "price unknown")
    assert watch.told_indexes == [0]


def test_an_error_of_the_engine_ends_the_run() -> None:
    async def execute(request: NodeRequest) -> NodeOutcome:
        raise StorageException("disk full")

    with pytest.raises(ExceptionGroup) as caught:
        run(grid(20), execute)
    assert caught.group_contains(StorageException, match="disk full")


class Stalled(Adaptive):
    def ask(self, most: int) -> Sequence[NodeRequest]:
        return [] if self._asked >= 2 else super().ask(1)


class Skipping(Adaptive):
    def ask(self, most: int) -> Sequence[NodeRequest]:
        return [replace(request, index=request.index + 1) for request in super().ask(most)]


@pytest.mark.parametrize(("policy", "words"), [(Stalled(5), "not finished"), (Skipping(5), "indexes count on by 1")])
def test_a_broken_policy_is_an_error_and_no_endless_wait(policy: SearchPolicy, words: str) -> None:
    with pytest.raises((EnvironmentExecutionException, ExceptionGroup)) as caught:
        run(policy, jittery(0))
    error = caught.value
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert words in str(error)
