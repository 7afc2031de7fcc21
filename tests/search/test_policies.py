"""The search policies: what they ask for, in which order, and that nothing else changes it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.cells import plan_cells
from prismenv.search.plugin import prismenv_policies
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest

POLICIES = {entry.name: entry for entry in prismenv_policies() if entry.name in ("grid", "random")}
names = st.lists(st.text(alphabet="abcdefgh", min_size=1, max_size=5), unique=True, min_size=1, max_size=5)
settings = st.builds(
    SearchSettings,
    repeats=st.integers(1, 4),
    nodes=st.none() | st.integers(1, 60),
    pairs=st.booleans(),
)


def nodes_of(concepts: list[str], difficulties: list[str], search: SearchSettings) -> tuple[PlannedNode, ...]:
    return plan_cells(concepts, difficulties, pairs=search.pairs)


def drain(policy: SearchPolicy, sizes: list[int]) -> list[NodeRequest]:
    """All requests, asked for in portions of these sizes, each told before the next portion."""
    requests: list[NodeRequest] = []
    turn = 0
    while not policy.finished:
        portion = policy.ask(sizes[turn % len(sizes)])
        turn += 1
        requests += portion
        for request in portion:
            policy.tell(NodeOutcome(request, None, fault="environment", error="boom"))
    assert policy.ask(10) == []
    return requests


def test_the_built_in_policies_have_names_and_say_what_they_do() -> None:
    assert {"grid", "prismbench", "random"} <= {entry.name for entry in prismenv_policies() if entry.summary}


def test_cells_come_in_canonical_order_singles_first_then_pairs() -> None:
    nodes = plan_cells(["loops", "sorting", "recursion"], ["easy", "hard"], pairs=True)
    assert [node.node_id for node in nodes] == [
        "loops|easy",
        "loops|hard",
        "sorting|easy",
        "sorting|hard",
        "recursion|easy",
        "recursion|hard",
        "loops+sorting|easy",
        "loops+sorting|hard",
        "loops+recursion|easy",
        "loops+recursion|hard",
        "sorting+recursion|easy",
        "sorting+recursion|hard",
    ]


@given(names, names, settings, st.integers(0, 2**63))
def test_grid_measures_every_node_as_often_as_asked_in_rounds(
    concepts: list[str], difficulties: list[str], search: SearchSettings, seed: int
) -> None:
    nodes = nodes_of(concepts, difficulties, search)
    policy = POLICIES["grid"].build(PolicyContext(nodes, search, seed))
    requests = drain(policy, [7])
    assert len(requests) == policy.total == min(search.nodes or 10**9, len(nodes) * search.repeats)
    assert [request.node_id for request in requests[: len(nodes)]] == [node.node_id for node in nodes][: len(requests)]
    counts = Counter(request.node_id for request in requests)
    assert max(counts.values()) - min((counts[node.node_id] for node in nodes), default=0) <= 1


@given(names, names, settings, st.integers(0, 2**63))
def test_random_draws_as_many_as_asked_from_the_nodes_only(
    concepts: list[str], difficulties: list[str], search: SearchSettings, seed: int
) -> None:
    nodes = nodes_of(concepts, difficulties, search)
    requests = drain(POLICIES["random"].build(PolicyContext(nodes, search, seed)), [5])
    assert len(requests) == (search.nodes or len(nodes) * search.repeats)
    assert {request.node_id for request in requests} <= {node.node_id for node in nodes}


def test_random_draws_every_node_about_equally_often() -> None:
    nodes = plan_cells(["a", "b", "c", "d"], ["easy"])
    context = PolicyContext(nodes, SearchSettings(policy="random", nodes=4000), seed=3)
    counts = Counter(request.node_id for request in drain(POLICIES["random"].build(context), [4000]))
    assert all(900 < counts[node.node_id] < 1100 for node in nodes)


@pytest.mark.parametrize("name", sorted(POLICIES))
@given(st.tuples(names, names), settings, st.integers(0, 2**63), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_requests_do_not_depend_on_how_many_are_asked_for_at_once(
    name: str, tree: tuple[list[str], list[str]], search: SearchSettings, seed: int, sizes: list[int]
) -> None:
    context = PolicyContext(nodes_of(*tree, search), search, seed)
    requests = drain(POLICIES[name].build(context), sizes)
    assert requests == drain(POLICIES[name].build(context), [1000])
    assert [request.index for request in requests] == list(range(len(requests)))
    assert len({request.seed for request in requests}) == len(requests)


@pytest.mark.parametrize("entry", POLICIES.values(), ids=sorted(POLICIES))
def test_an_empty_tree_is_a_configuration_error(entry: PolicyEntry) -> None:
    with pytest.raises(ConfigurationException, match="no nodes to measure"):
        entry.build(PolicyContext((), SearchSettings(policy=entry.name), seed=0))


def test_options_of_a_planned_node_travel_with_its_request() -> None:
    node = PlannedNode("HumanEval/3", ("humaneval",), "medium", {"problem_id": "HumanEval/3"})
    (request,) = POLICIES["grid"].build(PolicyContext((node,), SearchSettings(), seed=0)).ask(5)
    assert request.options == {"problem_id": "HumanEval/3"}


def test_another_seed_draws_other_nodes() -> None:
    nodes = plan_cells(["a", "b", "c", "d"], ["easy", "hard"])
    draws = [
        [
            request.node_id
            for request in drain(POLICIES["random"].build(PolicyContext(nodes, SearchSettings(), seed)), [9])
        ]
        for seed in (0, 1)
    ]
    assert draws[0] != draws[1]
