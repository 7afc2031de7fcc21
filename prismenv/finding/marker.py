"""The user's workspace: a folder with a file `prismenv.yaml`, or one that is named. Nothing of it is loaded here."""

import os
from collections.abc import Mapping
from pathlib import Path

from prismenv.finding.folders import BUILT_IN
from prismenv.finding.variables import WORKSPACE_VARIABLE
from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel

MARKER = "prismenv.yaml"


class WorkspaceMarker(FrozenModel):
    """The file `prismenv.yaml`, which makes a folder a workspace. It may be empty.

    `name` is what lists call the workspace, None: `workspace`. `store` is where results go unless a recipe says
    otherwise: a file in the workspace or a SQLAlchemy URL.
    """

    name: str | None = None  # what lists call the workspace; nothing: `workspace`
    store: str | None = None  # where results go, in this folder or as a URL; a recipe may say otherwise


def read_marker(root: Path) -> WorkspaceMarker:
    """The workspace's `prismenv.yaml`; the defaults where there is none or it is empty."""
    path = root / MARKER
    if not path.is_file():
        return WorkspaceMarker()
    document = load_yaml(path)
    marker = WorkspaceMarker() if document.data is None else validate(WorkspaceMarker, document)
    if marker.name in (BUILT_IN, ""):
        raise ConfigurationException(
            f"{document.where(('name',))}: name: found {marker.name!r}; expected a name of your own",
            subject=str(path),
        )
    return marker


def user_root(start: Path, explicit: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The root of the user's workspace; None: there is none. ConfigurationException: what is named is no folder.

    `start` is an absolute folder; `explicit` None: none is named but perhaps by the environment.
    """
    if explicit is None and environ.get(WORKSPACE_VARIABLE):
        explicit, source = Path(environ[WORKSPACE_VARIABLE]), WORKSPACE_VARIABLE
    else:
        source = "--workspace"
    if explicit is None:
        return next((folder for folder in (start, *start.parents) if (folder / MARKER).is_file()), None)
    try:
        root = (start / explicit.expanduser()).resolve()
        found = root.is_dir()
    except (OSError, RuntimeError, ValueError):  # too long, no such user's home, a character that no path has
        root, found = explicit, False
    if not found:
        raise ConfigurationException(
            f"the workspace {str(explicit)!r} (from {source}) is no folder",
            code="unknown_workspace",
            subject=str(root),
            hint=f"prismenv init {explicit} makes a workspace there.",
        )
    return root


def user_sandbox(explicit: Path | None) -> tuple[Path, ...]:
    """The folder `sandbox` of the user's workspace, as `sandbox_folders()` of all workspaces has it; empty without."""
    root = user_root(Path.cwd().resolve(), explicit, os.environ)
    folder = None if root is None else root / "sandbox"
    return (folder,) if folder is not None and folder.is_dir() else ()
