"""`prismenv runs`: what is in the store."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from prismenv.cli.archive import store_of
from prismenv.cli.drawing import console
from prismenv.cli.newfile import new_file
from prismenv.cli.output import print_error, print_json
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption, workspaces_of
from prismenv.cli.reporting import show_runs, show_summary
from prismenv.cli.terminal import data_output
from prismenv.cli.watch import register as register_watch
from prismenv.contracts.archive import RunRecord, Store
from prismenv.engine.exports import ExportFormat, export_run
from prismenv.engine.runtree import write_run_tree
from prismenv.engine.summaries import find_run, prune_runs, summarise_run
from prismenv.words.errors import StorageException

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.")]
EPILOG = """Examples:

\b
  prismenv runs list
  prismenv runs show run-1a2b
  prismenv runs watch run-1a2b
  prismenv runs export run-1a2b --format csv --output attempts.csv
  prismenv runs tree run-1a2b --output tree.json
  prismenv runs prune --keep 20 --dry-run
"""

runs = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="List, show, watch, export and prune stored runs, or write their trees.",
)


def _row(run: RunRecord) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "name": run.name,
        "environment": run.environment,
        "status": run.status,
        "nodes_done": run.nodes_done,
        "seed": run.seed,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "note": run.note,
    }


def _as_they_are(archive: Store) -> Sequence[RunRecord]:
    """All runs; one that says that it is running, and that nobody works on, was killed."""
    found = archive.runs()
    unlocked = {run.run_id for run in found if run.status == "running" and not archive.is_locked(run.run_id)}
    if not unlocked:
        return found
    return [  # looked at again: one may just have ended
        replace(run, status="killed") if run.status == "running" and run.run_id in unlocked else run
        for run in archive.runs()
    ]


@runs.command("list", epilog="Example:\n\n  prismenv runs list --json")
def list_runs(as_json: JsonOption = False, store: StoreOption = None, workspace: WorkspaceOption = None) -> None:
    """All runs, newest first."""
    try:
        with closing(store_of(store, workspace)) as archive:
            found = _as_they_are(archive)
    except StorageException as error:
        if error.code != "store_missing":
            raise
        found = ()
        print_error(str(error))
    if as_json:
        print_json([_row(run) for run in found])
    elif found:
        show_runs(console(), "runs", found)
    for run in found:
        if run.status == "damaged":
            print_error(f"{run.run_id}: {run.note}")


@runs.command(epilog="Example:\n\n  prismenv runs show run-1a2b")
def show(
    run: RunArgument, as_json: JsonOption = False, store: StoreOption = None, workspace: WorkspaceOption = None
) -> None:
    """What a run found: success by concept and difficulty, failures, models, usage."""
    with closing(store_of(store, workspace)) as archive:
        summary = summarise_run(archive, run)
    if as_json:
        print_json(summary.to_json())
    else:
        show_summary(console(), summary)


@runs.command(epilog="Example:\n\n  prismenv runs export run-1a2b --format csv --output attempts.csv")
def export(
    run: RunArgument,
    format: Annotated[ExportFormat, typer.Option(help="One line for each attempt, as JSON or CSV.")] = "jsonl",  # noqa: A002
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file; default: standard output.")] = None,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a run's attempts for other programs."""
    with closing(store_of(store, workspace)) as archive:
        found = find_run(archive, run)
        if output is None:
            export_run(archive, found.run_id, format, data_output())
            return
        with new_file(output) as file:
            count = export_run(archive, found.run_id, format, file)
    print_error(f"{count} attempts written to {output}")


@runs.command(epilog="Example:\n\n  prismenv runs tree run-1a2b --output tree.json\n  prismenv report tree.json")
def tree(
    run: RunArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A new file; default: standard output.")] = None,
    flat: Annotated[
        bool, typer.Option("--flat", help="Only what was measured, without edges: the search is not played again.")
    ] = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write a run's tree with its results as JSON, in the shape of PrismBench's /tree."""
    workspaces = workspaces_of(workspace)
    with closing(store_of(store, workspace)) as archive:
        if output is None:
            out = data_output()
            with redirect_stdout(sys.stderr):  # what a plugin prints is no part of the tree
                write_run_tree(archive, run, workspaces, out, flat=flat)
            return
        with new_file(output) as file:
            count = write_run_tree(archive, run, workspaces, file, flat=flat)
    print_error(f"{count} nodes written to {output}")


@runs.command(epilog="Example:\n\n  prismenv runs prune --older-than-days 30 --keep 20 --dry-run")
def prune(
    older_than_days: Annotated[
        float | None, typer.Option(min=0, help="Only runs that began so long ago; cached answers too.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Keep so many of the newest.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Remove old runs. A run that is being worked on is spared."""
    with closing(store_of(store, workspace)) as archive:
        pruning = prune_runs(archive, older_than_days=older_than_days, keep=keep, dry_run=dry_run, now=time.time())
    if as_json:
        removed, busy = ([run.run_id for run in some] for some in (pruning.removed, pruning.busy))
        print_json({"dry_run": dry_run, "removed": removed, "busy": busy, "answers": pruning.answers})
        return
    title = "would be removed" if dry_run else "removed"
    if pruning.removed:
        show_runs(console(), title, pruning.removed)
    else:
        console().say("no run is to be removed")
    if pruning.answers:
        console().say(f"{pruning.answers} cached answers {title}")
    for run in pruning.busy:
        print_error(f"{run.run_id} is being worked on and was spared")


def register(app: typer.Typer, name: str) -> None:
    """Add the group."""
    register_watch(runs, "watch")
    app.add_typer(runs, name=name)
