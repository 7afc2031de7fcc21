"""What an attempt at a coding challenge is worth: parts that a configuration composes into a rubric."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prismenv import ConfigurationException, Rubric, Verdict, read_rubric

RewardRule = Literal["all_or_nothing", "share", "shaped"]
_RULES: Mapping[RewardRule, str] = {
    "all_or_nothing": "solved",
    "share": "share",
    "shaped": "gain",
}
_RAN = ("passed", "failed")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is graded. `gain` is by how much `share` is more than the best before; `number` counts from 1."""

    verdict: Verdict
    share: float
    gain: float
    number: int
    attempts: int


async def solved(_action: Any, attempt: Attempt) -> float:
    """1 for a program that passes all tests."""
    return float(attempt.verdict.success)


async def share(_action: Any, attempt: Attempt) -> float:
    """The share of tests that it passed."""
    return attempt.share


async def gain(_action: Any, attempt: Attempt) -> float:
    """By how much that is more than ever before; gains add up to the best share."""
    return attempt.gain


async def early(_action: Any, attempt: Attempt) -> float:
    """1 for a program that passes at the first attempt, less at each further one, 0 at the last or without passing."""
    if not attempt.verdict.success:
        return 0.0
    return 1.0 if attempt.attempts == 1 else (attempt.attempts - attempt.number) / (attempt.attempts - 1)


async def ran(_action: Any, attempt: Attempt) -> float:
    """1 where all tests ran to an end."""
    return float(attempt.verdict.outcome in _RAN)


CRITERIA = {each.__name__: each for each in (solved, share, gain, early, ran)}


def rubric_of(rule: RewardRule, composed: Any) -> Rubric:
    """The rubric that a configuration asks for: what is composed, else that of the rule.

    ConfigurationException where it is not composed rightly.
    """
    try:
        return read_rubric(_RULES[rule] if composed is None else composed, CRITERIA)
    except ConfigurationException as error:
        raise error.at("config", "rubric")  # noqa: B904 - the same one, with its place
