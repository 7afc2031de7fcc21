"""The phases of a tree search, with the keys that PrismBench's `phase_configs.yaml` has, and what makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import Field

from prismenv.contracts.scoped import Place
from prismenv.words.mapping import MappingModel, PlainNumbers

NO_METHODS: Mapping[str, Callable[..., Any]] = MappingProxyType({})


class PhaseParams(PlainNumbers, MappingModel):
    """How a phase searches. Depths and counts are numbers of nodes, `task_timeout` is in seconds."""

    max_depth: int = Field(default=5, ge=1)  # how far below the roots a node may stand; 10 in phase 2, 12 in phase 3
    max_iterations: int = Field(default=100, ge=1)  # rounds at most
    performance_threshold: float = Field(default=0.4, ge=0)  # a node is expanded when its value is above
    value_delta_threshold: float = Field(default=0.3, ge=0)  # a change up to this is none; 0.2 in phases 2 and 3
    convergence_checks: int = Field(default=10, ge=1)  # so many evaluations without a change end it; 5 in 2 and 3
    exploration_probability: float = Field(default=0.25, ge=0, le=1)  # chance of a random node; 0.2 in phases 2 and 3
    num_nodes_per_iteration: int = Field(default=5, ge=1)  # nodes that are measured in a round
    task_timeout: float = Field(default=180.0, gt=0)  # seconds for one node
    exploration_weight: float = Field(default=1.414, ge=0)  # c of UCB1
    challenge_threshold: float = Field(default=0.5, ge=0)  # a node counts as hard when its value is above
    variations_per_concept: int = Field(default=5, ge=1)  # variants of each hard node
    node_selection_threshold: float = Field(default=0.5, ge=0)  # nodes above it are varied


class SearchParams(PlainNumbers, MappingModel):
    """How values of nodes are learnt."""

    max_attempts: int = Field(default=3, ge=1)  # attempts at each problem
    discount_factor: float = Field(default=0.9, ge=0, le=1)  # share of a reward that goes to parents
    learning_rate: float = Field(default=0.9, gt=0, le=1)  # share of a new reward in a value; 1 in phases 2 and 3


class ScoringParams(PlainNumbers, MappingModel):
    """What a result is worth."""

    penalty_per_failure: float = Field(default=2, ge=0)  # for each failed test
    penalty_per_error: float = Field(default=3, ge=0)  # for each test that raised
    penalty_per_attempt: float = Field(default=1, ge=0)  # for each attempt after the first
    fixed_by_problem_fixer_penalty: float = Field(default=5, ge=0)  # when only the fixer's code passed
    max_num_passed: int = Field(default=10, ge=1)  # passed tests that count at most


class PhaseEnvironment(MappingModel):
    """Which environment measures the nodes of a phase; None: the recipe's."""

    name: str | None = None  # the environment's name


class PhaseBlock(MappingModel):
    """One phase."""

    phase_params: PhaseParams = Field(default_factory=PhaseParams)  # how it searches
    search_params: SearchParams = Field(default_factory=SearchParams)  # how values are learnt
    scoring_params: ScoringParams = Field(default_factory=ScoringParams)  # what a result is worth
    environment: PhaseEnvironment = Field(default_factory=PhaseEnvironment)  # what measures its nodes


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A phase that a search goes through, as its experiment orders them."""

    name: str
    block: PhaseBlock


@dataclass(frozen=True, slots=True)
class PhaseEntry:
    """A phase as an installed package offers it: `cls` is derived from `prismenv.Phase`."""

    name: str
    summary: str
    cls: type[Any]
    origin: str = "built-in"


@dataclass(frozen=True, slots=True)
class PhaseRegistration:
    """A phase as it is registered: a class, functions that become methods of one, or functions over a class.

    `cls` None: functions alone, over the usual phase. `origin` and `line` say where; line 0: in an installed package.
    """

    name: str
    cls: type[Any] | None
    methods: Mapping[str, Callable[..., Any]]
    origin: str
    line: int
    scope: str
    overrides: bool = False
    places: Mapping[str, Place] = field(default_factory=dict)  # of each function that this scope registered

    @property
    def where(self) -> str:
        """`FILE:LINE`, or the package, for messages."""
        return f"{self.origin}:{self.line}" if self.line else self.origin
