"""Where languages are added, for a command that needs nothing else of workspaces."""

from importlib import import_module
from pathlib import Path

from prismenv.finding.entrypoints import others_register
from prismenv.finding.marker import user_sandbox

_WORKSPACES = "prismenv.finding.workspace"


def language_folders(explicit: Path | None) -> tuple[Path, ...]:
    """The folders `sandbox` of the user's workspace and of installed packages, as a run has them.

    `explicit` is the workspace that is named, None: the nearest one. ConfigurationException: it is no folder.
    """
    if not others_register():
        return user_sandbox(explicit)
    # Loading plugins takes longer than judging: only where there is one that may bring a workspace.
    folders: tuple[Path, ...] = import_module(_WORKSPACES).find_workspaces(explicit=explicit).sandbox_folders()
    return folders
