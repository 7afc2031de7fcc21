"""The surface as rows of text, for whatever draws tables."""

from collections.abc import Mapping
from dataclasses import dataclass

from prismenv.scoring.areas import Area, AreaKind
from prismenv.scoring.measures import Measure
from prismenv.scoring.surface import Cell, Cells, Surface, ordered_difficulties


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
    text: tuple[str, ...] = ()  # further columns that hold words; all others hold figures

    @property
    def numeric(self) -> tuple[str, ...]:
        """The columns that are set to the right."""
        return tuple(name for name in self.header[1:] if name not in self.text)


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


def cell_text(cell: Cell | Measure | None, *, layout: Layout = FULL) -> str:
    """`solved/measured rate [low-high]`, the latter in per cent, and what was left out; empty for no cell."""
    if cell is None or not (cell.measured or cell.left_out):
        return ""
    parts = [f"{cell.solved}/{cell.measured}"]
    if cell.rate is not None:
        low, high = cell.interval
        parts[0] += f" {100 * cell.rate:.0f}%" if layout.rates else ""
        parts.append(f"[{100 * low:.0f}-{100 * high:.0f}]")
    if cell.left_out:
        parts.append(f"({cell.left_out} left out)")
    return ("\n" if layout.stacked else " ").join(parts)


def map_table(measures: Mapping[Area, Measure], *, layout: Layout = FULL) -> TextTable:
    """The same of areas as `surface_table` is of a surface."""
    return _area_table("success by concept and difficulty", measures, ("concept", "cell"), layout, totals=True)


def pair_table(measures: Mapping[Area, Measure], *, layout: Layout = FULL, most: int | None = None) -> TextTable:
    """The same of combinations; with more than `most` of them only the weakest, which the title then says."""
    kinds: tuple[AreaKind, AreaKind] = ("combination", "combination_cell")
    return _area_table("success by combination of concepts", measures, kinds, layout, most=most)


def _area_table(  # noqa: PLR0913 - what two tables differ in
    title: str,
    measures: Mapping[Area, Measure],
    kinds: tuple[AreaKind, AreaKind],
    layout: Layout,
    *,
    totals: bool = False,
    most: int | None = None,
) -> TextTable:
    whole, part = kinds
    names = [area.name for area in measures if area.kind == whole]
    if most is not None and len(names) > most:
        title += f": the weakest {most} of {len(names)}"
        names = sorted(names, key=lambda name: (measures[Area(whole, name)].high, name))[:most]
    difficulties = ordered_difficulties(area.difficulty or "" for area in measures if area.kind == part)
    rows = []
    for name in sorted(names):
        cells = [measures.get(Area(part, name, difficulty)) for difficulty in difficulties]
        rows.append((name, *(cell_text(cell, layout=layout) for cell in (*cells, measures[Area(whole, name)]))))
    if rows and totals:
        columns = [measures.get(Area("difficulty", "", difficulty)) for difficulty in difficulties]
        rows.append(("all", *(cell_text(cell, layout=layout) for cell in (*columns, measures[Area("total")]))))
    return TextTable(title, ("concepts" if whole == "combination" else "concept", *difficulties, "all"), tuple(rows))


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
