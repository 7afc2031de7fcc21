"""`prismenv llm serve`: the LLM interface as a service."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.abc
import typer

from prismenv.cli.drawing import console
from prismenv.cli.openfiles import make_room
from prismenv.cli.output import print_error, print_json
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.cli.servedrecipe import (
    SetsOption,
    TokenFilesOption,
    TokenVariablesOption,
    recipe_to_serve,
    without_extra,
)
from prismenv.cli.tokens import token_sources
from prismenv.contracts.keys import KeySource
from prismenv.contracts.recipe import Recipe
from prismenv.engine.composition import keeps_sessions, open_models, with_usual_models
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException

EPILOG = """Whoever runs a recipe says `interface: {type: http, url: URL}`; nothing else in it changes.
SIGTERM or Ctrl-C takes nothing new and lets what runs finish; once more stops now.

Examples:

\b
  prismenv llm serve
  prismenv llm serve --set models.default=openai/gpt-5 --port 8010
  prismenv llm serve --set interface.sessions=store --workers 4
  prismenv llm serve two-services.yaml --host 0.0.0.0 --token-file ~/.config/prismenv.token
"""


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    tokens: tuple[KeySource, ...]
    limits: dict[str, Any]
    as_json: bool
    workers: int


def serve(
    recipe: Annotated[str | None, typer.Argument(help="The recipe whose models and keys are served.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8010,
    sets: SetsOption = None,
    token_files: TokenFilesOption = None,
    token_variables: TokenVariablesOption = None,
    max_sessions: Annotated[int, typer.Option(min=1, help="Sessions that may be open at once.")] = 10_000,
    max_questions: Annotated[int, typer.Option(min=1, help="Questions that may run or wait at once.")] = 1_000,
    max_body_bytes: Annotated[int, typer.Option(min=1, help="The longest request.")] = 4 * 2**20,
    idle_seconds: Annotated[float, typer.Option(min=1, help="Sessions not used for so long are forgotten.")] = 3600.0,
    grace_seconds: Annotated[float, typer.Option(min=0, help="How long what runs may go on when stopped.")] = 30.0,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that serve; several need interface.sessions=store.")
    ] = 1,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the LLM interface over HTTP, in both of PrismBench's shapes. Needs the extra `server`."""
    workspaces = workspaces_of(workspace)
    tokens = token_sources(token_files, token_variables)
    loaded = recipe_to_serve(recipe, "llm serve", sets, tokens, workspaces)
    with redirect_stdout(sys.stderr):  # standard output is for the address alone
        served = with_usual_models(loaded.recipe, workspaces)
    address = _Address(
        host,
        port,
        tokens,
        {
            "sessions": max_sessions,
            "tasks": max_questions,
            "body_bytes": max_body_bytes,
            "idle_seconds": idle_seconds,
            "grace_seconds": grace_seconds,
        },
        as_json,
        workers,
    )
    with loaded.placing():
        _listen_and_serve(served, workspaces, loaded.folder, address)


def _listen_and_serve(recipe: Recipe, workspaces: WorkspaceSet, folder: Path, address: _Address) -> None:
    try:
        from prismenv.server import serving, workers  # noqa: PLC0415 - an extra's library is imported where it is used
        from prismenv.server.limits import ServiceLimits  # noqa: PLC0415
        from prismenv.server.tokens import read_tokens  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise without_extra("service", error) from error
    if address.workers > 1:
        _require_sharing(recipe)
    tokens = read_tokens(address.tokens, Path.cwd(), os.environ)
    settings = serving.ServeSettings(address.host, address.port, tokens, ServiceLimits(**address.limits))
    make_room(settings.limits.connections)
    listener = serving.listen(address.host, address.port, open_to_all=not tokens)
    url = serving.url_of(listener)
    worker: workers.Worker | None = None
    if address.workers > 1:
        became = workers.Workers(address.workers, partial(_announce, url, address), print_error).work()
        if isinstance(became, int):  # the parent, when all is over
            raise typer.Exit(became)
        worker = became

    async def serve() -> None:
        async with open_models(recipe, workspaces, folder) as models:
            served = serving.Served(models.interface, models.roles, models.model, models.book)
            async with (
                serving.running_service(served, settings, listener=listener) as running,
                anyio.create_task_group() as tasks,
            ):
                await tasks.start(_until_told, running, tasks.cancel_scope, worker)
                if worker is None:
                    _announce(url, address, models.roles)
                else:
                    worker.ready(models.roles)

    anyio.run(serve)


def _require_sharing(recipe: Recipe) -> None:
    if not keeps_sessions(recipe):
        raise ConfigurationException(
            "--workers: several processes can serve only what they share, and the sessions are in memory",
            code="not_shared",
            hint="Add --set interface.sessions=store, or interface: {sessions: store} in the recipe.",
        )
    if recipe.budget.tokens is not None or recipe.budget.cost_usd is not None:
        raise ConfigurationException(
            "--workers: budget.tokens and budget.cost_usd cannot be held by several processes",
            code="not_shared",
            hint="Serve with one worker, or take the budget out.",
        )
    if recipe.limits.providers or recipe.limits.models:
        print_error("limits.providers and limits.models hold for each worker by itself: together they may ask more")


def _announce(url: str, address: _Address, roles: Sequence[str], pids: Sequence[int] = ()) -> None:
    if address.as_json:
        print_json({"event": "serving", "url": url, "roles": roles} | ({"workers": pids} if pids else {}))
    else:
        shared = f", {len(pids)} workers" if pids else ""
        console().say(f"LLM interface at {url} ({len(roles)} roles{shared}); {url}/docs says how")


async def _until_told(
    running: Any, everything: anyio.CancelScope, worker: Any, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """Return when the service has ended in good order, or at once at the second signal."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        async with anyio.create_task_group() as ending:
            if worker is not None:
                ending.start_soon(_with_parent, worker.parent)
            async for number in received:
                if running.service.stopping:
                    if worker is not None and number == signal.SIGTERM:
                        continue  # see server/workers.py
                    everything.cancel()
                    return
                if worker is None:  # else the parent says it
                    print_error("taking nothing new, and finishing what runs; once more to stop now")
                ending.start_soon(_stop, running, everything)


async def _with_parent(parent: int) -> None:
    """A worker whose parent is gone is told to stop as if by the parent."""
    await anyio.wait_readable(parent)
    os.kill(os.getpid(), signal.SIGTERM)


async def _stop(running: Any, everything: anyio.CancelScope) -> None:
    await running.stop()
    everything.cancel()


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(serve)
