"""What of the plan was not measured, and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prismenv.scoring.areas import by_area
from prismenv.scoring.problems import Score

Place = tuple[str, str]  # concepts joined by ` + `, difficulty
_STOPPED = {
    "budget_reached": "the budget was spent",
    "interrupted": "the run was stopped",
    "failed": "the run failed",
    "running": "not asked for yet",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """Cells of the plan that no figure speaks of, for one reason. `code` is for programs, `reason` for people."""

    code: str
    reason: str
    cells: tuple[Place, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        cells = [{"name": name, "difficulty": difficulty} for name, difficulty in self.cells]
        return {"code": self.code, "reason": self.reason, "cells": cells}


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the plan was measured, and how many cells `beyond` it, which the search made.

    `planned` None: the plan is not known, and what was asked for takes its place.
    """

    planned: int | None
    measured: int
    gaps: tuple[Gap, ...]
    beyond: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "planned": self.planned,
            "measured": self.measured,
            "beyond": self.beyond,
            "gaps": [gap.to_json() for gap in self.gaps],
        }


def coverage(
    scores: Iterable[Score], plan: Sequence[Place] | None, status: str, note: str = "", limit: str = ""
) -> Coverage:
    """Which cells were measured, and what kept the others from it.

    A cell that was asked for and of which nothing says anything about the candidate is named by its faults. One that
    was never asked for is named by how the run ended, with its `note`; in a run that finished it is the search's
    choice, or the `limit` that it was given.
    """
    asked: dict[Place, list[Score]] = {}
    for area, found in by_area(scores).items():
        if area.kind in ("cell", "combination_cell"):
            asked[area.name, area.difficulty or ""] = found
    planned = dict.fromkeys(plan if plan is not None else asked)
    gaps: dict[tuple[str, str], list[Place]] = {}
    measured = beyond = 0
    for place in dict.fromkeys([*planned, *asked]):
        if any(score.measured for score in asked.get(place, ())):
            measured += place in planned
            beyond += place not in planned
            continue
        why = _faults(asked[place]) if place in asked else _never_asked(status, note, limit)
        gaps.setdefault(why, []).append(place)
    told = tuple(Gap(code, reason, tuple(cells)) for (code, reason), cells in gaps.items())
    return Coverage(len(planned) if plan is not None else None, measured, told, beyond)


def _faults(scores: Sequence[Score]) -> tuple[str, str]:
    faults = Counter(score.fault for score in scores)
    worst = min(faults, key=lambda fault: (-faults[fault], fault))
    return worst, f"asked for, but left out: {worst}"


def _never_asked(status: str, note: str, limit: str) -> tuple[str, str]:
    if status not in _STOPPED:
        return "never_asked", f"never asked for: {limit}" if limit else "never asked for by the search"
    return status, f"{_STOPPED[status]}: {note}" if note else _STOPPED[status]
