"""Every parameter of a phase is in force: a search that differs in it alone is another search."""

from typing import Any

import pytest

from prismenv.contracts.phases import PhaseBlock, PhaseParams, PhasePlan, ScoringParams, SearchParams
from prismenv.contracts.policy import PolicyContext
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.phased.kinds import build_prismbench
from prismenv.search.phased.policy import PhasedPolicy
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.seeding import derive_random

LEVELS = ("very easy", "easy", "medium", "hard", "very hard")
SECTIONS = {"phase_params": PhaseParams, "search_params": SearchParams, "scoring_params": ScoringParams}
# Section, key, phase in which it shows, and a value that is not the usual one. `max_num_passed` is the tests' weight.
CHANGES = [
    ("phase_params", "max_depth", "phase_1", 1),
    ("phase_params", "max_iterations", "phase_1", 12),
    ("phase_params", "performance_threshold", "phase_1", 0.9),
    ("phase_params", "value_delta_threshold", "phase_1", 2.0),
    ("phase_params", "convergence_checks", "phase_1", 2),
    ("phase_params", "exploration_probability", "phase_1", 0.9),
    ("phase_params", "num_nodes_per_iteration", "phase_1", 1),
    ("phase_params", "task_timeout", "phase_1", 7.0),
    ("phase_params", "exploration_weight", "phase_2", 0.0),
    ("phase_params", "challenge_threshold", "phase_2", 0.95),
    ("phase_params", "variations_per_concept", "phase_3", 2),
    ("phase_params", "node_selection_threshold", "phase_3", 0.95),
    ("search_params", "max_attempts", "phase_1", 9),
    ("search_params", "discount_factor", "phase_1", 0.1),
    ("search_params", "learning_rate", "phase_1", 0.2),
    ("scoring_params", "penalty_per_failure", "phase_1", 9.0),
    ("scoring_params", "penalty_per_error", "phase_1", 9.0),
    ("scoring_params", "penalty_per_attempt", "phase_1", 9.0),
    ("scoring_params", "fixed_by_problem_fixer_penalty", "phase_1", 15.0),
    ("scoring_params", "max_num_passed", "phase_1", 30),
]


def answer(request: NodeRequest) -> NodeOutcome:
    """One problem of a middling model: one to three attempts, the last one solved or not, now and then by the fixer."""
    chance = derive_random(request.seed, "answer")
    level = LEVELS.index(request.difficulty)
    success = chance.random() < 0.9 - 0.15 * level
    attempts = chance.randrange(1, 4)
    trail = [
        TrailRecord(
            problem_statement=f"problem {request.index}",
            attempt_num=number,
            success=success and number == attempts - 1,
            tests_passed_num=6 if success and number == attempts - 1 else 3,
            tests_failed_num=0 if success and number == attempts - 1 else 2,
            tests_errored_num=0 if success and number == attempts - 1 else 1,
            fixed_by_problem_fixer=success and number == attempts - 1 and chance.random() < 0.3,
            fault="none" if success and number == attempts - 1 else "candidate",
        )
        for number in range(attempts)
    ]
    result = ChallengeResults(success=success, data_trail=trail)
    return NodeOutcome(request, result, "none" if success else "candidate")


def play(phase: str = "", section: str = "phase_params", **change: Any) -> Any:
    """What a search asks for, and the values that it ends with, with one parameter of one phase changed."""
    plans = tuple(
        PhasePlan(name, PhaseBlock.model_validate({section: change} if name == phase else {}))
        for name in ("phase_1", "phase_2", "phase_3")
    )
    policy = build_prismbench(
        PolicyContext((), SearchSettings(policy="prismbench"), 1, ("a", "b", "c", "d"), LEVELS, plans)
    )
    assert isinstance(policy, PhasedPolicy)
    asked: list[NodeRequest] = []
    while not policy.finished:
        for request in policy.ask(8):
            asked.append(request)
            policy.tell(answer(request))
        assert len(asked) < 2000
    return asked, {node.node_id: node.value for node in policy.tree}


def test_every_parameter_is_tried_here() -> None:
    tried = {(section, key) for section, key, *_ in CHANGES}
    assert tried == {(section, key) for section, model in SECTIONS.items() for key in model.model_fields}


@pytest.mark.parametrize(("section", "key", "phase", "value"), CHANGES, ids=[key for _, key, *_ in CHANGES])
def test_a_search_that_differs_in_one_parameter_is_another(section: str, key: str, phase: str, value: Any) -> None:
    usual = PhaseBlock.model_validate({}).model_dump()[section][key]
    assert value != usual
    assert play(phase, section, **{key: value}) != play(phase, section, **{key: usual}) == play()
