"""The map as it is believed, in the form that is kept and reported."""

from typing import Any

from prismenv.contracts.abilitymap import AbilityMap, BelievedCell, Difference, Estimate
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.adaptive.model import AbilityModel
from prismenv.search.adaptive.prior import PARTS
from prismenv.search.adaptive.reading import (
    Intervals,
    ability_interval,
    cell_intervals,
    chance_under,
    difference_intervals,
    known_share,
)

_DIGITS = 4


def map_of(model: AbilityModel, settings: SearchSettings, told: int, stopped_by: str | None) -> AbilityMap:
    """Ability, and each cell with its chance, interval, chance of lying under the threshold and counts."""
    stop = settings.stop
    known = known_share(model.posterior, len(model.cells), settings)
    middle, low, high = ability_interval(model.posterior, len(model.cells), stop.confidence)
    return AbilityMap(
        objective=settings.objective,
        threshold=settings.threshold,
        confidence=stop.confidence,
        interval=stop.interval,
        share=stop.share,
        told=told,
        stopped_by=stopped_by,
        held=None if known is None else known >= stop.share,
        known=None if known is None else round(known, _DIGITS),
        ability=Estimate(**_rounded(rate=middle, low=low, high=high)),
        cells=_cells(model, settings),
    )


def learned(model: AbilityModel) -> dict[str, Any]:
    """What the model learned of its own parts, in plain JSON."""
    line = model.credit
    return {
        "correlation": round(model.correlation, _DIGITS),
        "credit": _rounded(level=line.level, slope=line.slope, variance=line.variance),
        "deviations": {name: round(float(value), _DIGITS) for name, value in zip(PARTS, model.deviations, strict=True)},
    }


def _cells(model: AbilityModel, settings: SearchSettings) -> tuple[BelievedCell, ...]:
    count, confidence = len(model.cells), settings.stop.confidence
    intervals = cell_intervals(model.posterior, count, settings.threshold, confidence)
    under = chance_under(model.posterior, count, settings.threshold)
    differences = None
    if settings.objective == "difference":
        differences = difference_intervals(model.posterior, count, confidence)
    return tuple(
        BelievedCell(
            concepts=cell.concepts,
            difficulty=cell.difficulty,
            measured=model.evidence[row].measured,
            solved=model.evidence[row].solved,
            under=round(under[row], _DIGITS),
            difference=None if differences is None else Difference(**_row(differences, row)),
            **_row(intervals, row),
        )
        for row, cell in enumerate(model.cells)
    )


def _row(found: Intervals, row: int) -> dict[str, float]:
    return _rounded(rate=found.middle[row], low=found.low[row], high=found.high[row])


def _rounded(**figures: float) -> dict[str, float]:
    return {name: round(float(figure), _DIGITS) for name, figure in figures.items()}
