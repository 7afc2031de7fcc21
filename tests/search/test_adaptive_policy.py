"""The adaptive policy by its contract: what it asks for, what it makes of results, and why it stops."""

import json
import os
import re
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, SearchPolicy
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.adaptive.entry import THREADS
from prismenv.search.cells import plan_cells
from prismenv.search.plugin import prismenv_policies
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.seeding import derive_random

(ADAPTIVE,) = (entry for entry in prismenv_policies() if entry.name == "adaptive")
CONCEPTS, DIFFICULTIES = ("loops", "sorting", "recursion"), ("easy", "medium", "hard")
Answer = Callable[[NodeRequest], NodeOutcome]


def context(
    concepts: tuple[str, ...] = CONCEPTS,
    difficulties: tuple[str, ...] = DIFFICULTIES,
    seed: int = 1,
    reference: tuple[NodeOutcome, ...] = (),
    **search: Any,
) -> PolicyContext:
    chosen = SearchSettings.model_validate({"policy": "adaptive", **search})
    nodes = plan_cells(concepts, difficulties, pairs=chosen.pairs)
    return PolicyContext(nodes, chosen, seed, concepts, difficulties, reference=reference)


def judged(request: NodeRequest, success: bool, *, passed: int = 0, **own: Any) -> NodeOutcome:
    record = TrailRecord(success=success, tests_passed_num=10 if success else passed, tests_failed_num=10 - passed)
    problems = [ProblemSummary(problem_index=0, success=success, attempts=1, title=own.pop("title", ""))]
    result = ChallengeResults(success=success, data_trail=[record], problems=problems, **own)
    return NodeOutcome(request, result, fault="none" if success else "candidate")


def broken(request: NodeRequest) -> NodeOutcome:
    return NodeOutcome(request, None, fault="infrastructure", error="no answer")


def by_chance(chance: Callable[[NodeRequest], float], faults: float = 0.0) -> Answer:
    def answer(request: NodeRequest) -> NodeOutcome:
        draw = derive_random(request.seed, "answer")
        if draw.random() < faults:
            return broken(request)
        return judged(request, draw.random() < chance(request), passed=draw.randrange(10))

    return answer


def play(policy: SearchPolicy, answer: Answer, *, window: int = 4, most: int = 2000) -> list[NodeRequest]:
    """All requests in order, with `window` of them out at a time."""
    requests: list[NodeRequest] = []
    out: deque[NodeRequest] = deque()
    while len(requests) < most:
        if not policy.finished:
            asked = policy.ask(window - len(out))
            out.extend(asked)
            requests.extend(asked)
        if not out:
            break
        policy.tell(answer(out.popleft()))
    return requests


def cell(policy: SearchPolicy, concepts: tuple[str, ...], difficulty: str) -> dict[str, Any]:
    wanted = (sorted(concepts), difficulty)
    (found,) = (each for each in policy.state()["map"]["cells"] if (each["concepts"], each["difficulty"]) == wanted)
    return dict(found)


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.booleans(),
    st.integers(0, 2**63),
    st.integers(1, 9),
    st.integers(1, 40),
)
def test_it_asks_for_nodes_of_the_tree_in_one_numbering_and_the_same_way_each_time(
    size: tuple[int, int], pairs: bool, seed: int, window: int, nodes: int
) -> None:
    tree = tuple("abcd"[: size[0]]), tuple("wxyz"[: size[1]])
    made = context(*tree, seed=seed, pairs=pairs, nodes=nodes, stop={"interval": None})
    answer = by_chance(lambda request: 0.3 if "a" in request.concepts else 0.8, faults=0.1)
    requests, again = (play(ADAPTIVE.build(made), answer, window=window) for _ in range(2))
    assert requests == again
    assert [request.index for request in requests] == list(range(nodes))
    assert len({request.seed for request in requests}) == nodes
    assert {request.node_id for request in requests} <= {node.node_id for node in made.nodes}


def test_what_is_asked_depends_on_the_results_in_their_order_and_on_nothing_else() -> None:
    made = context(nodes=60, stop={"interval": None})
    first, second = ADAPTIVE.build(made), ADAPTIVE.build(made)
    answer = by_chance(lambda _: 0.5)
    told = [(request, answer(request)) for request in play(first, answer, window=5)]
    second.ask(5)
    for _, outcome in told[:-5]:
        second.tell(outcome)
        second.state()
        second.ask(1)
    for _, outcome in told[-5:]:
        second.tell(outcome)
    assert first.state() == second.state()


def test_ties_are_broken_by_the_seed() -> None:
    firsts = {ADAPTIVE.build(context(seed=seed)).ask(1)[0].node_id for seed in range(12)}
    assert len(firsts) > 1


def test_a_batch_spreads_over_the_map() -> None:
    batch = ADAPTIVE.build(context()).ask(9)
    assert len({request.node_id for request in batch}) >= 5


def test_harder_is_expected_to_be_worse_until_results_say_otherwise() -> None:
    policy = ADAPTIVE.build(context(nodes=200, stop={"interval": None}))
    rates = [cell(policy, ("loops",), difficulty)["rate"] for difficulty in DIFFICULTIES]
    assert rates == sorted(rates, reverse=True)
    play(policy, by_chance(lambda request: 0.15 + 0.35 * DIFFICULTIES.index(request.difficulty)))
    rates = [cell(policy, ("loops",), difficulty)["rate"] for difficulty in DIFFICULTIES]
    assert rates == sorted(rates)


def test_what_is_learned_of_concepts_reaches_their_pairs() -> None:
    policy = ADAPTIVE.build(context(nodes=150, pairs=True, stop={"interval": None}))
    for turn in range(40):
        for request in policy.ask(1):
            policy.tell(judged(request, "loops" not in request.concepts, title=f"problem {turn}"))
    weak, strong = cell(policy, ("loops", "sorting"), "hard"), cell(policy, ("recursion", "sorting"), "hard")
    assert weak["under"] > 0.5 > strong["under"]


def test_calls_go_where_it_is_open_on_which_side_of_the_threshold_a_cell_lies() -> None:
    chances = {"easy": 0.97, "medium": 0.5, "hard": 0.03}
    policy = ADAPTIVE.build(context(nodes=200, stop={"interval": None}))
    requests = play(policy, by_chance(lambda request: chances[request.difficulty]))
    counts = Counter(request.difficulty for request in requests)
    assert counts["medium"] > 2 * counts["easy"]
    assert counts["medium"] > 2 * counts["hard"]


def test_it_stops_once_the_map_is_known_and_says_so() -> None:
    policy = ADAPTIVE.build(context(nodes=2000, stop={"interval": 0.2}))
    requests = play(policy, by_chance(lambda request: 0.9 if request.difficulty == "easy" else 0.1))
    state = policy.state()
    assert policy.finished
    assert len(requests) < 300
    assert state["stopped_by"] == "precision"
    assert "known as precisely" in state["note"]
    known = [
        each["high"] < 0.5 or each["low"] > 0.5 or each["high"] - each["low"] <= 0.4 for each in state["map"]["cells"]
    ]
    assert sum(known) >= 0.95 * len(known)
    assert state["map"]["held"] is True
    assert state["map"]["known"] >= state["map"]["share"] == 0.95
    assert policy.ask(5) == []
    assert json.loads(json.dumps(state)) == state


def test_it_stops_at_the_number_of_nodes_and_says_so() -> None:
    policy = ADAPTIVE.build(context(nodes=30, stop={"interval": 0.01}))
    assert len(play(policy, by_chance(lambda _: 0.5))) == 30
    assert policy.state()["stopped_by"] == "nodes"
    assert policy.total is None


def test_a_node_that_could_not_be_measured_is_asked_again_a_few_times_and_then_given_up() -> None:
    policy = ADAPTIVE.build(context(nodes=300, stop={"interval": None}))
    good = by_chance(lambda _: 0.6)

    def answer(request: NodeRequest) -> NodeOutcome:
        return broken(request) if request.concepts == ("loops",) else good(request)

    counts = Counter(request.node_id for request in play(policy, answer, window=1))
    assert [counts[f"loops|{difficulty}"] for difficulty in DIFFICULTIES] == [3, 3, 3]
    state = policy.state()
    assert (state["given_up"], state["unmeasured"]) == (["loops|easy", "loops|medium", "loops|hard"], 9)
    assert cell(policy, ("loops",), "easy")["measured"] == 0


@pytest.mark.parametrize("stranger", ["unknown", "not_out", "twice"])
def test_an_outcome_of_what_was_not_asked_for_is_an_error_that_names_it(stranger: str) -> None:
    policy = ADAPTIVE.build(context(nodes=30))
    (request,) = policy.ask(1)
    other = next(node.node_id for node in context().nodes if node.node_id != request.node_id)
    wrong = {"unknown": "loops|impossible", "not_out": other, "twice": request.node_id}[stranger]
    if stranger == "twice":
        policy.tell(judged(request, True))
    with pytest.raises(EnvironmentExecutionException, match=re.escape(repr(wrong))) as raised:
        policy.tell(judged(replace(request, node_id=wrong), True))
    assert (raised.value.code, raised.value.subject) == ("never_asked", wrong)
    assert policy.state()["told"] == (stranger == "twice")


ALONE = """
import os
from prismenv.contracts.policy import PolicyContext
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.adaptive.entry import ADAPTIVE, THREADS
from prismenv.search.adaptive.entry import THREADS
from prismenv.search.cells import plan_cells
nodes = plan_cells(["a"], ["easy"])
ADAPTIVE.build(PolicyContext(nodes, SearchSettings(policy="adaptive"), 1, ("a",), ("easy",))).ask(1)
print(len(os.listdir("/proc/self/task")), os.environ.get(THREADS))
"""


@pytest.mark.parametrize(("given", "kept"), [({}, "1 None"), ({THREADS: "1"}, "1 1")])
def test_it_keeps_linear_algebra_to_one_thread_and_the_environment_as_it_was(given: dict[str, str], kept: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ended = subprocess.run(
        [sys.executable, "-c", ALONE], env=clean | given, capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout.split("\n")[0] == kept


def test_where_nothing_can_be_measured_it_ends() -> None:
    policy = ADAPTIVE.build(context(nodes=1000))
    requests = play(policy, broken, window=8)
    assert policy.state()["stopped_by"] == "unmeasurable"
    assert len(requests) <= 9 * 3 + 2 * 8


def test_answers_to_the_same_problem_count_less_and_come_to_an_end() -> None:
    policies = []
    for title in ("always the same", "problem {index}"):
        policy = ADAPTIVE.build(context(("loops",), ("easy",), nodes=400, stop={"interval": 0.02, "share": 1}))

        def answer(request: NodeRequest, title: str = title) -> NodeOutcome:
            return judged(request, request.index % 2 == 0, title=title.format(index=request.index))

        policies.append((policy, len(play(policy, answer, window=1))))
    (same, asked), (fresh, most) = policies
    assert asked < 60 < most
    assert same.state()["stopped_by"] == "exhausted"
    widths = [each["high"] - each["low"] for policy in (same, fresh) for each in policy.state()["map"]["cells"]]
    assert widths[0] > 2 * widths[1]


def test_problems_of_a_data_set_are_all_measured_before_any_is_measured_again() -> None:
    nodes = tuple(PlannedNode(f"set/{n}", ("set",), "medium", {"n": n}) for n in range(12))
    search = SearchSettings.model_validate({"policy": "adaptive", "nodes": 12, "stop": {"interval": None}})
    policy = ADAPTIVE.build(PolicyContext(nodes, search, seed=0))
    requests = play(policy, by_chance(lambda _: 0.5), window=3)
    assert {request.node_id for request in requests} == {node.node_id for node in nodes}
    assert {request.options["n"] for request in requests} == set(range(12))


def test_a_node_of_several_problems_counts_each_that_was_measured() -> None:
    policy = ADAPTIVE.build(context(nodes=5))
    (request,) = policy.ask(1)
    problems = [
        ProblemSummary(problem_index=0, success=True, attempts=1),
        ProblemSummary(problem_index=1, success=False, attempts=3),
        ProblemSummary(problem_index=2, success=False, attempts=1, fault="infrastructure"),
    ]
    policy.tell(NodeOutcome(request, ChallengeResults(success=False, problems=problems), fault="candidate"))
    found = cell(policy, request.concepts, request.difficulty)
    assert (found["measured"], found["solved"]) == (2, 1)


def test_tests_that_an_unsolved_problem_passed_count_too() -> None:
    policy = ADAPTIVE.build(context(("a", "b", "c", "d"), nodes=400, stop={"interval": None}))
    strong = {"a": 0.8, "b": 0.6, "c": 0.4, "d": 0.2}

    def answer(request: NodeRequest) -> NodeOutcome:
        chance = strong[request.concepts[0]]
        return judged(request, derive_random(request.seed, "x").random() < chance, passed=round(10 * chance))

    play(policy, answer)
    assert policy.state()["credit"]["slope"] > 0.3


def test_mean_ability_is_known_with_fewer_calls_than_the_map() -> None:
    needed = {}
    for objective in ("threshold", "ability"):
        policy = ADAPTIVE.build(context(objective=objective, stop={"interval": 0.1}))
        needed[objective] = len(play(policy, by_chance(lambda _: 0.5)))
        assert policy.state()["stopped_by"] == "precision"
    assert needed["ability"] < needed["threshold"] / 2
    ability = policy.state()["map"]["ability"]
    assert ability["high"] - ability["low"] <= 0.2
    assert ability["rate"] == pytest.approx(0.5, abs=0.2)


def test_a_difference_is_found_against_a_reference() -> None:
    first = ADAPTIVE.build(context(nodes=200, stop={"interval": None}))
    answer = by_chance(lambda _: 0.8)
    reference = tuple(answer(request) for request in play(first, answer))
    policy = ADAPTIVE.build(context(reference=reference, objective="difference", nodes=300, stop={"interval": 0.15}))
    play(policy, by_chance(lambda request: 0.1 if "sorting" in request.concepts else 0.8))
    for difficulty in DIFFICULTIES:
        assert cell(policy, ("sorting",), difficulty)["difference"]["high"] < 0
        assert cell(policy, ("loops",), difficulty)["difference"]["high"] > -0.2


@pytest.mark.parametrize(
    ("search", "code"),
    [
        ({"stop": {"interval": None}}, "no_end"),
        ({"objective": "difference"}, "no_reference"),
    ],
)
def test_a_search_that_cannot_be_is_a_configuration_error(search: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigurationException) as raised:
        ADAPTIVE.build(context(**search))
    assert raised.value.code == code


def test_more_cells_than_the_model_can_hold_are_an_error() -> None:
    concepts = tuple(f"c{n}" for n in range(60))
    with pytest.raises(ConfigurationException, match="at most 1500 cells") as raised:
        ADAPTIVE.build(context(concepts, pairs=True))
    assert raised.value.code == "too_many_cells"


@pytest.mark.parametrize(
    "search",
    [
        {"threshold": 0},
        {"threshold": 1},
        {"threshold": True},
        {"objective": "speed"},
        {"stop": {"interval": 0}},
        {"stop": {"interval": 1}},
        {"stop": {"share": 1.5}},
        {"stop": {"confidence": 1}},
        {"stop": {"width": 0.1}},
        {"nodes": 0},
    ],
)
def test_settings_out_of_range_are_refused(search: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSettings.model_validate(search)
