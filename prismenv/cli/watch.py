"""`prismenv runs watch`: a run that another process works on, shown from the store."""

import time
from collections.abc import Iterable
from contextlib import closing, suppress
from typing import Annotated

import typer

from prismenv.cli.archive import store_of
from prismenv.cli.live import JsonWatcher, Watcher, describe, open_watcher
from prismenv.cli.output import print_error, say
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption
from prismenv.cli.terminal import EXIT_INFRASTRUCTURE
from prismenv.engine.following import Follower
from prismenv.engine.summaries import find_run
from prismenv.words.events import Event

EPILOG = """Ends when the run ends; Ctrl-C ends the watching alone. Exit code: 0 the run finished or spent its budget,
1 it was interrupted or killed, 3 it failed.

Examples:

\b
  prismenv runs watch run-1a2b
  prismenv runs watch run-1a2b --json | jq -r 'select(.event == "node_finished") | .node_id'
"""
_CODES = {"finished": 0, "budget_reached": 0, "interrupted": 1, "failed": EXIT_INFRASTRUCTURE}


def watch(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.")],
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the store.")] = 1.0,
    as_json: JsonOption = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Follow a run from another terminal until it ends: progress, or with --json its events, one a line."""
    with closing(store_of(store, workspace)) as archive:
        follower = Follower(archive, find_run(archive, run).run_id)
        with suppress(KeyboardInterrupt), open_watcher(as_json=as_json, quiet=False) as watcher:
            _follow(follower, watcher, every)
    _tell_end(follower, as_json=as_json)
    raise typer.Exit(_exit_code(follower))


def _follow(follower: Follower, watcher: Watcher, every: float) -> None:
    while True:
        events = follower.look()
        for event in events if isinstance(watcher, JsonWatcher) else _latest(events):
            watcher(event)
        if follower.over:
            return
        time.sleep(every)


def _latest(events: Iterable[Event]) -> list[Event]:
    """What is still worth showing of what happened meanwhile: the run's own events, and how far it is."""
    found = list(events)
    last = max((place for place, event in enumerate(found) if "progress" in event.data), default=None)
    return [
        event
        for place, event in enumerate(found)
        if place == last or event.type.startswith(("run_", "budget_", "phase_"))
    ]


def _tell_end(follower: Follower, *, as_json: bool) -> None:
    run = follower.run
    if run is None or not follower.over:
        return
    if follower.abandoned:
        print_error(f"{run.run_id}: nobody works on it any more, and it did not end; `prismenv run --resume` goes on")
    if not as_json:
        status = "killed" if follower.abandoned else run.status.replace("_", " ")
        progress = {**follower.progress(), "remaining_seconds": None}
        say(f"{run.run_id} {status}: {run.nodes_done} nodes; {describe(progress)}")
        say(f"see `prismenv report {run.run_id}`")


def _exit_code(follower: Follower) -> int:
    if follower.run is None or not follower.over:  # the watching was ended, not the run
        return 0
    return 1 if follower.abandoned else _CODES.get(follower.run.status, EXIT_INFRASTRUCTURE)


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(watch)
