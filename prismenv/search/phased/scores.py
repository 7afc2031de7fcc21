"""What a result says of each problem, and what a node is worth for it.

Two sets of formulas. `corrected`, the default, differs from PrismBench's in three things, each because the original
ranks nodes wrongly:

- Tests count by their share. The original adds numbers of tests, so a suite of three can never earn what one of twenty
  does, and a value may leave its range. Here a problem's tests weigh `max_num_passed` together, however many there are.
- A problem that nobody solved is as hard as can be. The original adds a fifth for the fixer's help and nothing for a
  failure, so that "solved by the fixer" is harder than "never solved".
- Several problems of a result are values of their own, and the node's is their mean.

`original` is PrismBench's, with values kept between 0 and 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prismenv.contracts.phases import ScoringParams
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.verdict import Fault

Formulas = Literal["corrected", "original"]
FULL_MARKS = 10.0  # what a solved problem earns at the easiest difficulty
HARDEST_WEIGHT = 3.0  # and so many times as much at the hardest
RATE_SHARE, ATTEMPTS_SHARE, FIXER_SHARE = 0.5, 0.3, 0.2  # of a challenge's value
_MEASURED: tuple[Fault, ...] = ("none", "candidate")


@dataclass(frozen=True, slots=True)
class ProblemScore:
    """One measured problem. Tests are summed over its attempts; `attempts` ends with the one that succeeded."""

    success: bool
    attempts: int = 1
    by_fixer: bool = False
    passed: int = 0
    failed: int = 0
    errored: int = 0


def problem_scores(result: ChallengeResults) -> list[ProblemScore]:
    """The problems of a result that say something about the candidate.

    A result without a trail is one problem, of which only its success is known. Problems whose last record is the fault
    of somebody else are left out.
    """
    if not result.data_trail:
        return [ProblemScore(result.success)]
    problems: dict[int, list[TrailRecord]] = {}
    for record in result.data_trail:
        problems.setdefault(record.problem_index, []).append(record)
    return [_score(records) for _, records in sorted(problems.items()) if records[-1].fault in _MEASURED]


def _score(records: Sequence[TrailRecord]) -> ProblemScore:
    solved = next((record for record in records if record.success), None)
    return ProblemScore(
        success=solved is not None,
        attempts=solved.attempt_num + 1 if solved else len(records),
        by_fixer=solved is not None and solved.fixed_by_problem_fixer,
        passed=sum(record.tests_passed_num for record in records),
        failed=sum(record.tests_failed_num for record in records),
        errored=sum(record.tests_errored_num for record in records),
    )


def mapping_value(scores: Sequence[ProblemScore], hardness: float, scoring: ScoringParams, formulas: Formulas) -> float:
    """What a node earns when abilities are mapped, between 0 and 1; 0 for no problems. `hardness` is 0 to 1.

    `max(0, 10*w*success + passed - 2*failed - 3*errored - (attempts-1) - 5*fixer) / 40`, w from 1 to 3 by difficulty.
    """
    values = [_mapped(score, hardness, scoring, formulas) for score in scores]
    return sum(values) / len(values) if values else 0.0


def _mapped(score: ProblemScore, hardness: float, scoring: ScoringParams, formulas: Formulas) -> float:
    weight = 1 + (HARDEST_WEIGHT - 1) * hardness
    tests = score.passed + score.failed + score.errored
    scale = 1.0 if formulas == "original" else scoring.max_num_passed / tests if tests else 0.0
    raw = (
        FULL_MARKS * weight * score.success
        + scale * score.passed
        - scale * (scoring.penalty_per_failure * score.failed + scoring.penalty_per_error * score.errored)
        - scoring.penalty_per_attempt * (score.attempts - 1)
        - scoring.fixed_by_problem_fixer_penalty * score.by_fixer
    )
    return min(max(raw, 0.0) / (FULL_MARKS * HARDEST_WEIGHT + scoring.max_num_passed), 1.0)


def challenge_value(scores: Sequence[ProblemScore], formulas: Formulas) -> float:
    """How hard a node was, between 0 and 1; 0 for no problems.

    `0.5*(1 - success_rate) + 0.3*min(attempts/3, 1) + 0.2*fixer`; with `corrected`, what nobody solved has all of it.
    """
    values = [_hardness(score, formulas) for score in scores]
    return sum(values) / len(values) if values else 0.0


def _hardness(score: ProblemScore, formulas: Formulas) -> float:
    if formulas == "corrected" and not score.success:
        return 1.0
    return (
        RATE_SHARE * (not score.success) + ATTEMPTS_SHARE * min(score.attempts / 3, 1.0) + FIXER_SHARE * score.by_fixer
    )
