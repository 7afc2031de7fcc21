"""Monte Carlo tree search: where it looks, that it is repeatable, and what it does with what goes wrong."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st
from pydantic import ValidationError

from prismenv.contracts.policy import PolicyContext
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.cells import plan_cells
from prismenv.search.mcts.policy import MctsPolicy
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord

CONCEPTS = ("loops", "sorting", "recursion", "functions")
LEVELS = ("easy", "medium", "hard")
BOTH = pytest.mark.parametrize("selection", ["uct", "puct"])


def made(concepts: tuple[str, ...] = CONCEPTS, levels: tuple[str, ...] = LEVELS, **search: Any) -> MctsPolicy:
    settings = SearchSettings(policy="mcts", **search)
    return MctsPolicy(PolicyContext(plan_cells(concepts, levels), settings, 5, concepts, levels))


def play(policy: MctsPolicy, outcome: Callable[[NodeRequest], NodeOutcome], portion: int = 4) -> list[NodeRequest]:
    """All requests, `portion` asked for before the oldest that is out is told."""
    requests: list[NodeRequest] = []
    out: list[NodeRequest] = []
    while not policy.finished or out:
        asked = policy.ask(portion - len(out))
        requests += asked
        out += asked
        policy.tell(outcome(out.pop(0)))
    return requests


def solving(solves: Callable[[NodeRequest], bool]) -> Callable[[NodeRequest], NodeOutcome]:
    return lambda request: NodeOutcome(request, ChallengeResults(success=solves(request)))


def dump(policy: MctsPolicy) -> list[tuple[Any, ...]]:
    return [
        (node.node_id, node.visits, node.value, node.measured, [child.node_id for child in node.children])
        for node in policy.tree
    ]


@BOTH
def test_it_finds_the_concept_that_the_candidate_cannot_do(selection: str) -> None:
    policy = made(nodes=200, mcts={"selection": selection})
    counts = Counter(
        "recursion" in request.concepts
        for request in play(policy, solving(lambda request: "recursion" not in request.concepts))
    )
    assert counts[True] > 2 * counts[False]


@BOTH
def test_it_finds_the_pair_that_only_together_cannot_be_done(selection: str) -> None:
    policy = made(nodes=300, mcts={"selection": selection})
    both = {"loops", "sorting"}
    counts = Counter(
        both <= set(request.concepts)
        for request in play(policy, solving(lambda request: not both <= set(request.concepts)))
    )
    assert counts[True] > 100


@BOTH
def test_every_concept_is_measured_by_itself_before_anything_below_it(selection: str) -> None:
    requests = play(made(nodes=100, mcts={"selection": selection}), solving(lambda request: request.index % 3 == 0))
    seen: set[tuple[tuple[str, ...], str]] = set()
    for request in requests:
        if len(request.concepts) > 1 or request.difficulty != "easy":
            assert any(((name,), "easy") in seen for name in request.concepts)
        seen.add((request.concepts, request.difficulty))


def test_the_discount_prefers_the_simplest_of_what_cannot_be_done() -> None:
    def mean_steps(discount: float) -> float:
        requests = play(made(nodes=400, mcts={"discount": discount}), solving(lambda _: False))
        return sum(len(request.concepts) + LEVELS.index(request.difficulty) for request in requests) / len(requests)

    assert mean_steps(0.5) < mean_steps(1.0)


@BOTH
def test_at_one_time_playouts_go_different_ways_and_no_more_than_the_leaves_are_out(selection: str) -> None:
    policy = made(nodes=50, mcts={"selection": selection, "leaves": 4})
    out = policy.ask(30)
    assert len({request.node_id for request in out}) == len(out) == 4
    assert policy.ask(30) == []
    assert not policy.finished
    policy.tell(NodeOutcome(out[0], ChallengeResults(success=True)))
    assert [request.index for request in policy.ask(30)] == [4]


def test_widening_bounds_the_steps_below_a_node() -> None:
    policy = made(nodes=300, mcts={"widening": 1.0, "widening_power": 0.3, "leaves": 1})
    play(policy, solving(lambda _: False), 1)
    for node in policy.tree:
        assert len(node.children) <= max(1.0, (node.visits + 1) ** 0.3) + 1


knobs = st.fixed_dictionaries(
    {
        "selection": st.sampled_from(["uct", "puct"]),
        "exploration": st.floats(0, 3),
        "virtual_loss": st.floats(0, 3),
        "widening": st.floats(0.1, 4),
        "widening_power": st.floats(0, 1),
        "discount": st.floats(0.1, 1),
        "leaves": st.integers(1, 9),
    }
)


@few(max_examples=60, deadline=None)
@given(
    knobs, st.integers(1, 3), st.integers(1, 3), st.tuples(st.integers(1, 60), st.integers(1, 9), st.integers(0, 99))
)
def test_whatever_comes_back_it_ends_with_bounded_values_and_the_same_tree_again(
    mcts: Mapping[str, Any], concepts: int, levels: int, numbers: tuple[int, int, int]
) -> None:
    nodes, portion, noise = numbers

    def chance(request: NodeRequest) -> NodeOutcome:
        draw = random.Random(f"{noise} {request.index}").random()
        if draw < 0.2:
            return NodeOutcome(request, None, fault="infrastructure", error="gone")
        return NodeOutcome(request, ChallengeResults(success=draw < 0.6))

    trees = []
    for _ in range(2):
        policy = made(CONCEPTS[:concepts], LEVELS[:levels], nodes=nodes, mcts=mcts, max_concepts=2)
        requests = play(policy, chance, portion)
        assert [request.index for request in requests] == list(range(nodes))
        assert all(0 <= node.value <= 1 for node in policy.tree)
        trees.append(dump(policy))
    assert trees[0] == trees[1]


def test_a_node_that_can_never_be_measured_stays_and_is_passed_over() -> None:
    def broken(request: NodeRequest) -> NodeOutcome:
        if request.node_id == "sorting|easy":
            return NodeOutcome(request, None, fault="infrastructure", error="gone")
        return NodeOutcome(request, ChallengeResults(success=False))

    policy = made(nodes=120)
    requests = play(policy, broken, 1)
    assert 3 <= sum(1 for request in requests if request.node_id == "sorting|easy") < 10
    assert any("sorting" in request.concepts and request.node_id != "sorting|easy" for request in requests)
    assert policy.tree["sorting|easy"].measured == 0
    assert policy.state()["unmeasured"] >= 3


def test_a_result_without_a_trail_counts_by_its_success_and_a_solved_problem_by_its_attempts() -> None:
    policy = made(("loops",), ("easy",), nodes=2)
    first, second = policy.ask(2)
    policy.tell(NodeOutcome(first, ChallengeResults(success=False)))
    assert policy.tree["loops|easy"].value == 1
    trail = [TrailRecord(attempt_num=0), TrailRecord(attempt_num=1, success=True)]
    policy.tell(NodeOutcome(second, ChallengeResults(success=True, data_trail=trail)))
    assert policy.tree["loops|easy"].value == pytest.approx((1 + 0.3 * 2 / 3) / 2)


def test_without_a_number_of_nodes_it_ends_after_as_many_as_a_grid_would_measure() -> None:
    assert made(repeats=2).total == 2 * len(CONCEPTS) * len(LEVELS)


def test_an_environment_that_brings_its_own_nodes_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationException, match="concepts"):
        MctsPolicy(PolicyContext(plan_cells(("a",), ("easy",)), SearchSettings(policy="mcts"), 0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"selection": "best"},
        {"exploration": -1},
        {"widening": 0},
        {"widening_power": 1.5},
        {"virtual_loss": -0.1},
        {"discount": 0},
        {"discount": 1.1},
        {"leaves": 0},
        {"unknown": 1},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSettings.model_validate({"policy": "mcts", "mcts": wrong})
