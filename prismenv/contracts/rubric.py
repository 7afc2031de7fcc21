"""Rewards that are composed of named parts: how much each was worth is known beside what they come to.

A part is any callable that is given an action and what it led to, and gives a number; or a rubric again. Parts are
asked one after the other, in the order in which they were named, so that the same step has the same score.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from prismenv.contracts.entry import run_method
from prismenv.words.errors import ConfigurationException, EnvironmentException, EnvironmentExecutionException
from prismenv.words.nearness import did_you_mean

Criterion: TypeAlias = Callable[[Any, Any], "float | Awaitable[float | None] | None"]
Part: TypeAlias = "Rubric | Criterion"
RUBRIC_KEY = "rubric"  # of an info, and of a record: what each part gave
_KEYS = ("weighted", "sequence", "gate", "at_least")  # of what composes a rubric
_FORMS = ("weighted", "sequence", "gate", "weight")  # words of a file, which name no part there
_DEEPEST = 20  # levels of a file's rubric
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RubricScore:
    """`value` is what all comes to, None: nothing was measured. `parts`: by dotted name what each part that was asked

    gave, before its weight; one that measured nothing is left out.
    """

    value: float | None
    parts: Mapping[str, float] = field(default_factory=dict)


class Rubric(ABC):
    """Scores a step. One may be shared by any number of episodes: it keeps nothing."""

    async def score(self, action: Any, outcome: Any) -> RubricScore:
        """What `action` is worth, which led to `outcome` (an observation, or whatever the parts are written for).

        EnvironmentExecutionException that names the part: it raised (`rubric_failed`), or gave what is no finite number
        and not None (`bad_score`).
        """
        found: dict[str, float] = {}
        return RubricScore(await self._value("", (action, outcome), found), found)

    @abstractmethod
    async def _value(self, path: str, step: tuple[Any, Any], found: dict[str, float]) -> float | None:
        """The value of the part at `path`, whose own parts are noted in `found`."""


class WeightedSum(Rubric):
    """The sum of all parts, each times its weight. Where one measured nothing, the sum did not either.

    `weights` None: each has the same, and they add up to 1; else one for each part, which may be negative. Raises
    ConfigurationException for wrong names or weights.
    """

    def __init__(self, parts: Mapping[str, Part], weights: Mapping[str, float] | None = None) -> None:
        self._parts = _named(parts)
        given = dict.fromkeys(parts, 1 / len(parts)) if weights is None else dict(weights)
        for name in given:
            if name not in parts:
                raise _wrong(f"there is a weight for {name!r:.80}, and no such part{did_you_mean(str(name), parts)}")
        for name in parts:
            weight = given.get(name)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
                raise _wrong(f"the weight of {name!r} must be a finite number, found {weight!r:.80}")
        self._weights = {name: float(given[name]) for name in parts}

    async def _value(self, path: str, step: tuple[Any, Any], found: dict[str, float]) -> float | None:
        total: float | None = 0.0
        for name, part in self._parts.items():
            value = await _asked(part, _below(path, name), step, found)
            total = None if total is None or value is None else total + self._weights[name] * value
        return total


class Gate(Rubric):
    """The part's value where it is at least `at_least`, else 0."""

    def __init__(self, part: Part, at_least: float = 1.0) -> None:
        if isinstance(at_least, bool) or not isinstance(at_least, int | float) or not math.isfinite(at_least):
            raise _wrong(f"at_least must be a finite number, found {at_least!r:.80}")
        self._part = _part(part, "a gate")
        self._at_least = at_least

    async def _value(self, path: str, step: tuple[Any, Any], found: dict[str, float]) -> float | None:
        value = await _value_of(self._part, path, step, found)
        return value if value is None or value >= self._at_least else 0.0


class Sequential(Rubric):
    """The last part's value, where every one before it gave more than 0; else 0, and what comes later is not asked."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = _named(parts)

    async def _value(self, path: str, step: tuple[Any, Any], found: dict[str, float]) -> float | None:
        value: float | None = None
        for name, part in self._parts.items():
            value = await _asked(part, _below(path, name), step, found)
            if value is None:
                return None
            if value <= 0:
                return 0.0
        return value


def read_rubric(document: Any, criteria: Mapping[str, Criterion], where: str = "rubric") -> Rubric:
    """A rubric as a configuration file says it, of `criteria` by their names.

    A name is that criterion. `{weighted: {NAME: WEIGHT, …}}`, `{sequence: [NAME, …]}` and `{gate: RUBRIC, at_least:
    NUMBER}` compose; where a name stands, `{NAME: RUBRIC}` names a rubric of its own, and `{NAME: RUBRIC, weight:
    NUMBER}` in a list of `weighted` does. ConfigurationException says where it is wrong.
    """
    part = _read(document, criteria, where, 0)
    return part if isinstance(part, Rubric) else WeightedSum({str(document): part}, {str(document): 1.0})


def _read(document: Any, criteria: Mapping[str, Criterion], where: str, depth: int) -> Part:
    if depth > _DEEPEST:
        raise _wrong(f"{where}: nested more than {_DEEPEST} levels deep")
    if isinstance(document, str):
        if document not in criteria:
            near = did_you_mean(document, criteria)
            raise _wrong(f"{where}: there is no part {document!r:.80}{near}; there are {', '.join(criteria)}")
        return criteria[document]
    if isinstance(document, Mapping):
        if set(document) == {"weighted"}:
            parts, weights = _weighted(document["weighted"], criteria, f"{where}.weighted", depth)
            return WeightedSum(parts, weights)
        if set(document) == {"sequence"}:
            return Sequential(_listed(document["sequence"], criteria, f"{where}.sequence", depth))
        if "gate" in document and set(document) <= {"gate", "at_least"}:
            inner = _read(document["gate"], criteria, f"{where}.gate", depth + 1)
            return Gate(inner, document.get("at_least", 1.0))
        unknown = next((str(key) for key in document if key not in _KEYS), "")
        if near := did_you_mean(unknown, _KEYS):
            raise _wrong(f"{where}: unknown key {unknown!r:.80}{near}")
    raise _wrong(f"{where}: expected a part's name, or one of weighted, sequence and gate, found {document!r:.80}")


def _weighted(
    given: Any, criteria: Mapping[str, Criterion], where: str, depth: int
) -> tuple[dict[str, Part], dict[str, float]]:
    if isinstance(given, Mapping):
        return {name: _read(name, criteria, where, depth + 1) for name in given}, dict(given)
    if not isinstance(given, list | tuple) or not given:
        raise _wrong(f"{where}: expected weights by name, or a list, found {given!r:.80}")
    parts: dict[str, Part] = {}
    weights: dict[str, float] = {}
    for index, each in enumerate(given):
        if not isinstance(each, Mapping) or "weight" not in each:
            raise _wrong(f"{where}[{index}]: expected {{NAME: RUBRIC, weight: NUMBER}}, found {each!r:.80}")
        named = {key: value for key, value in each.items() if key != "weight"}
        for name, part in _listed([named], criteria, f"{where}[{index}]", depth).items():
            if name in parts:
                raise _wrong(f"{where}[{index}]: {name!r:.80} is named twice")
            parts[name], weights[name] = part, each["weight"]
    return parts, weights


def _listed(given: Any, criteria: Mapping[str, Criterion], where: str, depth: int) -> dict[str, Part]:
    if not isinstance(given, list | tuple) or not given:
        raise _wrong(f"{where}: expected a list of parts, found {given!r:.80}")
    parts: dict[str, Part] = {}
    for index, each in enumerate(given):
        name, document = (each, each) if not isinstance(each, Mapping) or len(each) != 1 else next(iter(each.items()))
        if not isinstance(name, str) or name in _FORMS:
            raise _wrong(f"{where}[{index}]: expected a part's name or {{NAME: RUBRIC}}, found {each!r:.80}")
        if name in parts:
            raise _wrong(f"{where}[{index}]: {name!r:.80} is named twice")
        parts[name] = _read(document, criteria, f"{where}[{index}]", depth + 1)
    return parts


async def _asked(part: Part, path: str, step: tuple[Any, Any], found: dict[str, float]) -> float | None:
    """The value of a named part, noted."""
    value = await _value_of(part, path, step, found)
    if value is not None:
        found[path] = value
    return value


async def _value_of(part: Part, path: str, step: tuple[Any, Any], found: dict[str, float]) -> float | None:
    if isinstance(part, Rubric):
        return await part._value(path, step, found)  # noqa: SLF001 - its own
    try:
        given = await run_method(part, *step)
    except EnvironmentException:
        raise
    except Exception as error:  # boundary: an author's code
        raise EnvironmentExecutionException(
            f"the rubric's part {path or 'itself'} raised {type(error).__name__}: {error}", code="rubric_failed"
        ) from error
    if given is None:
        return None
    if hasattr(given, "item") and not isinstance(given, int | float):
        given = given.item()  # a number of numpy's
    if not isinstance(given, int | float) or not math.isfinite(given):
        raise EnvironmentExecutionException(
            f"the rubric's part {path or 'itself'} must give a finite number or None, found {given!r:.80}",
            code="bad_score",
        )
    return float(given)


def _named(parts: Mapping[str, Part]) -> dict[str, Part]:
    if not isinstance(parts, Mapping) or not parts:
        raise _wrong(f"parts must be a mapping of names to parts, with one at least, found {parts!r:.80}")
    for name in parts:
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise _wrong(f"a part's name is letters, digits, _ and -, found {name!r:.80}")
    return {name: _part(part, repr(name)) for name, part in parts.items()}


def _part(part: Part, what: str) -> Part:
    if not isinstance(part, Rubric) and not callable(part):
        raise _wrong(f"{what} must be a rubric or a callable, found {type(part).__name__}")
    return part


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _wrong(message: str) -> ConfigurationException:
    return ConfigurationException(message, code="bad_rubric", subject="rubric")
