"""`prismenv rejudge`: would the sandbox say the same today?"""

from contextlib import closing
from typing import Annotated

import anyio
import typer

from prismenv.cli.archive import store_of
from prismenv.cli.drawing import console, table
from prismenv.cli.output import print_error, print_json
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption, workspaces_of
from prismenv.cli.runs import RunArgument
from prismenv.contracts.archive import Store
from prismenv.contracts.recipe import Recipe
from prismenv.engine.rejudge import Change, Rejudging, rejudge_run
from prismenv.engine.summaries import find_run
from prismenv.finding.workspace import WorkspaceSet
from prismenv.isolation.choice import open_sandbox, usual_workers

REPORT_EVERY = 50  # attempts between two lines of progress
EPILOG = """Nothing in the store is changed. Exit code: 0 no verdict changed, 1 some did, 3 some could not be judged.

Examples:

\b
  prismenv rejudge run-1a2b
  prismenv rejudge run-1a2b --json
"""


def rejudge(
    run: RunArgument,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Attempts judged at once; default: one a processor.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Judge the stored solutions of a run again and show which verdicts changed."""
    with closing(store_of(store, workspace)) as archive:
        report = anyio.run(_rejudge, archive, run, workers or usual_workers(), workspaces_of(workspace))
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)
    raise typer.Exit(1 if report.changes else 3 if report.unjudged else 0)


async def _rejudge(archive: Store, run: str, workers: int, places: WorkspaceSet) -> Rejudging:
    stored = find_run(archive, run)
    settings = Recipe.model_validate(dict(stored.recipe)).sandbox
    async with open_sandbox(settings, workers, places.project_folder, languages=places.sandbox_folders()) as sandbox:
        return await rejudge_run(archive, stored.run_id, sandbox, on_progress=_progress, concurrency=workers)


def _progress(report: Rejudging) -> None:
    done = report.judged + report.unjudged
    if done % REPORT_EVERY == 0:
        print_error(f"{done} attempts judged, {len(report.changes)} changed")


def _row(change: Change) -> tuple[str, ...]:
    counts = [
        f"{verdict.outcome} {verdict.tests_passed_num}/{verdict.tests_failed_num}/{verdict.tests_errored_num}"
        for verdict in (change.before, change.after)
    ]
    return (str(change.node_index), change.node_id, str(change.problem_index), str(change.attempt_num), *counts)


def _show(report: Rejudging) -> None:
    if report.changes:
        columns = ("index", "node", "problem", "attempt", "before (passed/failed/errored)", "after")
        console().draw(table("changed verdicts", columns, map(_row, report.changes)))
    line = f"{report.judged} judged, {len(report.changes)} changed"
    if report.unjudged:
        line += f", {report.unjudged} could not be judged"
    if report.skipped:
        line += f", {report.skipped} had nothing to judge"
    console().say(line)


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(rejudge)
