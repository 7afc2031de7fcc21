"""`prismenv serve`: environments over OpenEnv's protocol, PrismBench's and MCP."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from prismenv.cli.drawing import console
from prismenv.cli.openfiles import make_room
from prismenv.cli.output import print_json
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.cli.servedadmission import (
    HostsOption,
    InsecureOption,
    OriginsOption,
    RateOption,
    TokenListsOption,
    admission_of,
)
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
from prismenv.engine.host.duration import read_duration
from prismenv.engine.host.host import HostLimits
from prismenv.engine.host.opening import open_hosted
from prismenv.finding.recipes import LoadedRecipe
from prismenv.finding.workspace import WorkspaceSet

EPILOG = """Clients of OpenEnv are given http://HOST:PORT/environments/NAME, or, where --environment names the only one,
http://HOST:PORT; clients of MCP the same with /mcp. PrismBench's search is given http://HOST:PORT.
SIGTERM or Ctrl-C begins nothing new and lets calls that run end; once more stops now.

Examples:

\b
  prismenv serve
  prismenv serve --environment environment_echo --port 8000
  prismenv serve --set models.default=openai/gpt-5 --host 0.0.0.0 --token-file ~/.config/prismenv.token
  prismenv token trainer --file tokens.yaml && prismenv serve --host 0.0.0.0 --tokens tokens.yaml
"""
_SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    tokens: tuple[KeySource, ...]
    token_lists: tuple[Path, ...]
    admission: dict[str, Any]
    only: str | None
    seed: int
    limits: HostLimits
    wire: dict[str, Any]
    as_json: bool


def serve(
    recipe: Annotated[str | None, typer.Argument(help="The recipe whose models and sandbox are used.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="Only this one; default: all.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8000,
    sets: SetsOption = None,
    token_files: TokenFilesOption = None,
    token_variables: TokenVariablesOption = None,
    token_lists: TokenListsOption = None,
    insecure: InsecureOption = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="What episodes' seeds come from that name none; default: chance.")
    ] = None,
    lease: Annotated[
        str, typer.Option(help='Instances not used for so long are closed: "1h", "30m", seconds.')
    ] = "30m",
    max_instances: Annotated[int, typer.Option(min=1, help="Instances that may be open at once.")] = 1024,
    per_token: Annotated[int | None, typer.Option(min=1, help="Instances that one token may have.")] = None,
    queue: Annotated[str, typer.Option(help="How long somebody waits for an instance.")] = "30s",
    requests_per_second: RateOption = None,
    allow_origins: OriginsOption = None,
    allow_hosts: HostsOption = None,
    max_message_bytes: Annotated[int, typer.Option(min=1024, help="The longest message or body.")] = 16 * 2**20,
    grace_seconds: Annotated[float, typer.Option(min=0, help="How long calls may go on when stopped.")] = 30.0,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve environments over OpenEnv's protocol, PrismBench's and MCP. Needs the extra `server`."""
    workspaces = workspaces_of(workspace)
    tokens = token_sources(token_files, token_variables)
    loaded = recipe_to_serve(recipe, "serve", sets, tokens, workspaces)
    address = _Address(
        host,
        port,
        tokens,
        tuple(token_lists or ()),
        admission_of(allow_hosts, allow_origins, insecure=insecure, requests_per_second=requests_per_second),
        environment,
        secrets.randbits(_SEED_BITS) if seed is None else seed,
        HostLimits(
            instances=max_instances,
            per_tenant=per_token,
            lease_seconds=read_duration(lease, "--lease"),
            queue_seconds=read_duration(queue, "--queue"),
        ),
        {"message_bytes": max_message_bytes, "grace_seconds": grace_seconds},
        as_json,
    )
    with loaded.placing():
        anyio.run(_serve, loaded, workspaces, address)


async def _serve(loaded: LoadedRecipe, workspaces: WorkspaceSet, address: _Address) -> None:
    try:
        from prismenv.server.environments import serving  # noqa: PLC0415 - an extra's library is imported where it is used
        from prismenv.server.environments.limits import WireLimits  # noqa: PLC0415
        from prismenv.server.hosts import read_origin  # noqa: PLC0415
        from prismenv.server.tokens import read_tokens  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise without_extra("server", error) from error
    settings = serving.EnvironmentServeSettings(
        host=address.host,
        port=address.port,
        tokens=read_tokens(address.tokens, Path.cwd(), os.environ, address.token_lists),
        **{**address.admission, "origins": frozenset(map(read_origin, address.admission["origins"]))},
        only=address.only,
        seed=address.seed,
        host_limits=address.limits,
        wire=WireLimits(**address.wire),
    )
    make_room(settings.wire.connections)
    names = None if address.only is None else [address.only]
    async with (
        open_hosted(loaded.recipe, workspaces, loaded.folder, names) as hosted,
        serving.running_environments(hosted, settings) as running,
        anyio.create_task_group() as tasks,
    ):
        warn_of_no_jail(loaded.recipe.sandbox, hosted.services.sandbox)
        await tasks.start(until_told, running.stop, tasks.cancel_scope)
        if address.as_json:
            print_json({"event": "serving", "url": running.url, "environments": list(hosted.names)})
        else:
            where = running.url if address.only else f"{running.url}/environments/NAME"
            console().say(f"serving {', '.join(hosted.names)} at {where}")


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(serve)
