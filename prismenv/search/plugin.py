"""The engine's own search policies, through the door that everybody else's come through."""

from collections.abc import Sequence

from prismenv.contracts.hookspecs import hookimpl
from prismenv.contracts.phases import PhaseEntry
from prismenv.contracts.policy import PolicyEntry
from prismenv.search.adaptive.entry import ADAPTIVE
from prismenv.search.grid import GRID
from prismenv.search.mcts.policy import MCTS
from prismenv.search.phased.kinds import PHASES, PRISMBENCH
from prismenv.search.uniform import RANDOM


@hookimpl
def prismenv_policies() -> Sequence[PolicyEntry]:
    """The built-in policies."""
    return (ADAPTIVE, GRID, MCTS, PRISMBENCH, RANDOM)


@hookimpl
def prismenv_phases() -> Sequence[PhaseEntry]:
    """The built-in phases."""
    return PHASES
