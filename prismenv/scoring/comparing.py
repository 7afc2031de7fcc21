"""Two sets of results compared, area by area.

Where both measured the same problems, each problem is compared with itself, which takes the difference between problems
out of the comparison; what only one of them measured is not compared. Else the rates are compared within the cells that
both measured, so that a search which chose harder nodes does not look like a weaker model. Which of the two it is is
decided once, for all areas.

The unit is a problem: the mean of its measurements, however many samples or repetitions it has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from prismenv.scoring.areas import TOTAL, Area, by_area
from prismenv.scoring.differences import (
    fisher,
    holm,
    mantel_haenszel,
    mantel_haenszel_p,
    mcnemar,
    newcombe,
    newcombe_paired,
    paired_bootstrap,
    sign_flips,
)
from prismenv.scoring.problems import Score

Mode = Literal["paired", "by_cell"]
Method = Literal["newcombe_paired", "paired_bootstrap", "newcombe", "mantel_haenszel", "none"]
Status = Literal["regression", "perhaps_worse", "no_difference_shown", "perhaps_better", "improvement", "too_few"]
LEVEL = 0.05
FEWEST = 6  # pairs that all go the same way and give a two-sided p below 0.05: fewer can show nothing
ENOUGH_COMMON = 0.5
_ORDER: tuple[Status, ...] = (
    "regression",
    "perhaps_worse",
    "no_difference_shown",
    "too_few",
    "perhaps_better",
    "improvement",
)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The difference of success rates in one area, `second - first`, with its 95 % interval.

    The rates are means over the problems that were compared, `first_n` and `second_n` of them. `p` is the two-sided
    p-value of no difference, `adjusted` the one that takes the number of areas into account; None where there were too
    few problems to show anything. `status` is a regression or an improvement where `adjusted` is below 0.05, "perhaps"
    where only the interval of this one area leaves out 0.
    """

    area: Area
    first_rate: float
    second_rate: float
    first_n: int
    second_n: int
    value: float
    low: float
    high: float
    method: Method
    p: float | None = None
    adjusted: float | None = None
    status: Status = "too_few"
    lost: tuple[str, ...] = ()  # nodes with a problem that only the first solved; where problems are paired
    gained: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            **self.area.to_json(),
            "first_rate": self.first_rate,
            "second_rate": self.second_rate,
            "first_problems": self.first_n,
            "second_problems": self.second_n,
            "difference": self.value,
            "low": self.low,
            "high": self.high,
            "method": self.method,
            "p": self.p,
            "p_adjusted": self.adjusted,
            "status": self.status,
            "lost": list(self.lost),
            "gained": list(self.gained),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The total, and the areas, regressions first. `common` counts the problems that both measured."""

    mode: Mode
    total: Contrast
    areas: tuple[Contrast, ...]
    common: int
    only_first: int
    only_second: int

    @property
    def worse(self) -> bool:
        """True where the total or an area is a regression."""
        return any(item.status == "regression" for item in (self.total, *self.areas))


def compare(first: Sequence[Score], second: Sequence[Score], seed: int = 0) -> Comparison | None:
    """The comparison; None where the two have neither problems nor cells in common."""
    mine, other = _by_problem(first), _by_problem(second)
    common = _common(mine, other)
    smaller = min(len(mine), len(other))
    mode: Mode = "paired" if common and len(common) >= ENOUGH_COMMON * smaller else "by_cell"
    contrast = _paired if mode == "paired" else _by_cell
    areas, others = by_area(first), by_area(second)
    found = [
        made
        for area in areas
        if area in others and (made := contrast(area, _by_problem(areas[area]), _by_problem(others[area]), seed))
    ]
    total = next((item for item in found if item.area == TOTAL), None)
    if total is None:
        return None
    rest = _judged([item for item in found if item.area != TOTAL])
    rest.sort(key=lambda item: (_ORDER.index(item.status), item.value, item.area.label))
    return Comparison(
        mode, _judged([total])[0], tuple(rest), len(common), len(mine) - len(common), len(other) - len(common)
    )


_Key = tuple[str, tuple[str, ...], str]  # the problem, and the cell that it was measured in
_Problems = Mapping[_Key, list[Score]]


def _by_problem(scores: Sequence[Score]) -> dict[_Key, list[Score]]:
    found: dict[_Key, list[Score]] = {}
    for score in scores:
        if score.measured:
            key = (score.problem, tuple(sorted(set(score.concepts))), score.difficulty)
            found.setdefault(key, []).append(score)
    return found


def _common(first: _Problems, second: _Problems) -> list[_Key]:
    """The problems that both measured, in the first's order; one that is known by its place alone is never the same."""
    return [key for key in first if key in second and not key[0].startswith("place:")]


def _mean(scores: Sequence[Score]) -> float:
    return math.fsum(score.value for score in scores) / len(scores)


def _paired(area: Area, first: _Problems, second: _Problems, seed: int) -> Contrast | None:
    common = _common(first, second)
    if not common:
        return None
    before, after = [_mean(first[problem]) for problem in common], [_mean(second[problem]) for problem in common]
    size = len(common)
    gaps = [b - a for a, b in zip(before, after, strict=True)]
    method: Method
    if all(value in (0.0, 1.0) for value in (*before, *after)):
        lost, gained = sum(gap < 0 for gap in gaps), sum(gap > 0 for gap in gaps)
        both = sum(a == b == 1 for a, b in zip(before, after, strict=True))
        low, high = newcombe_paired(both, lost, gained, size - both - lost - gained)
        method, p = "newcombe_paired", mcnemar(lost, gained)
    else:
        low, high = paired_bootstrap(gaps, seed)
        method, p = "paired_bootstrap", sign_flips(gaps, seed)
    rates = math.fsum(before) / size, math.fsum(after) / size
    names = [first[problem][0].node_id for problem in common]
    return Contrast(
        area,
        *rates,
        size,
        size,
        math.fsum(gaps) / size,
        low,
        high,
        method,
        p if size >= FEWEST else None,
        lost=tuple(dict.fromkeys(name for name, gap in zip(names, gaps, strict=True) if gap < 0)),
        gained=tuple(dict.fromkeys(name for name, gap in zip(names, gaps, strict=True) if gap > 0)),
    )


def _by_cell(area: Area, first: _Problems, second: _Problems, _seed: int) -> Contrast | None:
    mine, other = _cells(first), _cells(second)
    cells = [cell for cell in mine if cell in other]
    if not cells:
        return None
    strata = [(math.fsum(mine[c]), len(mine[c]), math.fsum(other[c]), len(other[c])) for c in cells]
    a, n, b, m = (math.fsum(column) for column in zip(*strata, strict=True))
    weights = [stratum[1] * stratum[3] / (stratum[1] + stratum[3]) for stratum in strata]
    rates = [
        math.fsum(weight * stratum[at] / stratum[at + 1] for weight, stratum in zip(weights, strata, strict=True))
        / math.fsum(weights)
        for at in (0, 2)
    ]
    method: Method = "newcombe" if len(strata) == 1 else "mantel_haenszel"
    if method == "newcombe":
        value, (low, high) = b / m - a / n, newcombe(a, n, b, m)
        whole = a.is_integer() and b.is_integer()
        p = fisher(int(a), int(n), int(b), int(m)) if whole else mantel_haenszel_p(strata)
    else:
        value, low, high = mantel_haenszel(strata)
        p = mantel_haenszel_p(strata)
    enough = min(n, m) >= FEWEST
    return Contrast(area, rates[0], rates[1], int(n), int(m), value, low, high, method, p if enough else None)


def _cells(problems: _Problems) -> dict[tuple[tuple[str, ...], str], list[float]]:
    """The mean of each problem by the cell that it was measured in."""
    cells: dict[tuple[tuple[str, ...], str], list[float]] = {}
    for (_, concepts, difficulty), scores in problems.items():
        cells.setdefault((concepts, difficulty), []).append(_mean(scores))
    return cells


def _judged(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """With p-values adjusted for their number, and what they come to."""
    tested = [item for item in contrasts if item.p is not None]
    adjusted = dict(zip((item.area for item in tested), holm([item.p or 0.0 for item in tested]), strict=True))
    return [
        replace(item, adjusted=adjusted[item.area], status=_status(item, adjusted[item.area]))
        if item.area in adjusted
        else item
        for item in contrasts
    ]


def _status(item: Contrast, adjusted: float) -> Status:
    if adjusted < LEVEL and item.value:
        return "regression" if item.value < 0 else "improvement"
    if item.high < 0:
        return "perhaps_worse"
    return "perhaps_better" if item.low > 0 else "no_difference_shown"
