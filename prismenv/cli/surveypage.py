"""A survey as a page: the map, the weakest areas, what is missing, what it took, and what to distrust."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prismenv.cli.beliefpage import belief_sections
from prismenv.cli.live import duration
from prismenv.cli.page import Section
from prismenv.cli.reporting import SIMULATED, pass_lines, usage_line
from prismenv.engine.survey import Portion, Survey
from prismenv.scoring.areas import Area, Weakness
from prismenv.scoring.measures import Measure, measure
from prismenv.scoring.spread import Spread
from prismenv.scoring.tables import LAYOUTS, Layout, TextTable, map_table, pair_table
from prismenv.words.usage import Usage

MOST_COMBINATIONS = 50
SHOWN_CELLS = 6
SHOWN_KINDS = 2
INTERVALS = "[a-b] is a 95 % interval in per cent: Wilson's"
MANY = "Of twenty such intervals one misses by chance, so look at several cells before you believe one."
SIGNS = {
    "same_test": "one test fails all",
    "same_answer": "solver and fixer agree",
    "stub_passes": "a stub passes",
}


@dataclass(frozen=True, slots=True)
class PageOptions:
    """`threshold` is the rate under which an area is weak, `top` how many of the weakest are shown."""

    threshold: float = 0.5
    top: int = 10


def survey_page(survey: Survey, options: PageOptions) -> list[Section]:
    """The sections of a report."""
    measures = {area: measure(scores) for area, scores in survey.areas().items()}
    return [
        Section(lines=list(_head(survey))),
        Section("Result", list(_result(survey))),
        Section("Map", tables=_maps(measures), notes=_map_notes(measures)),
        *belief_sections(survey),
        _weakest(survey, options),
        _unmeasured(survey),
        _failures(survey),
        _effort(survey.whole),
        _phases(survey),
        _cost(survey),
        _suspects(survey),
    ]


def rate_text(found: Measure) -> str:
    """`25 of 50 (50.0 %, 95 % interval 36.6 % to 63.4 %)`; says where nothing was measured."""
    if found.rate is None:
        return "nothing was measured"
    how = "Wilson" if found.method == "wilson" else "clustered by problem"
    if round(found.effective) < found.measured:
        how += f": worth {found.effective:.0f} different ones"
    interval = f"95 % interval {found.low:.1%} to {found.high:.1%}"
    return f"{found.solved} of {found.measured} ({found.rate:.1%}, {interval}, {how})"


def counted(number: int, noun: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _head(survey: Survey) -> Iterator[str]:
    if survey.title:
        yield survey.title
    for run in () if survey.title else survey.runs:
        began = datetime.fromtimestamp(run.started_at, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        status = run.status.replace("_", " ")
        yield f"run {run.run_id}: {run.name}, {run.environment}, {status}, seed {run.seed}, begun {began}"
        if run.note:
            yield f"{status}: {run.note}"
    if survey.models:
        yield f"models: {', '.join(sorted(survey.models))}"
    if survey.simulated:
        yield SIMULATED


def _result(survey: Survey) -> Iterator[str]:
    whole = survey.whole
    total = measure(whole.scores)
    if not whole.nodes:
        yield "no node was finished, so there is nothing to report"
        return
    again = f" of {total.distinct} different ones" if total.distinct < total.measured else ""
    solved = "" if total.rate is None else "solved "
    yield f"{solved}{rate_text(total)}; problems{again} in {counted(whole.nodes, 'node')}"
    left_out = whole.effort().left_out
    if left_out:
        parts = ", ".join(f"{fault} {count}" for fault, count in left_out.items())
        yield f"left out of every rate, because they say nothing of the model: {parts}"
    if any(score.samples > 1 for score in whole.scores):
        yield "a problem that was sampled several times counts as solved where any of its samples passed"
    if survey.contradictions:
        yield (
            f"results that succeeded although none of their attempts did: {survey.contradictions}. They count as "
            "solved, and what is said of attempts below is of little worth"
        )
    if survey.suspects():
        yield f"without the problems whose tests look wrong (see below): {rate_text(survey.without_suspects())}"
    yield from pass_lines(survey.passes())
    repeated = survey.repetitions()
    if repeated is not None and repeated.mean is not None:
        yield _spread_line(repeated, "runs" if len(survey.runs) > 1 else "measurements of each node")


def _spread_line(repeated: Spread, what: str) -> str:
    rates = ", ".join(f"{rate:.1%}" for rate in repeated.rates)
    deviation = "" if repeated.deviation is None else f", standard deviation {100 * repeated.deviation:.1f} points"
    return f"{len(repeated.rates)} {what}: {repeated.mean:.1%} on average{deviation} ({rates})"


def _maps(measures: Mapping[Area, Measure]) -> list[list[TextTable]]:
    def forms(layout: Layout) -> tuple[TextTable, TextTable]:
        return map_table(measures, layout=layout), pair_table(measures, layout=layout, most=MOST_COMBINATIONS)

    singles, pairs = zip(*(forms(layout) for layout in LAYOUTS), strict=True)
    return [list(singles), list(pairs)]


def _map_notes(measures: Mapping[Area, Measure]) -> list[str]:
    if not measures[Area("total")].measured:
        return []
    clustered = any(found.method == "clustered" for found in measures.values())
    return [f"{INTERVALS}{', clustered by problem where one was measured again' if clustered else ''}. {MANY}"]


def _weakest(survey: Survey, options: PageOptions) -> Section:
    found = survey.weakest(options.threshold)
    shown = found[: options.top]
    full = [_weak_row(item) for item in shown]
    header = ("area", "solved", "95 % interval", "surely weak", "fails by", "such as")
    words = ("surely weak", "fails by", "such as")
    narrow = tuple((*row[:3], row[4]) for row in full)
    forms = [
        TextTable("", header, tuple(full), words),
        TextTable("", header[:-1], tuple(row[:-1] for row in full), words),
        TextTable("", (*header[:3], header[4]), narrow, words),
    ]
    notes = [f"ranked by the best that an area can be; surely weak: even that is under {options.threshold:.0%}"]
    if len(found) > len(shown):
        notes.append(f"{len(found) - len(shown)} further areas have unsolved problems (--top shows more)")
    return Section("Weakest areas", tables=[forms], notes=notes if found else ())


def _weak_row(item: Weakness) -> tuple[str, ...]:
    low, high = item.measure.interval
    kinds = [f"{kind.replace('_', ' ')} {count}" for kind, count in item.failures.items()]
    return (
        item.area.label,
        f"{item.measure.solved}/{item.measure.measured}",
        f"{100 * low:.0f}-{100 * high:.0f} %",
        "yes" if item.certain else "",
        ", ".join(kinds[:SHOWN_KINDS]) + (", ..." if len(kinds) > SHOWN_KINDS else ""),
        item.nodes[0],
    )


def _unmeasured(survey: Survey) -> Section:
    found = survey.coverage()
    rows = []
    for gap in found.gaps:
        names = [f"{name}, {difficulty}" for name, difficulty in gap.cells]
        more = len(names) - SHOWN_CELLS
        shown = "; ".join(names[:SHOWN_CELLS]) + (f" and {more} more" if more > 0 else "")
        rows.append((gap.reason, str(len(gap.cells)), shown))
    plan = "" if found.planned is None else f" of {found.planned} planned"
    beyond = f", and {found.beyond} others that the search made" if found.beyond else ""
    lines = [f"{found.measured}{plan} cells were measured{beyond}"] if found.planned is not None or rows else []
    if survey.whole.nodes and survey.plan is None:
        lines.append("what this run had planned is not stored, so only what it asked for is told")
    return Section("Left unmeasured", lines, [[TextTable("", ("why", "cells", "which"), tuple(rows), ("which",))]])


def _failures(survey: Survey) -> Section:
    made = survey.whole.effort()
    failed = sum(made.failures.values())
    rows = [(kind.replace("_", " "), str(count), f"{count / failed:.0%}") for kind, count in made.failures.items()]
    rows += [(f"left out: {fault}", str(count), "") for fault, count in made.left_out.items()]
    table = TextTable("", ("what became of the last attempt", "problems", "of unsolved"), tuple(rows))
    return Section("Failures", tables=[[table]])


def _effort(portion: Portion) -> Section:
    made = portion.effort()
    if not made.attempts or made.attempts_each is None:
        return Section()
    lines = [f"by the first attempt: {rate_text(made.first)}"]
    if made.by_fixer:
        lines.append(f"without the fixer: {rate_text(made.alone)}")
    share = "" if made.fixer_share is None else f" ({made.fixer_share:.0%} of the solved)"
    lines.append(f"by the fixer: {made.by_fixer} of {made.tried_solved} solved{share}")
    after = ", ".join(f"{count} after {number}" for number, count in made.by_attempts.items())
    lines.append(
        f"attempts: {made.attempts} at {counted(made.first.measured, 'problem')}, {made.attempts_each:.2f} each"
        + (f"; solved: {after}" if after else "")
    )
    return Section("How they were solved", lines)


def _phases(survey: Survey) -> Section:
    named = {name: portion for name, portion in survey.phases.items() if name}
    header = ("phase", "nodes", "solved", "95 % interval", "attempts each", "fixer", "left out", "cost", "node time")
    rows = tuple(_phase_row(name, portion) for name, portion in named.items())
    narrow = tuple((*row[:4], *row[7:]) for row in rows)
    forms = [TextTable("", header, rows), TextTable("", (*header[:4], *header[7:]), narrow)]
    return Section("Phase by phase", tables=[forms])


def _phase_row(name: str, portion: Portion) -> tuple[str, ...]:
    made = portion.effort()
    low, high = made.total.interval
    rate = "" if made.total.rate is None else f" {made.total.rate:.0%}"
    return (
        name,
        str(portion.nodes),
        f"{made.total.solved}/{made.total.measured}{rate}",
        f"{100 * low:.0f}-{100 * high:.0f} %" if made.total.measured else "",
        "" if made.attempts_each is None else f"{made.attempts_each:.2f}",
        str(made.by_fixer),
        str(sum(made.left_out.values())),
        _cost_text(portion.total_usage) if portion.usage else "",
        duration(sum(portion.node_seconds)) if any(portion.node_seconds) else "",
    )


def _cost_text(usage: Usage) -> str:
    return "unknown" if usage.cost_usd is None else f"${usage.cost_usd:.4f}".rstrip("0").rstrip(".")


def _cost(survey: Survey) -> Section:
    whole = survey.whole
    if not whole.nodes or survey.title:
        return Section()
    total = whole.total_usage
    rows = [_usage_row(role, usage) for role, usage in sorted(whole.usage.items())]
    header = ("role", "calls", "cached", "prompt tokens", "answer tokens", "cost")
    times = whole.times()
    lines = [usage_line(total.calls, total.tokens, total.cost_usd, cached=total.cached)]
    solved = measure(whole.scores).solved
    if solved and total.calls:
        each = "" if not total.cost_usd else f", ${total.cost_usd / solved:.4f}"
        lines.append(
            f"for each solved problem: {total.calls / solved:.1f} calls, {total.tokens / solved:.0f} tokens{each}"
        )
    keys = ("node_seconds", "median_node_seconds", "slow_node_seconds", "call_seconds")
    together, median, slow, calls = (duration(times[key]) for key in keys)
    lines.append(
        f"nodes took {together} together (side by side), {median} in the median, {slow} or more for the slowest tenth; "
        f"model calls {calls}"
    )
    lines += [f"{run.run_id} took {duration(run.ended_at - run.started_at)}" for run in survey.runs if run.ended_at]
    return Section("Cost and time", lines, [[TextTable("", header, tuple(rows))]])


def _usage_row(role: str, usage: Usage) -> tuple[str, ...]:
    figures = (usage.calls, usage.cached, usage.prompt_tokens, usage.completion_tokens)
    return (role, *(f"{figure:,}" for figure in figures), _cost_text(usage))


def _suspects(survey: Survey) -> Section:
    found = survey.suspects()
    rows: Sequence[tuple[str, ...]] = [
        (item.node_id, SIGNS[item.sign], str(item.solutions), ", ".join(item.tests), item.title) for item in found
    ]
    header = ("node", "sign", "solutions", "tests", "problem")
    words = ("sign", "tests", "problem")
    forms = [
        TextTable("", header, tuple(rows), words),
        TextTable("", header[:-1], tuple(row[:-1] for row in rows), words),
        TextTable("", (header[0], header[1], header[3]), tuple((row[0], row[1], row[3]) for row in rows), words),
    ]
    notes = ["signs, no proofs: read these suites before you blame the model. The rates above count them."]
    return Section("Tests to look at", tables=[forms], notes=notes if found else ())
