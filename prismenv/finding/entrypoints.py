"""The entry points by which packages register, looked at without loading any of them."""

import importlib.metadata
from pathlib import Path

from prismenv.finding.marker import user_sandbox

GROUP = "prismenv"
OWN = "prismenv"  # our own distribution


def distribution_of(point: importlib.metadata.EntryPoint) -> str:
    """The name of the package that brings it."""
    return point.dist.name if point.dist is not None else "unknown"


def language_folders(explicit: Path | None) -> tuple[Path, ...]:
    """The folders `sandbox` of the user's workspace and of installed packages, as a run has them.

    `explicit` is the workspace that is named, None: the nearest one. ConfigurationException: it is no folder.
    """
    if all(distribution_of(point) == OWN for point in importlib.metadata.entry_points(group=GROUP)):
        return user_sandbox(explicit)
    # Loading plugins takes longer than judging: only where there is one that may bring a workspace.
    from prismenv.finding.workspace import find_workspaces  # noqa: PLC0415

    return find_workspaces(explicit=explicit).sandbox_folders()
