"""`prismenv sandbox serve`: this machine's sandbox for others."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from prismenv.cli.drawing import console
from prismenv.cli.openfiles import make_room
from prismenv.cli.output import print_json
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.cli.servedrecipe import (
    SetsOption,
    TokenFilesOption,
    TokenVariablesOption,
    recipe_to_serve,
    without_extra,
)
from prismenv.cli.stopping import until_told
from prismenv.cli.tokens import token_sources
from prismenv.cli.unjailed import warn_of_no_jail
from prismenv.contracts.keys import KeySource
from prismenv.contracts.recipe import Recipe
from prismenv.engine.host.duration import read_duration
from prismenv.isolation.choice import open_sandbox, usual_workers
from prismenv.words.errors import ConfigurationException

EPILOG = """Whoever runs a recipe says `sandbox: {url: URL}`, who judges `--sandbox-url URL`; nothing else changes.
Who has a token can run programs here, within the sandbox and its ceilings, and nothing else.
SIGTERM or Ctrl-C takes nothing new and lets what runs finish; once more stops now.

Examples:

\b
  prismenv sandbox serve
  prismenv sandbox serve --set sandbox.require=full --set concurrency.sandboxes=8
  prismenv sandbox serve --host 0.0.0.0 --token-file ~/.config/prismenv.token
"""


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    tokens: tuple[KeySource, ...]
    limits: dict[str, Any]
    as_json: bool


def serve(
    recipe: Annotated[str | None, typer.Argument(help="The recipe whose sandbox is served.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8020,
    sets: SetsOption = None,
    token_files: TokenFilesOption = None,
    token_variables: TokenVariablesOption = None,
    max_waiting: Annotated[int, typer.Option(min=0, help="Runs that may wait for their turn.")] = 1_024,
    per_token: Annotated[int | None, typer.Option(min=1, help="Runs of one token, running or waiting.")] = None,
    sessions_per_token: Annotated[
        int | None, typer.Option(min=1, help="How many sessions one token may have open; all of them without it.")
    ] = None,
    queue: Annotated[str, typer.Option(help="How long one waits before it is told to ask again.")] = "60s",
    max_body_bytes: Annotated[int, typer.Option(min=1024, help="The longest request.")] = 16 * 2**20,
    grace_seconds: Annotated[float, typer.Option(min=0, help="How long what runs may go on when stopped.")] = 30.0,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve this machine's sandbox over HTTP. Needs the extra `server`."""
    workspaces = workspaces_of(workspace)
    tokens = token_sources(token_files, token_variables)
    loaded = recipe_to_serve(recipe, "sandbox serve", sets, tokens, workspaces)
    limits = {
        "waiting": max_waiting,
        "per_token": per_token,
        "sessions_per_token": sessions_per_token,
        "queue_seconds": read_duration(queue, "--queue"),
        "body_bytes": max_body_bytes,
        "grace_seconds": grace_seconds,
    }
    with loaded.placing():
        anyio.run(_serve, loaded.recipe, _Address(host, port, tokens, limits, as_json))


async def _serve(recipe: Recipe, address: _Address) -> None:
    try:
        from prismenv.server.sandboxes import serving  # noqa: PLC0415 - an extra's library is imported where it is used
        from prismenv.server.sandboxes.limits import SandboxServiceLimits  # noqa: PLC0415
        from prismenv.server.tokens import read_tokens  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise without_extra("service", error) from error
    if recipe.sandbox.url is not None:
        raise ConfigurationException("sandbox.url: what is served is a sandbox of this machine").at("sandbox", "url")
    settings = serving.SandboxServeSettings(
        address.host,
        address.port,
        read_tokens(address.tokens, Path.cwd(), os.environ),
        SandboxServiceLimits(**address.limits),
    )
    make_room(settings.limits.connections)
    workers = recipe.concurrency.sandboxes or usual_workers()
    async with open_sandbox(recipe.sandbox, workers) as sandbox:
        warn_of_no_jail(recipe.sandbox, sandbox)
        served = serving.ServedSandbox(sandbox, workers, recipe.sandbox.verdict, recipe.sandbox.packages)
        async with (
            serving.running_sandbox_service(served, settings) as running,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(until_told, running.stop, tasks.cancel_scope)
            if address.as_json:
                document = {"event": "serving", "url": running.url, "isolation": sandbox.isolation, "workers": workers}
                print_json(document)
            else:
                shown = f"{sandbox.isolation} isolation, {workers} at once"
                console().say(f"serving the sandbox at {running.url} ({shown})")


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(serve)
