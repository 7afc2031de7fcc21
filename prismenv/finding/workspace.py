"""Workspaces: folders with `environments/`, `agents/`, `configs/` and `sandbox/`. The user's, packages', the built-in.

Code is only taken from a user's workspace that says that it is one: by a file `prismenv.yaml` in it, or by being named
(`--workspace`, PRISMENV_WORKSPACE). A folder `environments/` that happens to be near is left alone.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prismenv.finding.folders import Workspace, builtin_workspace, folder_of
from prismenv.finding.marker import read_marker, user_root
from prismenv.finding.plugins import installed
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

YAML_FILES = "*.y*ml"  # a pattern for `files`
_SUFFIXES = ("", ".yaml", ".yml", ".py")


@dataclass(frozen=True, slots=True)
class WorkspaceSet:
    """All workspaces together, the user's before packages', the built-in one last.

    `user` None: there is no user's workspace. `project_folder` is where results and relative paths belong: the user's
    workspace, else the folder that the search started from. `store` is the marker's, None where it names none.
    """

    members: tuple[Workspace, ...]
    user: Workspace | None
    project_folder: Path
    store: str | None = None

    def files(self, kind: str, pattern: str) -> list[tuple[Workspace, Path]]:
        """The matching files of all workspaces, the user's first, sorted by name within each."""
        return [(workspace, path) for workspace in self.members for path in workspace.files(kind, pattern)]

    def sandbox_folders(self) -> tuple[Path, ...]:
        """The folders `sandbox` of all workspaces but the built-in one, the user's first: where languages are added."""
        folders = [workspace.root / "sandbox" for workspace in self.members if not workspace.built_in]
        return tuple(folder for folder in folders if folder.is_dir())

    def find(self, kind: str, stem: str) -> Path:
        """The first file of that name, with or without its suffix; ConfigurationException with the nearest if none."""
        name = PurePosixPath(stem)
        if name.is_absolute() or ".." in name.parts or not name.name or "\0" in stem or "\\" in stem:
            raise ConfigurationException(
                f"{stem!r} is no name of a file in {kind}/", code="bad_name", subject=stem[:80]
            )
        for workspace in self.members:
            for suffix in _SUFFIXES:
                path = workspace.root / folder_of(kind) / f"{stem}{suffix}"
                if is_file(path):
                    return path
        stems = self.stems(kind)
        raise ConfigurationException(
            f"there is no {stem!r} in {kind}/{did_you_mean(stem, stems)}",
            code="unknown_file",
            subject=stem,
            hint=f"There are: {', '.join(stems) or 'none'}. Looked in {', '.join(str(w.root) for w in self.members)}",
        )

    def stems(self, kind: str) -> list[str]:
        """The names that `find` knows, sorted."""
        return sorted({path.stem for _, path in self.files(kind, "*") if path.suffix in _SUFFIXES[1:]})


def find_workspaces(
    start: Path | None = None,
    explicit: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    packages: Iterable[Workspace] | None = None,
) -> WorkspaceSet:
    """The workspaces that apply in the folder `start` (None: the current one).

    The user's is `explicit`, else the one of PRISMENV_WORKSPACE, else the nearest folder at or above `start` with a
    `prismenv.yaml`. `packages` None takes those of installed packages. Raises ConfigurationException when one that is
    named is no folder, or a marker is wrong.
    """
    packages = package_workspaces() if packages is None else tuple(packages)
    start = (start or Path.cwd()).resolve()
    root = user_root(start, explicit, os.environ if environ is None else environ)
    built_in = builtin_workspace()
    if root is None or root == built_in.root:
        return WorkspaceSet((*packages, built_in), None, root or start)
    marker = read_marker(root)
    user = Workspace(root, marker.name or "workspace")
    return WorkspaceSet((user, *packages, built_in), user, root, marker.store)


def package_workspaces() -> tuple[Workspace, ...]:
    """The workspaces that installed packages bring, in the order of the packages' names."""
    return tuple(Workspace(path, origin) for path, origin in installed().workspaces())


def is_file(path: Path) -> bool:
    """True when there is such a file; a path that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
