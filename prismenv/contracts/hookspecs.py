"""The hooks of prismenv: they register and observe, and never run anything on the hot path.

An installed package offers them through the entry point group `prismenv`: a module or object whose functions are marked
with `prismenv.hookimpl`. `prismenv list` shows what came from where.
"""

from collections.abc import Sequence
from pathlib import Path

import pluggy

from prismenv.contracts.phases import PhaseEntry
from prismenv.contracts.policy import PolicyEntry
from prismenv.contracts.transport import ProviderEntry
from prismenv.words.events import Event

PROJECT = "prismenv"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def prismenv_workspaces() -> Sequence[Path]:  # type: ignore[empty-body]
    """Folders laid out as workspaces (`environments/`, `agents/`, `configs/`, `sandbox/`) that the package brings."""


@hookspec
def prismenv_environments() -> Sequence[str]:  # type: ignore[empty-body]
    """Names of modules that register environments when they are imported."""


@hookspec
def prismenv_providers() -> Sequence[ProviderEntry]:  # type: ignore[empty-body]
    """Providers of models."""


@hookspec
def prismenv_policies() -> Sequence[PolicyEntry]:  # type: ignore[empty-body]
    """Search policies."""


@hookspec
def prismenv_phases() -> Sequence[PhaseEntry]:  # type: ignore[empty-body]
    """Phases of a search, for experiments to name."""


@hookspec
def prismenv_event(event: Event) -> None:
    """Something happened in a run. Return at once."""
