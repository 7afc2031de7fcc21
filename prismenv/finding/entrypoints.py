"""The entry points by which packages register, looked at without loading any of them."""

import importlib.metadata

GROUP = "prismenv"
OWN = "prismenv"  # our own distribution


def distribution_of(point: importlib.metadata.EntryPoint) -> str:
    """The name of the package that brings it."""
    return point.dist.name if point.dist is not None else "unknown"


def others_register() -> bool:
    """Whether any package but our own registers something."""
    return any(distribution_of(point) != OWN for point in importlib.metadata.entry_points(group=GROUP))
