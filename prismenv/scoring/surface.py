"""Success by concept and difficulty: what a run found out about a model.

The unit is a problem: a node with three problems counts three times, a node whose environment does not list problems
counts once. A node of several concepts counts in the row of each of them, and once in the pairs table under all of them
together; the totals count it once. Problems that say nothing about the candidate (fault `infrastructure`, `environment`
or `tests`) are in no rate; they are counted by fault.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prismenv.scoring.intervals import wilson
from prismenv.scoring.problems import scores_of
from prismenv.words.nodes import NodeOutcome
from prismenv.words.verdict import Fault

DIFFICULTIES = ("very easy", "easy", "medium", "hard", "very hard")
_MEASURED: tuple[Fault, ...] = ("none", "candidate")


@dataclass(slots=True)
class Cell:
    """Counts of problems: `solved` of `measured`, and those that were `left_out` of both."""

    solved: int = 0
    measured: int = 0
    left_out: int = 0

    def count(self, *, solved: bool, fault: Fault) -> None:
        """Count one problem."""
        if fault not in _MEASURED:
            self.left_out += 1
            return
        self.measured += 1
        self.solved += solved

    @property
    def rate(self) -> float | None:
        """Solved over measured, None where nothing was measured."""
        return self.solved / self.measured if self.measured else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the rate."""
        return wilson(self.solved, self.measured)

    def to_json(self) -> dict[str, Any]:
        """Counts, rate and the 95 % Wilson interval as plain JSON."""
        low, high = self.interval
        return {
            "solved": self.solved,
            "measured": self.measured,
            "left_out": self.left_out,
            "rate": self.rate,
            "low": low,
            "high": high,
        }


Cells = dict[tuple[str, str], Cell]


def ordered_difficulties(met: Iterable[str]) -> list[str]:
    """These difficulties, each once: the usual ones in their order, then others by name."""
    names = set(met)
    return [name for name in DIFFICULTIES if name in names] + sorted(names - set(DIFFICULTIES))


@dataclass(slots=True)
class Surface:
    """The table, filled node by node with `add`.

    `singles` has a cell for each concept and difficulty met, `combinations` one for each set of two or more concepts
    that a node joined (`a + b`). `left_out` counts problems by fault, `failures` measured but unsolved problems by the
    outcome of their last verdict (`no_verdict` where nothing was judged). `nodes` counts nodes.
    """

    singles: Cells = field(default_factory=dict)
    combinations: Cells = field(default_factory=dict)
    total: Cell = field(default_factory=Cell)
    nodes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: NodeOutcome) -> None:
        """Count one node."""
        self.nodes += 1
        request = outcome.request
        cells = [_cell(self.singles, concept, request.difficulty) for concept in dict.fromkeys(request.concepts)]
        if len(cells) > 1:
            cells.append(_cell(self.combinations, " + ".join(sorted(set(request.concepts))), request.difficulty))
        for score in scores_of(outcome):
            for cell in (self.total, *cells):
                cell.count(solved=score.solved, fault=score.fault)
            if not score.measured:
                self.left_out[score.fault] += 1
            elif not score.solved:
                self.failures[score.kind] += 1

    def difficulties(self, cells: Mapping[tuple[str, str], Cell] | None = None) -> list[str]:
        """The difficulties met, the usual ones in their order, then others by name."""
        return ordered_difficulties(difficulty for _, difficulty in (self.singles if cells is None else cells))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, in a stable order."""
        return {
            "nodes": self.nodes,
            "total": self.total.to_json(),
            "left_out": dict(sorted(self.left_out.items())),
            "failures": dict(sorted(self.failures.items())),
            "cells": list(self._cells_to_json(self.singles, "concept")),
            "combinations": list(self._cells_to_json(self.combinations, "concepts")),
        }

    def _cells_to_json(self, cells: Cells, name: str) -> Iterator[dict[str, Any]]:
        for concept in sorted({concept for concept, _ in cells}):
            for difficulty in self.difficulties(cells):
                if cell := cells.get((concept, difficulty)):
                    yield {name: concept, "difficulty": difficulty, **cell.to_json()}


def _cell(cells: Cells, concept: str, difficulty: str) -> Cell:
    key = (concept, difficulty)
    found = cells.get(key)
    if found is None:
        found = cells[key] = Cell()
    return found
