"""A run's result for people: tables, pass@k, what was left out, and where the results are."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from prismenv.cli.drawing import Screen, table
from prismenv.cli.live import duration
from prismenv.contracts.archive import RunRecord
from prismenv.engine.report import RunReport
from prismenv.engine.summaries import RunSummary
from prismenv.scoring.intervals import wilson
from prismenv.scoring.passk import PassEstimate
from prismenv.scoring.surface import Surface
from prismenv.scoring.tables import LAYOUTS, TextTable, combination_table, failure_table, surface_table

RESUMABLE = ("interrupted", "budget_reached", "failed")
SIMULATED = "The model was simulated: these figures describe a profile, not a language model."


def show_surface(screen: Screen, surface: Surface) -> None:
    """The tables of a surface: by concept and difficulty, by combination, failures; as much of each as has room."""
    for tables in (surface_table, combination_table):
        texts = [tables(surface, layout=layout) for layout in LAYOUTS]
        drawn = [*map(_drawn, texts), _drawn(texts[-1], tight=True)]
        if texts[0].rows:
            screen.draw(next(filter(screen.fits, drawn), drawn[-1]))
    failures = failure_table(surface)
    if failures.rows:
        screen.draw(_drawn(failures))


def _drawn(text: TextTable, *, tight: bool = False) -> Table:
    return table(text.title, text.header, text.rows, numeric=text.header[1:], tight=tight)


def _rate_line(surface: Surface) -> str:
    total = surface.total
    if total.rate is None:
        return "nothing was measured"
    low, high = wilson(total.solved, total.measured)
    line = (
        f"solved {total.solved} of {total.measured}: {total.rate:.1%}, 95 % interval {low:.1%} to {high:.1%} (Wilson)"
    )
    left_out = sum(surface.left_out.values())
    return f"{line}; {left_out} left out" if left_out else line


def pass_lines(estimates: tuple[PassEstimate, ...] | list[PassEstimate]) -> Iterator[str]:
    """pass@k with its interval, how that was made, and of what."""
    for estimate in estimates:
        if estimate.value is None:
            continue
        yield (
            f"pass@{estimate.k} {estimate.value:.3f}, 95 % interval {estimate.low:.3f} to {estimate.high:.3f} "
            f"({estimate.method}; {estimate.problems} problems, {estimate.samples} samples"
            + (f"; {estimate.left_out} left out)" if estimate.left_out else ")")
        )


def usage_line(calls: int, tokens: int, cost_usd: float | None, *, cached: int = 0) -> str:
    """Calls, tokens and cost; an unknown price is said to be unknown."""
    cost = "cost unknown" if cost_usd is None else f"${cost_usd:.2f}"
    known = f" ({cached} answered from the cache)" if cached else ""
    return f"{calls} model calls{known}, {tokens} tokens, {cost}"


def _nodes(progress: Mapping[str, Any]) -> str:
    of = "" if progress["total"] is None else f" of {progress['total']}"
    return f"{progress['done']}{of} nodes"


def show_report(screen: Screen, report: RunReport, *, usual_store: str) -> None:
    """The end of a run. `usual_store` is where commands look for runs when nothing else is said."""
    screen.say()
    show_surface(screen, report.surface)
    lines = [_rate_line(report.surface), *pass_lines(report.pass_at_k)]
    used = usage_line(report.calls, report.tokens, report.cost_usd, cached=report.cached)
    lines.append(f"{used}, {duration(report.elapsed_seconds)}")
    if report.simulated:
        lines.append(SIMULATED)
    if report.status != "finished" or report.note:
        lines.append(f"{report.status.replace('_', ' ')} after {_nodes(report.progress)}: {report.note}")
    if report.store:
        elsewhere = "" if report.store == usual_store else f" --store {shlex.quote(report.store)}"
        if report.status in RESUMABLE and report.progress["done"] != report.progress["total"]:
            more = f" --set {report.note.partition(':')[0]}=MORE" if report.status == "budget_reached" else ""
            lines.append(f"go on with `prismenv run --resume {report.run_id}{more}{elsewhere}`")
        show = f"prismenv report {report.run_id}{elsewhere}"
        lines.append(f"run {report.run_id} is in {report.store}; see `{show}`")
    for line in lines:
        screen.say(line)


def show_summary(screen: Screen, summary: RunSummary) -> None:
    """A stored run."""
    run = summary.run
    screen.say(f"run {run.run_id}: {run.name}, {run.environment}, {run.status}, seed {run.seed}")
    if run.note:
        screen.say(run.note)
    show_surface(screen, summary.surface)
    total = summary.total_usage
    lines = [_rate_line(summary.surface), *pass_lines(summary.passes())]
    lines.append(f"{run.nodes_done} nodes, {summary.attempts} attempts")
    if summary.models:
        lines.append(f"models: {', '.join(sorted(summary.models))}")
        lines.append(usage_line(total.calls, total.tokens, total.cost_usd, cached=total.cached))
    if any(model.startswith("simulated/") for model in summary.models):
        lines.append(SIMULATED)
    for line in lines:
        screen.say(line)


RUN_COLUMNS = ("run", "name", "environment", "status", "started", "nodes", "seed")


def show_runs(screen: Screen, title: str, runs: Sequence[RunRecord]) -> None:
    """Runs as a table; where that has no room for a name as it is, a line or two for each run."""
    rows = [run_row(run) for run in runs]
    drawn = table(title, RUN_COLUMNS, rows, numeric=("nodes", "seed"), whole=("run",))
    if screen.fits(drawn):
        screen.draw(drawn)
        return
    screen.say(title, "bold")
    for run, name, environment, status, started, nodes, seed in rows:
        screen.say(f"{run}  {started}  {status}, {nodes} nodes")
        screen.say(f"  {name}, {environment}, seed {seed}")
    screen.say()


def run_row(run: RunRecord) -> tuple[str, ...]:
    """A run as a row of `prismenv runs list`."""
    started = datetime.fromtimestamp(run.started_at, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    status = run.status.replace("_", " ")
    return (run.run_id, run.name, run.environment, status, started, str(run.nodes_done), str(run.seed))
