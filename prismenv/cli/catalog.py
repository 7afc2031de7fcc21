"""`prismenv list`: everything that can be named, where it comes from, and what is broken."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Annotated

import anyio
import typer

from prismenv.cli.drawing import Screen, console, table
from prismenv.cli.output import print_error, print_json
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.engine.languagecheck import look_at_languages, probe_languages
from prismenv.engine.stock import take_stock, with_states
from prismenv.finding.catalog import CatalogEntry
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

KINDS = {  # in the order in which they are shown
    "environment": "environments",
    "agent": "agents",
    "language": "languages",
    "provider": "providers",
    "policy": "policies",
    "phase": "phases",
    "recipe": "recipes",
    "config": "configs",
    "plugin": "plugins",
}

EPILOG = """Examples:

\b
  prismenv list
  prismenv list environments
  prismenv list languages       # with version, probe, and what is missing
  prismenv list --json
"""


def list_everything(
    kind: Annotated[str | None, typer.Argument(help="Only one kind, such as environments or recipes.")] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """List environments, agents, languages, providers, policies and recipes: origin, faces, and what is broken."""
    kinds = _kinds(kind)
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is loaded is no part of the answer
        workspaces = workspaces_of(workspace)
        catalog = take_stock(workspaces)
        if kinds == ["language"]:
            catalog = with_states(catalog, anyio.run(probe_languages, workspaces))
        elif kind is None:
            catalog = with_states(catalog, look_at_languages(workspaces))
    if as_json:
        print_json([asdict(entry) for known in kinds for entry in catalog.of(known)])
        return
    screen = console()
    for known in kinds:
        if entries := catalog.of(known):
            _show(screen, KINDS[known], entries)
    if kind is not None and not catalog.of(kinds[0]):
        print_error(f"there are no {KINDS[kinds[0]]}")


def _kinds(asked: str | None) -> list[str]:
    """The kinds that are to be shown, by their singular."""
    if asked is None:
        return list(KINDS)
    found = [kind for kind, plural in KINDS.items() if asked in (kind, plural)]
    if not found:
        raise ConfigurationException(
            f"there is no kind {asked!r}{did_you_mean(asked, KINDS.values())}",
            subject=asked,
            hint=f"Kinds: {', '.join(KINDS.values())}.",
        )
    return found


def _show(screen: Screen, title: str, entries: Sequence[CatalogEntry]) -> None:
    faces = any(entry.faces for entry in entries)
    columns = ("name", "origin", "faces", "about") if faces else ("name", "origin", "about")
    rows = [
        (entry.name, entry.origin, *([", ".join(entry.faces)] if faces else []), _about(entry)) for entry in entries
    ]
    screen.draw(table(title, columns, rows, whole=("name",)))  # it is what other commands are given


def _about(entry: CatalogEntry) -> str:
    broken = [f"broken: {entry.error}"] if entry.error is not None else []
    if broken and entry.path and entry.path not in broken[0]:
        broken.append(entry.path)
    place = f"takes the place of the {entry.replaces} one" if entry.replaces else ""
    return "\n".join(line for line in (place, *(broken or [entry.summary])) if line)


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(list_everything)
