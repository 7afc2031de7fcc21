"""Stored runs set against a first one: whether they can be compared, and how they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prismenv.engine.survey import Survey
from prismenv.scoring.comparing import Comparison, compare
from prismenv.scoring.measures import measure
from prismenv.words.errors import ConfigurationException

_NO_MEASUREMENT = ("name", "description", "budget", "concurrency", "output", "cache", "record", "keys", "limits")


@dataclass(frozen=True, slots=True)
class Contender:
    """A run, or several taken together, and how it compares with the first.

    `differs` are the recipe's keys in which they differ, with both values.
    """

    survey: Survey
    comparison: Comparison
    differs: Mapping[str, tuple[Any, Any]]
    remarks: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the run, or the runs taken together, are called."""
        return self.survey.label


@dataclass(frozen=True, slots=True)
class Contest:
    """A first run and the others, each compared with it."""

    first: Survey
    others: tuple[Contender, ...]

    @property
    def worse(self) -> bool:
        """True where any of the others has a regression."""
        return any(other.comparison.worse for other in self.others)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "first": _facts(self.first),
            "regression": self.worse,
            "others": [
                {
                    **_facts(other.survey),
                    "mode": other.comparison.mode,
                    "common_problems": other.comparison.common,
                    "only_first": other.comparison.only_first,
                    "only_second": other.comparison.only_second,
                    "regression": other.comparison.worse,
                    "differs": {key: list(pair) for key, pair in other.differs.items()},
                    "remarks": list(other.remarks),
                    "total": other.comparison.total.to_json(),
                    "areas": [item.to_json() for item in other.comparison.areas],
                }
                for other in self.others
            ],
        }


CONTRAST_COLUMNS = (
    "first",
    "second",
    "mode",
    "kind",
    "name",
    "difficulty",
    "first_rate",
    "second_rate",
    "first_problems",
    "second_problems",
    "difference",
    "low",
    "high",
    "method",
    "p",
    "p_adjusted",
    "status",
)


def contrast_rows(contest: Contest) -> Iterator[dict[str, Any]]:
    """All differences as rows of one shape, CONTRAST_COLUMNS; the total of each run comes first."""
    for other in contest.others:
        facts = {"first": contest.first.label, "second": other.label, "mode": other.comparison.mode}
        for item in (other.comparison.total, *other.comparison.areas):
            yield {**facts, **item.to_json()}


def compare_surveys(surveys: Sequence[Survey], *, anyway: bool = False) -> Contest:
    """Compare every run, or tree, with the first.

    Runs that measured different things (another environment, another mode of verdicts, nothing in common) are a
    ConfigurationException (`not_comparable`); with `anyway` it is a remark, but where nothing is in common.
    """
    if len(surveys) < 2:  # noqa: PLR2004 - a comparison is of two
        raise ConfigurationException("a comparison needs two runs or more", hint="`prismenv report` shows one.")
    first, *rest = surveys
    return Contest(first, tuple(_contender(first, other, anyway=anyway) for other in rest))


def _contender(first: Survey, other: Survey, *, anyway: bool) -> Contender:
    obstacles = list(_obstacles(first, other))
    if obstacles and not anyway:
        raise _not_comparable(first, other, "; ".join(obstacles), "--anyway compares them all the same.")
    comparison = compare(first.whole.scores, other.whole.scores, seed=first.runs[0].seed)
    if comparison is None:
        why = "they have no problem and no cell of concept and difficulty in common that both measured"
        raise _not_comparable(first, other, why, "Run both with the same concepts and difficulties.")
    differs = _differences(first.runs[0].recipe, other.runs[0].recipe)
    return Contender(other, comparison, differs, (*obstacles, *_remarks(first, other, comparison, differs)))


def _not_comparable(first: Survey, other: Survey, why: str, hint: str) -> ConfigurationException:
    names = f"{first.label} and {other.label}"
    return ConfigurationException(
        f"runs {names} cannot be compared: {why}", code="not_comparable", subject=other.label, hint=hint
    )


def _obstacles(first: Survey, other: Survey) -> Iterator[str]:
    mine, theirs = first.runs[0], other.runs[0]
    for survey in (first, other):
        if not measure(survey.whole.scores).measured:
            yield f"{survey.label} measured nothing"
    if mine.environment != theirs.environment:
        yield f"their environments are {mine.environment} and {theirs.environment}"
    if first.modes and other.modes and first.modes != other.modes:
        yield f"their verdicts were made in different modes, {_named(first.modes)} and {_named(other.modes)}"


def _remarks(
    first: Survey, other: Survey, comparison: Comparison, differs: Mapping[str, tuple[Any, Any]]
) -> Iterator[str]:
    if first.label == other.label:
        yield "a run compared with itself: every difference is 0"
    for run in dict.fromkeys(run.run_id for run in (*first.runs, *other.runs) if run.status != "finished"):
        status = next(found.status for found in (*first.runs, *other.runs) if found.run_id == run)
        yield f"{run} is {status.replace('_', ' ')}: not all of it was measured"
    if comparison.mode == "by_cell":
        yield "they measured different problems, so rates are compared within cells that both measured"
    elif comparison.only_first or comparison.only_second:
        yield (
            f"{comparison.only_first} problems of the first and {comparison.only_second} of the second have no "
            "counterpart and are not compared"
        )
    if first.harnesses and other.harnesses and first.harnesses != other.harnesses:
        yield "they were judged by different versions of the harness; `prismenv rejudge` tells whether verdicts changed"
    for key in ("config", "options", "data", "sandbox"):
        if any(name.partition(".")[0] == key for name in differs):
            yield f"their recipes differ in {key}, which may explain a difference as well as the model"
    if first.simulated != other.simulated:
        yield "one of them is of a simulated model"


def _named(names: frozenset[str] | set[str]) -> str:
    return "+".join(sorted(names))


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The recipe's keys in which two runs differ, but for those that change no measurement."""
    mine, theirs = dict(_leaves(first)), dict(_leaves(second))
    keys = [*mine, *(key for key in theirs if key not in mine)]
    return {
        key: (mine.get(key), theirs.get(key))
        for key in keys
        if key.partition(".")[0] not in _NO_MEASUREMENT and mine.get(key) != theirs.get(key)
    }


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def _facts(survey: Survey) -> dict[str, Any]:
    run = survey.runs[0]
    usage = survey.whole.total_usage
    return {
        "run_ids": [found.run_id for found in survey.runs],
        "name": run.name,
        "environment": run.environment,
        "status": run.status,
        "models": sorted(survey.models),
        "simulated": survey.simulated,
        "nodes": survey.whole.nodes,
        "measured": measure(survey.whole.scores).to_json(),
        "calls": usage.calls,
        "tokens": usage.tokens,
        "cost_usd": usage.cost_usd,
    }
