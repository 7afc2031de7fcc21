"""`prismenv init` and `prismenv eject`: files to start from."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from prismenv.cli.output import print_json, say
from prismenv.cli.places import JsonOption, WorkspaceOption, workspaces_of
from prismenv.finding.scaffold import eject as eject_file
from prismenv.finding.scaffold import init_workspace

INIT_EPILOG = """Examples:

\b
  prismenv init my-benchmark
  cd my-benchmark && prismenv list && prismenv run example
  python -m pip install pytest && python -m pytest     # the test that comes with it
"""
EJECT_EPILOG = """Examples:

\b
  prismenv eject environment_coding_challenge
  prismenv eject problem_solver
  prismenv eject quickstart
"""


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make the workspace in; it may exist.")],
    name: Annotated[str | None, typer.Option(help="The workspace's name; default: the folder's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a workspace with one small commented example of each kind and a test that runs it."""
    written = init_workspace(folder, name=name or folder.resolve().name)
    if as_json:
        print_json([str(path) for path in written])
        return
    for path in written:
        say(f"wrote {path}")
    entering = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    say(f"next: {entering}prismenv list && prismenv run example")


def eject(
    name: Annotated[str, typer.Argument(help="A built-in environment, agent, configuration or recipe.")],
    as_json: JsonOption = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Copy a built-in file into the workspace, where it takes the built-in's place."""
    written = eject_file(name, workspaces_of(workspace))
    if as_json:
        print_json({"path": str(written[0]), "files": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {path}")


def register(app: typer.Typer, name: str) -> None:
    """Add the command of that name."""
    if name == "init":
        app.command(name, epilog=INIT_EPILOG)(init)
    else:
        app.command(name, epilog=EJECT_EPILOG)(eject)
