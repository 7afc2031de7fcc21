"""The recipe that a server is started with, and the options of both servers that name it and the tokens."""

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from prismenv.cli.changes import located_changes
from prismenv.contracts.keys import KeySource
from prismenv.finding.plugins import providers
from prismenv.finding.recipes import LoadedRecipe, bare_recipe, load_recipe
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException

SetsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe, such as models.default; repeatable."),
]
TokenFilesOption = Annotated[
    list[Path] | None,
    typer.Option("--token-file", help="A file with a bearer token that only you can read; repeatable."),
]
TokenVariablesOption = Annotated[
    list[str] | None, typer.Option("--token-variable", help="A variable with a bearer token; repeatable.")
]


def without_extra(what: str, error: ModuleNotFoundError) -> ConfigurationException:
    """What is told where `what`, a server of ours, cannot be imported."""
    return ConfigurationException(
        f"the {what} needs {error.name}, which is not installed",
        code="missing_extra",
        subject=error.name,
        hint="Install it: pip install 'prismenv[server]'",
    )


def recipe_to_serve(
    recipe: str | None,
    command: str,
    sets: Sequence[str] | None,
    tokens: Sequence[KeySource],
    workspaces: WorkspaceSet,
) -> LoadedRecipe:
    """The named recipe with the changes of `--set`, None: a bare one by the command's name.

    Variables that hold tokens are not among those that it is filled from.
    """
    changes = located_changes(sets or (), Path.cwd(), providers())
    secret = {source.variable for source in tokens}
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is loaded is no part of the answer
        environ = {name: value for name, value in os.environ.items() if name not in secret}
        if recipe is None:
            return bare_recipe(command, workspaces, environ, changes)
        return load_recipe(recipe, workspaces, environ, changes)
