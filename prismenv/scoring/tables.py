"""The surface as rows of text, for whatever draws tables."""

from dataclasses import dataclass

from prismenv.scoring.intervals import wilson
from prismenv.scoring.surface import Cell, Cells, Surface


@dataclass(frozen=True, slots=True)
class Layout:
    """How a cell is written: with its rate in per cent or without, its parts beside or below each other."""

    rates: bool = True
    stacked: bool = False


FULL = Layout()
LAYOUTS = (FULL, Layout(rates=False), Layout(stacked=True), Layout(rates=False, stacked=True))  # the widest first


@dataclass(frozen=True, slots=True)
class TextTable:
    """A heading and rows of equal length; the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def surface_table(surface: Surface, *, layout: Layout = FULL) -> TextTable:
    """Concepts by difficulties, each cell `3/4 75% [30-95]`, with a column and a row of totals.

    The totals of a concept are over its difficulties; the totals of a difficulty count a node of several concepts in
    each of them, as its rows do; the corner counts each problem once.
    """
    return _table("success by concept and difficulty", "concept", surface, surface.singles, layout=layout)


def combination_table(surface: Surface, *, layout: Layout = FULL) -> TextTable:
    """The same for nodes that join several concepts; without rows where there was none."""
    return _table("success by combination", "concepts", surface, surface.combinations, layout=layout)


def failure_table(surface: Surface) -> TextTable:
    """Unsolved problems by what became of their last attempt, then the ones left out, by fault."""
    failed = [(kind.replace("_", " "), str(count)) for kind, count in sorted(surface.failures.items())]
    left_out = [(f"left out: {fault}", str(count)) for fault, count in sorted(surface.left_out.items())]
    return TextTable("failures by kind", ("kind", "problems"), (*failed, *left_out))


def cell_text(cell: Cell | None, *, layout: Layout = FULL) -> str:
    """`solved/measured rate [low-high]`, the latter in per cent, and what was left out; empty for no cell."""
    if cell is None or not (cell.measured or cell.left_out):
        return ""
    parts = [f"{cell.solved}/{cell.measured}"]
    if cell.rate is not None:
        low, high = wilson(cell.solved, cell.measured)
        parts[0] += f" {100 * cell.rate:.0f}%" if layout.rates else ""
        parts.append(f"[{100 * low:.0f}-{100 * high:.0f}]")
    if cell.left_out:
        parts.append(f"({cell.left_out} left out)")
    return ("\n" if layout.stacked else " ").join(parts)


def _table(title: str, first: str, surface: Surface, cells: Cells, *, layout: Layout) -> TextTable:
    difficulties = surface.difficulties(cells)
    rows = []
    for concept in sorted({concept for concept, _ in cells}):
        own = [cells.get((concept, difficulty)) for difficulty in difficulties]
        rows.append((concept, *(cell_text(cell, layout=layout) for cell in (*own, _sum(own)))))
    if rows:
        columns = [_sum([cell for (_, met), cell in cells.items() if met == name]) for name in difficulties]
        corner = surface.total if cells is surface.singles else _sum(list(cells.values()))
        rows.append(("all", *(cell_text(cell, layout=layout) for cell in (*columns, corner))))
    return TextTable(title, (first, *difficulties, "all"), tuple(rows))


def _sum(cells: list[Cell | None]) -> Cell:
    found = [cell for cell in cells if cell is not None]
    return Cell(
        sum(cell.solved for cell in found),
        sum(cell.measured for cell in found),
        sum(cell.left_out for cell in found),
    )
