"""The map in plain JSON, for reports."""

from typing import Any

import numpy as np

from prismenv.contracts.recipe import SearchSettings
from prismenv.search.adaptive.model import AbilityModel
from prismenv.search.adaptive.moments import expected_chance
from prismenv.search.adaptive.prior import PARTS
from prismenv.search.adaptive.reading import ability_interval, cell_intervals, chance_under, difference_intervals

_DIGITS = 4


def summarise(model: AbilityModel, settings: SearchSettings) -> dict[str, Any]:
    """Ability, and each cell with its chance, interval, chance of lying under the threshold and counts."""
    count, confidence = len(model.cells), settings.stop.confidence
    posterior = model.posterior
    middle, low, high = ability_interval(posterior, count, confidence)
    found: dict[str, Any] = {
        "objective": settings.objective,
        "threshold": settings.threshold,
        "confidence": confidence,
        "ability": _rounded(rate=middle, low=low, high=high),
        "cells": _cells(model, settings),
        "credit": _rounded(level=model.credit.level, slope=model.credit.slope, variance=model.credit.variance),
        "deviations": {name: round(float(value), _DIGITS) for name, value in zip(PARTS, model.deviations, strict=True)},
    }
    if settings.objective == "difference":
        differences = difference_intervals(posterior, count, confidence)
        for number, cell in enumerate(found["cells"]):
            cell["difference"] = _rounded(low=differences.low[number], high=differences.high[number])
    return found


def _cells(model: AbilityModel, settings: SearchSettings) -> list[dict[str, Any]]:
    count = len(model.cells)
    chances = expected_chance(model.posterior.mean[:count], model.posterior.variance[:count])
    intervals = cell_intervals(model.posterior, count, settings.threshold, settings.stop.confidence)
    under = chance_under(model.posterior, count, settings.threshold)
    return [
        {
            "concepts": list(cell.concepts),
            "difficulty": cell.difficulty,
            "measured": model.evidence[row].measured,
            "solved": model.evidence[row].solved,
            **_rounded(rate=chances[row], low=intervals.low[row], high=intervals.high[row], under=under[row]),
        }
        for row, cell in enumerate(model.cells)
    ]


def _rounded(**figures: float | np.floating[Any]) -> dict[str, float]:
    return {name: round(float(figure), _DIGITS) for name, figure in figures.items()}
