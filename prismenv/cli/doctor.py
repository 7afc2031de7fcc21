"""`prismenv doctor`: what is there, what is missing, and what to do about it."""

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import Annotated

import anyio
import typer

from prismenv.cli.drawing import console, table
from prismenv.cli.output import print_json
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption, located, workspaces_of
from prismenv.cli.siege import SiegeOptions, besiege
from prismenv.cli.terminal import EXIT_INFRASTRUCTURE
from prismenv.contracts.recipe import IsolationChoice
from prismenv.engine.checkup import check_up
from prismenv.words.errors import ConfigurationException
from prismenv.words.verdict import DEFAULT_VERDICT, VerdictMode

EPILOG = """Exit code: 0 when nothing failed, 2 bad usage, 3 when something failed; with --attack 1 when an attack was
not held, 3 when there is no such sandbox.

Examples:

\b
  prismenv doctor
  prismenv doctor --json
  prismenv doctor --attack
  prismenv doctor --attack --class "raw frames" --isolation unprivileged
  prismenv doctor --attack --verdict shared --json
  prismenv doctor --attack --language rust
"""


def doctor(
    as_json: JsonOption = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
    attack: Annotated[
        bool, typer.Option("--attack", help="Run the attack suite against the sandbox; it takes minutes.")
    ] = False,
    group: Annotated[str | None, typer.Option("--class", help="Only attacks of this class.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Only attacks in this language: python, javascript, c, ...")
    ] = None,
    isolation: Annotated[
        IsolationChoice | None, typer.Option(help="The isolation to attack; default: the strongest there is.")
    ] = None,
    verdict: Annotated[VerdictMode | None, typer.Option(help="The verdict to attack; default: split.")] = None,
) -> None:
    """Check Python, workspaces, plugins, sandbox, store and disk; with --attack, attack the sandbox instead."""
    if attack:
        options = SiegeOptions(group, language, isolation or "auto", verdict or DEFAULT_VERDICT, as_json)
        raise typer.Exit(anyio.run(besiege, options))
    if any(each is not None for each in (group, language, isolation, verdict)):
        raise ConfigurationException("--class, --language, --isolation and --verdict belong to --attack")
    workspaces = workspaces_of(workspace)
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is loaded is no part of the answer
        checks = anyio.run(check_up, workspaces, located(store, workspaces))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        screen = console()
        screen.draw(table("doctor", ("status", "check", "found"), [(it.status, it.name, it.detail) for it in checks]))
        worst = [status for status in ("failed", "warning") if any(check.status == status for check in checks)]
        screen.say(f"{worst[0]}: see above" if worst else "all is well", style="bold")
    raise typer.Exit(EXIT_INFRASTRUCTURE if any(check.status == "failed" for check in checks) else 0)


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(doctor)
