"""The search in phases: PrismBench's formulas, and each of its known faults absent."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv.contracts.phases import PhaseBlock, PhasePlan, ScoringParams
from prismenv.contracts.policy import PolicyContext
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.phased.kinds import BUILT_IN, build_prismbench
from prismenv.search.phased.phase import Phase, PhaseSetup
from prismenv.search.phased.policy import PhasedPolicy
from prismenv.search.phased.scores import ProblemScore, challenge_value, mapping_value, problem_scores
from prismenv.search.tree import TreeNode
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.seeding import derive_random

LEVELS = ("very easy", "easy", "medium", "hard", "very hard")
Answer = Callable[[NodeRequest], NodeOutcome]


def context(concepts: int = 4, *, seed: int = 0, window: int = 64, **blocks: dict[str, Any]) -> PolicyContext:
    """Three phases; `phase_1={...}` gives phase_params of one."""
    plans = tuple(
        PhasePlan(name, PhaseBlock.model_validate({"phase_params": blocks.get(name, {})}))
        for name in ("phase_1", "phase_2", "phase_3")
    )
    names = tuple(f"c{number}" for number in range(concepts))
    return PolicyContext((), SearchSettings(policy="prismbench", window=window), seed, names, LEVELS, plans)


def outcome(request: NodeRequest, attempts: Sequence[bool], *, fixer: bool = False) -> NodeOutcome:
    """A result of one problem: each attempt passes all of four tests or fails two of them."""
    trail = [
        TrailRecord(
            problem_statement=f"problem {request.index}",
            success=success,
            attempt_num=number,
            tests_passed_num=4 if success else 2,
            tests_failed_num=0 if success else 2,
            fixed_by_problem_fixer=fixer and success,
            fault="none" if success else "candidate",
        )
        for number, success in enumerate(attempts)
    ]
    success = any(attempts)
    result = ChallengeResults(success=success, data_trail=trail)
    return NodeOutcome(request, result, "none" if success else "candidate")


def strong(request: NodeRequest) -> NodeOutcome:
    return outcome(request, [True])


def weak(request: NodeRequest) -> NodeOutcome:
    return outcome(request, [False, False, False])


def middling(request: NodeRequest) -> NodeOutcome:
    chance = 1 - 0.2 * LEVELS.index(request.difficulty) - 0.1 * (len(request.concepts) - 1)
    return outcome(request, [derive_random(request.seed, "answer").random() < chance])


def unreachable(request: NodeRequest) -> NodeOutcome:
    return NodeOutcome(request, None, "infrastructure", "no answer")


def play(policy: PhasedPolicy, answer: Answer, *, window: int = 64, most: int = 5000) -> list[NodeRequest]:
    """All requests of a search, told in the order of asking with up to `window` out."""
    requests: list[NodeRequest] = []
    told = 0
    while True:
        requests += policy.ask(window - (len(requests) - told))
        if told == len(requests):
            assert policy.finished
            return requests
        assert len(requests) < most
        policy.tell(answer(requests[told]))
        told += 1


def built(given_context: PolicyContext) -> PhasedPolicy:
    policy = build_prismbench(given_context)
    assert isinstance(policy, PhasedPolicy)
    return policy


@pytest.mark.parametrize("answer", [strong, weak, middling, unreachable])
@pytest.mark.parametrize("concepts", [1, 2, 3, 4, 10])
def test_a_search_ends_and_measures_every_concept_by_itself(concepts: int, answer: Answer) -> None:
    policy = built(context(concepts))
    requests = play(policy, answer)
    singles = {request.concepts for request in requests if len(request.concepts) == 1}
    assert len(singles) == concepts
    asked = Counter(request.phase for request in requests)
    assert max(asked.values()) <= 100
    assert [phase["ended"] for phase in policy.state()["phases"]] != [None] * 3
    assert all(0 <= node.value <= 1 for node in policy.tree)


def test_a_strong_model_climbs_to_the_top_and_leaves_nothing_for_the_last_phase() -> None:
    policy = built(context(3))
    requests = play(policy, strong)
    assert any(request.difficulty == "very hard" for request in requests)
    assert not [request for request in requests if request.phase == "phase_3"]
    assert policy.state()["phases"][2] == {
        "name": "phase_3", "asked": 0, "measured": 0, "unmeasured": 0, "ended": "nothing left to measure",
    }  # fmt: skip


def test_a_weak_model_does_not_converge_before_everything_was_measured_once() -> None:
    policy = built(context(6))
    requests = play(policy, weak)
    first = [request for request in requests if request.phase == "phase_1"]
    assert len({request.node_id for request in first}) == 6 + 15
    assert len(first) >= 6 + 15 + 10
    assert policy.state()["phases"][0]["ended"] == "converged"


def test_hard_nodes_are_measured_in_depth_with_what_was_asked_before() -> None:
    policy = built(context(2, phase_3={"variations_per_concept": 3, "max_iterations": 1000}))
    requests = [request for request in play(policy, weak) if request.phase == "phase_3"]
    by_node = Counter((request.concepts, request.difficulty) for request in requests)
    assert set(by_node.values()) == {3}
    for request in requests:
        previous = request.options["previous_problems"]
        assert previous, "the node's own problems at least"
        assert len(set(previous)) == len(previous)
        earlier = [
            f"problem {other.index}"
            for other in requests
            if (other.concepts, other.difficulty) == (request.concepts, request.difficulty)
            and other.index < request.index
        ]
        assert set(earlier) <= set(previous)


def test_what_cannot_be_measured_is_asked_again_twice_and_stays_in_the_tree() -> None:
    policy = built(context(1))
    requests = play(policy, unreachable)
    assert len([request for request in requests if request.node_id == "c0|very easy"]) >= 3
    assert not any(node.measured or node.visits for node in policy.tree)
    assert sum(phase["unmeasured"] for phase in policy.state()["phases"]) == len(requests)


def test_a_node_is_never_out_twice_and_no_more_are_out_than_the_phase_allows() -> None:
    policy = built(context(3, phase_1={"num_nodes_per_iteration": 4}))
    out: list[NodeRequest] = []
    for _ in range(60):
        out += policy.ask(64)
        assert len(out) <= 4
        assert len({request.node_id for request in out}) == len(out)
        policy.tell(middling(out.pop(0)))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_same_seed_gives_the_same_search(seed: int, concepts: int) -> None:
    one, other = built(context(concepts, seed=seed)), built(context(concepts, seed=seed))
    assert play(one, middling) == play(other, middling)
    assert [(node.node_id, node.value, node.visits) for node in one.tree] == [
        (node.node_id, node.value, node.visits) for node in other.tree
    ]


def test_another_seed_gives_another_search() -> None:
    assert len({tuple(r.node_id for r in play(built(context(4, seed=seed)), middling)) for seed in range(3)}) == 3


def test_limits_and_environments_of_a_phase_reach_the_request() -> None:
    plans = (
        PhasePlan(
            "phase_1",
            PhaseBlock.model_validate(
                {
                    "phase_params": {"task_timeout": 7, "max_iterations": 1},
                    "search_params": {"max_attempts": 2},
                    "environment": {"name": "environment_echo"},
                }
            ),
        ),
    )
    policy = built(PolicyContext((), SearchSettings(policy="prismbench"), 0, ("a",), LEVELS, plans))
    (request,) = play(policy, strong)
    assert request.options == {"max_attempts": 2, "timeout": 7}
    assert (request.environment, list(policy.environments)) == ("environment_echo", ["environment_echo"])


def test_depth_and_threshold_hold_expansion_back() -> None:
    shallow = built(context(2, phase_1={"max_depth": 1}, phase_2={"max_depth": 1}))
    play(shallow, strong)
    assert max(node.depth for node in shallow.tree) <= 1
    proud = built(context(2, phase_1={"performance_threshold": 1.1}))
    assert {r.difficulty for r in play(proud, strong) if r.phase == "phase_1"} == {"very easy", "easy"}


def test_ancestors_learn_once_at_a_discount_by_the_shortest_way() -> None:
    policy = built(context(2, phase_1={"max_iterations": 3, "exploration_probability": 0}))
    phase = CapabilityPhase(policy)
    pair = policy.tree["c0+c1|easy"]
    below = policy.tree.harder(pair)
    assert below is not None
    policy.tree.link(policy.tree["c0|very easy"], below)
    phase.backpropagate_node_value(below, 1.0)
    assert [(node.node_id, node.visits) for node in policy.tree if node.visits] == [
        ("c0|very easy", 1), ("c1|very easy", 1), ("c0+c1|easy", 1), ("c0+c1|medium", 1),
    ]  # fmt: skip
    assert below.value == pytest.approx(0.9)
    assert pair.value == policy.tree["c0|very easy"].value == pytest.approx(0.81)
    assert policy.tree["c1|very easy"].value == pytest.approx(0.729)


def CapabilityPhase(policy: PhasedPolicy) -> Phase:  # noqa: N802 - stands for the class
    plan = PhasePlan("phase_1", PhaseBlock())
    return Phase(PhaseSetup(plan, 1, policy.tree, policy._evidence, Random(0), "corrected"))


def test_a_child_of_one_parent_has_an_exploration_bonus() -> None:
    policy = built(context(1))
    phase = CapabilityPhase(policy)
    root = policy.tree["c0|very easy"]
    child = policy.tree.harder(root)
    assert child is not None
    for _ in range(9):
        phase.learn(root, 0.5)
    phase.learn(child, 0.5)
    assert phase.bound(child) > child.value + 1


counts = st.integers(0, 50)
SCORES = st.builds(ProblemScore, st.booleans(), st.integers(1, 5), st.booleans(), counts, counts, counts)


@given(st.lists(SCORES, max_size=4), st.floats(0, 1), st.sampled_from(["corrected", "original"]))
def test_values_stay_between_0_and_1(scores: list[ProblemScore], hardness: float, formulas: Any) -> None:
    assert 0 <= mapping_value(scores, hardness, ScoringParams(), formulas) <= 1
    assert 0 <= challenge_value(scores, formulas) <= 1


def test_the_original_formulas_are_prismbenchs() -> None:
    solved = ProblemScore(True, attempts=2, passed=7, failed=1, errored=1)
    assert mapping_value([solved], 0.5, ScoringParams(), "original") == (20 + 7 - 2 - 3 - 1) / 40
    by_fixer = ProblemScore(True, attempts=3, by_fixer=True, passed=5)
    assert mapping_value([by_fixer], 0.0, ScoringParams(), "original") == (10 + 5 - 2 - 5) / 40
    assert challenge_value([by_fixer], "original") == pytest.approx(0.5)
    assert challenge_value([ProblemScore(False, attempts=3)], "original") == pytest.approx(0.8)


def test_original_formulas_are_in_force_where_the_recipe_says_so_and_values_stay_bounded() -> None:
    found = {}
    for formulas in ("corrected", "original"):
        given = context()
        policy = built(replace(given, settings=given.settings.model_copy(update={"formulas": formulas})))
        play(policy, weak)
        assert all(0 <= node.value <= 1 for node in policy.tree)
        found[formulas] = max(node.value for node in policy.tree)
    assert found["corrected"] > found["original"]  # never solved: as hard as can be, or less than by the fixer


def test_never_solved_is_harder_than_solved_by_the_fixer_and_that_than_solved_at_once() -> None:
    never, fixer, once = ProblemScore(False, 1), ProblemScore(True, 3, by_fixer=True), ProblemScore(True, 1)
    values = [challenge_value([each], "corrected") for each in (never, fixer, once)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3


def test_suites_of_any_size_earn_the_same() -> None:
    small, large = ProblemScore(True, passed=3), ProblemScore(True, passed=30)
    assert mapping_value([small], 0, ScoringParams(), "corrected") == 0.5
    assert mapping_value([large], 0, ScoringParams(), "corrected") == 0.5


def test_each_problem_of_a_result_counts_and_attempts_end_with_the_success() -> None:
    trail = [
        TrailRecord(problem_index=0, attempt_num=0, fault="candidate", tests_failed_num=1),
        TrailRecord(problem_index=0, attempt_num=1, success=True, tests_passed_num=1, fixed_by_problem_fixer=True),
        TrailRecord(problem_index=1, attempt_num=0, fault="candidate"),
        TrailRecord(problem_index=2, attempt_num=0, fault="infrastructure"),
    ]
    assert problem_scores(ChallengeResults(success=False, data_trail=trail)) == [
        ProblemScore(True, 2, True, passed=1, failed=1),
        ProblemScore(False, 1),
    ]
    assert problem_scores(ChallengeResults(success=True)) == [ProblemScore(True)]


class Contrary(Phase):
    """A phase of somebody else's."""

    given: Any = None

    def select_node(self) -> TreeNode | None:
        if isinstance(self.given, Exception):
            raise self.given
        if self.given == "forever":
            self.tree.plant()
            return self.draw(self.plain_nodes())
        return self.given  # type: ignore[no-any-return]


def contrary(given_value: Any) -> PhasedPolicy:
    kind = type("Kind", (Contrary,), {"given": given_value})
    return PhasedPolicy(context(2), {**BUILT_IN, "phase_1": kind})


def test_a_phase_that_raises_or_gives_no_node_is_told_by_name() -> None:
    with pytest.raises(EnvironmentExecutionException, match="select_node of the phase 'phase_1' failed: KeyError: 'x'"):
        contrary(KeyError("x")).ask(1)
    with pytest.raises(EnvironmentExecutionException, match="select_node of the phase 'phase_1' gave 'loops'"):
        contrary("loops").ask(1)


def test_a_phase_that_never_proposes_ends_and_one_that_always_does_ends_too() -> None:
    silent = contrary(None)
    play(silent, strong)
    assert silent.state()["phases"][0]["ended"] == "nothing left to measure"
    eager = contrary("forever")
    assert len([r for r in play(eager, strong) if r.phase == "phase_1"]) <= 100


def test_a_search_without_phases_or_with_an_unknown_one_is_refused() -> None:
    with pytest.raises(ConfigurationException, match="needs phases"):
        built(PolicyContext((), SearchSettings(policy="prismbench"), 0, ("a",), LEVELS))
    plans = (PhasePlan("phase_9", PhaseBlock()),)
    with pytest.raises(ConfigurationException, match="no phase 'phase_9'; there are phase_1"):
        built(PolicyContext((), SearchSettings(policy="prismbench"), 0, ("a",), LEVELS, plans))


def test_a_search_without_concepts_is_refused() -> None:
    plans = (PhasePlan("phase_1", PhaseBlock()),)
    with pytest.raises(ConfigurationException, match="at least one of concepts"):
        built(PolicyContext((), SearchSettings(policy="prismbench"), 0, (), LEVELS, plans))
