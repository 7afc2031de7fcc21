"""What an environment is given to work with, and how a bare `BaseEnvironment(name)` finds it."""

import pkgutil
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from prismenv.contracts.archive import Store
from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.interface import InterfaceClient
from prismenv.contracts.jail import Sandbox
from prismenv.words.ledger import Ledger

# The composition root stands above this layer; it is named, not imported, so that imports keep pointing down.
COMPOSITION_ROOT = "prismenv.engine.composition"


@dataclass(frozen=True, slots=True)
class Services:
    """The drivers behind an environment. Shared by all environments of a run; the run owns and closes them.

    `store` None: results are not kept, health says so. `folder` is where relative paths of the recipe are looked for.
    `ledger` is what the run's model calls reserve from, None: they are not limited.
    """

    interface: InterfaceClient
    sandbox: Sandbox
    store: Store | None = None
    clock: Clock = field(default_factory=SystemClock)
    folder: Path = field(default_factory=Path.cwd)
    ledger: Ledger | None = None


def open_default_services(environment_name: str, block: Mapping[str, Any]) -> AbstractAsyncContextManager[Services]:
    """Services for an environment that was made by hand, from the workspace's configuration."""
    opener = pkgutil.resolve_name(f"{COMPOSITION_ROOT}:open_default_services")
    return cast(AbstractAsyncContextManager[Services], opener(environment_name, block))


def find_environment_block(environment_name: str) -> Mapping[str, Any]:
    """The environment's block of the workspace's `environment_config.yaml`; empty when it has none.

    Also loads the workspace's plugins, so that a name that nobody imported yet is found.
    """
    finder = pkgutil.resolve_name(f"{COMPOSITION_ROOT}:find_environment_block")
    return cast(Mapping[str, Any], finder(environment_name))
