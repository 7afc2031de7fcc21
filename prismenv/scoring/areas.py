"""Areas of a map: concepts, difficulties, cells and combinations, and which of them are the weakest.

A node of several concepts counts in the area of each of them, in each of their cells, and in that of the combination;
the total counts it once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prismenv.scoring.measures import Measure, measure
from prismenv.scoring.problems import Score

AreaKind = Literal["total", "concept", "difficulty", "cell", "combination", "combination_cell"]
SHOWN_NODES = 3


@dataclass(frozen=True, slots=True, order=True)
class Area:
    """A part of the map. `name` is a concept or `a + b`; `difficulty` None means all, `name` empty any concept."""

    kind: AreaKind
    name: str = ""
    difficulty: str | None = None

    @property
    def label(self) -> str:
        """The area for people, such as `sorting, hard`."""
        return ", ".join(part for part in (self.name, self.difficulty) if part) or "all"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": self.kind, "name": self.name, "difficulty": self.difficulty}


TOTAL = Area("total")


def areas_of(concepts: Iterable[str], difficulty: str) -> list[Area]:
    """The areas that a node counts in."""
    names = sorted(set(concepts))
    areas = [TOTAL, Area("difficulty", "", difficulty)]
    for name in names:
        areas += [Area("concept", name), Area("cell", name, difficulty)]
    if len(names) > 1:
        joined = " + ".join(names)
        areas += [Area("combination", joined), Area("combination_cell", joined, difficulty)]
    return areas


def by_area(scores: Iterable[Score]) -> dict[Area, list[Score]]:
    """The problems of each area, in their order; the total is always there."""
    found: dict[Area, list[Score]] = {TOTAL: []}
    for score in scores:
        for area in areas_of(score.concepts, score.difficulty):
            found.setdefault(area, []).append(score)
    return found


@dataclass(frozen=True, slots=True)
class Weakness:
    """An area in which problems were left unsolved, with the evidence.

    `failures` counts unsolved problems by kind, `nodes` names the first few nodes with one. `certain` is true where
    even the upper end of the interval lies below the threshold.
    """

    area: Area
    measure: Measure
    failures: Mapping[str, int]
    nodes: tuple[str, ...]
    certain: bool

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            **self.area.to_json(),
            **self.measure.to_json(),
            "failures": dict(self.failures),
            "nodes": list(self.nodes),
            "certain": self.certain,
        }


def _told_by_a_cell(areas: Mapping[Area, Sequence[Score]]) -> set[Area]:
    """The concepts and combinations all of whose problems lie in one cell."""
    wholes: dict[AreaKind, AreaKind] = {"cell": "concept", "combination_cell": "combination"}
    cells = [(Area(wholes[area.kind], area.name), scores) for area, scores in areas.items() if area.kind in wholes]
    return {whole for whole, scores in cells if len(scores) == len(areas[whole])}


def weakest(areas: Mapping[Area, Sequence[Score]], threshold: float = 0.5) -> list[Weakness]:
    """The areas with an unsolved problem, the weakest first.

    Ranked by the upper end of the interval, the best that an area can reasonably be: 2 of 20 comes before 0 of 1, which
    may still be anything. Ties go by rate, then by evidence, then by name. Totals and whole difficulties are no areas
    to work on and are left out, and so is a concept or combination that was measured in one cell alone.
    """
    passed_over = _told_by_a_cell(areas)
    found = []
    for area, scores in areas.items():
        failed = [score for score in scores if score.measured and not score.solved]
        if not failed or area.kind in ("total", "difficulty") or area in passed_over:
            continue
        figures = measure(scores)
        kinds = Counter(score.kind for score in failed)
        nodes = tuple(dict.fromkeys(score.node_id for score in failed))[:SHOWN_NODES]
        ranked = dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
        found.append(Weakness(area, figures, ranked, nodes, figures.high < threshold))
    found.sort(key=lambda item: (item.measure.high, item.measure.rate or 0.0, -item.measure.measured, item.area.label))
    return found
