"""What a search itself believed of the cells, as sections of a report."""

from collections.abc import Iterator, Sequence

from prismenv.cli.page import Section
from prismenv.contracts.abilitymap import AbilityMap, BelievedCell
from prismenv.engine.survey import KILLED, Survey
from prismenv.scoring.surface import ordered_difficulties
from prismenv.scoring.tables import LAYOUTS, Layout, TextTable

MOST_COMBINATIONS = 50
ADAPTIVE = "adaptive"  # the policy of ours that has such a map
AIMS = {
    "threshold": "which cells lie under {threshold:.0%}",
    "ability": "mean ability over all cells",
    "difference": "how this model differs from the reference, cell by cell",
}


def belief_sections(survey: Survey) -> Iterator[Section]:
    """One for each run whose search has a map of its own."""
    for run in survey.runs:
        title = "The search's own map" + (f" of {run.run_id}" if len(survey.runs) > 1 else "")
        if run.run_id in survey.beliefs:
            belief = survey.beliefs[run.run_id]
            if belief is None:
                yield Section(title, ["it is stored in a form that this version of prismenv cannot read"])
            else:
                nodes = survey.by_run[run.run_id].nodes
                yield Section(title, list(_lines(belief, nodes)), _tables(belief), _notes(belief))
        elif run.note == KILLED and dict(run.recipe.get("search") or {}).get("policy") == ADAPTIVE:
            yield Section(
                title, ["it is stored when a sitting ends, and this run's process was killed: resume the run"]
            )


def _lines(belief: AbilityMap, nodes: int) -> Iterator[str]:
    yield f"looked for: {AIMS[belief.objective].format(threshold=belief.threshold)}"
    yield f"made of {belief.told} nodes" + ("" if belief.told == nodes else f" of the {nodes} that are stored by now")
    yield f"the search ended by: {belief.stopped_by or 'nothing of its own, it would have asked for more'}"
    if belief.held is not None and belief.interval is not None and belief.known is not None:
        yield f"search.stop {'held' if belief.held else 'did not hold'} at the end: {_asked(belief, belief.interval)}"
    low, high = belief.ability.low, belief.ability.high
    yield f"mean ability over all cells: {_percent(belief.ability.rate)} {_interval(low, high)}"


def _asked(belief: AbilityMap, interval: float) -> str:
    """What was asked for and, where it is a share of the cells, what came of it."""
    wanted = f"±{100 * interval:g} points with a {100 * belief.confidence:g} % interval"
    if belief.objective == "ability":
        return f"asked for was mean ability to {wanted}"
    side = "the threshold" if belief.objective == "threshold" else "0"
    share = f"{belief.known:.0%} of {len(belief.cells)} cells lie on one side of {side} or are known to {wanted}"
    return f"{share}; asked for were {belief.share:.0%}"


def _notes(belief: AbilityMap) -> list[str]:
    confidence = f"{100 * belief.confidence:g} %"
    what = (
        f"a model's estimate with its {confidence} credible interval in per cent, and n, the cell's own answers: other "
        "cells speak of it too, so one without answers has an estimate. The map above counts each cell by itself."
    )
    notes = [what]
    if belief.objective == "difference":
        notes.append("figures are points above (+) or below (-) the reference; < and > where the interval leaves out 0")
    else:
        notes.append(f"< and >: the whole interval lies under or over {belief.threshold:.0%}")
    return notes


def _tables(belief: AbilityMap) -> list[list[TextTable]]:
    singles = [cell for cell in belief.cells if len(cell.concepts) == 1]
    joined = [cell for cell in belief.cells if len(cell.concepts) > 1]
    found = []
    for cells, title, first in ((singles, "by concept", "concept"), (joined, "by combination of concepts", "concepts")):
        names = list(dict.fromkeys(cell.name for cell in cells))
        full = f"believed success {title} and difficulty"
        if len(names) > MOST_COMBINATIONS and cells is joined:
            full += f": the weakest {MOST_COMBINATIONS} of {len(names)}"
            names = sorted(names, key=lambda name: min(cell.rate for cell in joined if cell.name == name))
            names = names[:MOST_COMBINATIONS]
        found.append([_table(belief, cells, (full, first), names, layout) for layout in LAYOUTS])
    return found


def _table(
    belief: AbilityMap, cells: Sequence[BelievedCell], heading: tuple[str, str], names: Sequence[str], layout: Layout
) -> TextTable:
    difficulties = ordered_difficulties(cell.difficulty for cell in cells)
    known = {(cell.name, cell.difficulty): _cell(belief, cell, layout) for cell in cells}
    rows = [(name, *(known.get((name, difficulty), "") for difficulty in difficulties)) for name in sorted(names)]
    return TextTable(heading[0], (heading[1], *difficulties), tuple(rows))


def _cell(belief: AbilityMap, cell: BelievedCell, layout: Layout) -> str:
    if cell.difference is None:
        low, high, middle = cell.low, cell.high, belief.threshold
        figure, interval = _percent(cell.rate), _interval(low, high)
    else:
        low, high, middle = cell.difference.low, cell.difference.high, 0.0
        figure = f"{100 * cell.difference.rate:+.0f}"
        interval = f"[{100 * low:+.0f} to {100 * high:+.0f}]"
    side = "<" if high < middle else ">" if low > middle else ""
    parts = [f"{side}{figure}" if layout.rates or cell.difference else side, interval, f"n {cell.measured}"]
    return ("\n" if layout.stacked else " ").join(part for part in parts if part)


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f}%"


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:.0f}-{100 * high:.0f}]"
