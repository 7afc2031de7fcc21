"""`prismenv openenv`: an environment's folder as OpenEnv has it, written and read."""

from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from prismenv.cli.output import print_json, say
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.clients.environment import EnvironmentClient
from prismenv.clients.stockserver import START_SECONDS, openenv_server
from prismenv.contracts.registry import environment_registry
from prismenv.finding.discovery import load_environments
from prismenv.finding.openenvfile import MANIFEST, OpenEnvManifest, find_manifest, load_manifest, manifest_text
from prismenv.finding.scaffold import write_all
from prismenv.words.errors import ConfigurationException

EPILOG = """Examples:

\b
  prismenv openenv export environment_echo ./echo
  prismenv openenv check ./echo
  prismenv run environment_openenv --set config.manifest=./echo --set models.default=openai/gpt-5
"""
APPLICATION = '''"""{name} over OpenEnv's protocol, PrismBench's and MCP: `uvicorn server.app:app`."""

from prismenv import create_fastapi_app

app = create_fastapi_app("{name}")
'''
_EPISODES = ("episode", "tools")


def export(
    environment: Annotated[str, typer.Argument(help="The environment's name.")],
    folder: Annotated[Path, typer.Argument(help="Where to write; made where there is none.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that the manifest names.")] = 8000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write openenv.yaml, and the application that it names, for an environment of this workspace."""
    workspaces = workspaces_of(workspace)
    load_environments(workspaces)
    if not set(_EPISODES) & set(environment_registry.faces(environment)):
        raise ConfigurationException(
            f"{environment!r} has no episodes: OpenEnv's clients could not use it",
            code="no_episode_face",
            subject=environment,
        )
    manifest = OpenEnvManifest(spec_version=1, name=environment, app="server.app:app", port=port)
    texts = {
        MANIFEST: manifest_text(manifest),
        "server/__init__.py": "",
        "server/app.py": APPLICATION.format(name=environment),
    }
    if not dry_run:
        write_all(folder, texts)
    if as_json:
        print_json(
            {"folder": str(folder), "written": [] if dry_run else list(texts), "manifest": manifest.model_dump()}
        )
        return
    for name, text in texts.items():
        say(f"{'would write' if dry_run else 'wrote'} {folder / name}")
        if dry_run:
            say(text)
    own = workspaces.user
    if own is not None and not folder.resolve().is_relative_to(own.root):
        say(f"the application looks for its workspace above its own folder: {own.root} is not there", stderr=True)


def check(
    place: Annotated[Path, typer.Argument(help="An openenv.yaml, or its folder.")],
    python: Annotated[
        Path | None, typer.Option(help="The Python that has the environment's packages; this one without it.")
    ] = None,
    start_seconds: Annotated[float, typer.Option(min=0.1, help="How long it may take to answer.")] = START_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Read openenv.yaml, start the server that it names, begin an episode, and end it all."""
    manifest = load_manifest(place)
    if not as_json:
        say(f"{find_manifest(place)}: {manifest.name}, {manifest.app}; starting it")
    schemas, first = anyio.run(_try, place, python, start_seconds)
    if as_json:
        told = {"manifest": manifest.model_dump(), "schemas": schemas, "first_observation": first}
        print_json(told)
        return
    say(f"{manifest.name} answers")
    for kind, schema in schemas.items():
        say(f"  {kind}: {', '.join(schema.get('properties', {})) or 'any object'}")


async def _try(place: Path, python: Path | None, start_seconds: float) -> tuple[dict[str, Any], Any]:
    async with openenv_server(place, python=python, start_seconds=start_seconds) as url:
        client: EnvironmentClient[Any, Any] = EnvironmentClient(url)
        async with client as env:
            return await env.schemas(), (await env.reset()).observation


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    group = typer.Typer(
        help="An environment's folder as OpenEnv has it: write one, check one.",
        no_args_is_help=True,
        rich_markup_mode=None,
        epilog=EPILOG,
    )
    group.command("export", epilog=EPILOG)(export)
    group.command("check", epilog=EPILOG)(check)
    app.add_typer(group, name=name)
