"""Options that many commands share: which workspace, which store."""

from pathlib import Path
from typing import Annotated

import typer

from prismenv.engine.location import store_location
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.store.naming import check_name

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="The workspace's folder; default: the nearest one upwards with a prismenv.yaml."
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="A file or postgresql://…; default: PRISMENV_STORE, else .prismenv/prismenv.db in the project folder.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def workspaces_of(workspace: Path | None) -> WorkspaceSet:
    """The workspaces that a command sees."""
    return find_workspaces(explicit=workspace)


def located(store: str | None, workspaces: WorkspaceSet) -> str:
    """Where the store is: a path on the command line is within the current folder, and not the project's."""
    if store is not None and "://" not in store:
        check_name(store)
        store = str(Path(store).expanduser().absolute())
    return store_location(store, workspaces)
