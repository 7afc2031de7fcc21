"""The search contract: ask for nodes, tell their outcomes. Pure: no await, no clock, no files."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prismenv.contracts.phases import PhasePlan, PhaseRegistration
from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.recipe import SearchSettings
from prismenv.words.nodes import NodeOutcome, NodeRequest


class SearchPolicy(ABC):
    """Decides what is measured next.

    The runner tells outcomes in the order of NodeRequest.index, whatever order they arrived in, and asks again after
    each; so a policy sees neither arrival order nor time, and a run is the same at any concurrency.
    """

    @abstractmethod
    def ask(self, most: int) -> Sequence[NodeRequest]:
        """Up to `most` further requests, indexes counting on from the last; empty when there is none for now."""

    @abstractmethod
    def tell(self, outcome: NodeOutcome) -> None:
        """Take one outcome."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """True when nothing will be asked for any more, whatever is still told."""

    @property
    @abstractmethod
    def total(self) -> int | None:
        """How many requests there will be in all, None when that is not known beforehand."""

    @property
    def environments(self) -> Sequence[str]:
        """The environments that requests may name beside the recipe's."""
        return ()

    def state(self) -> Mapping[str, Any]:
        """What a report wants to know of the policy, as plain JSON.

        `note`, if there, says in words why it finished. `map`, if there, is an AbilityMap: what the policy believes of
        each cell, which is kept with the run's last event and shown beside the counts.
        """
        return {}

    def tree_json(self) -> Mapping[str, Any] | None:
        """The tree that it searched, in the shape of PrismBench's `/tree`, without results; None where it keeps none.

        Its nodes' ids are those of the requests.
        """
        return None


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """What a policy is built from.

    `nodes` are those that there are, in their canonical order. `concepts` and `difficulties` (the easiest first) are
    what they are made of, in the tree's order, for policies that make nodes of their own; empty where an environment
    brings its own nodes. `phases` are those of the experiment, in order, for policies that have phases;
    `kinds` are all phases that files and packages registered, by name.
    """

    nodes: tuple[PlannedNode, ...]
    settings: SearchSettings
    seed: int
    concepts: tuple[str, ...] = ()
    difficulties: tuple[str, ...] = ()
    phases: tuple[PhasePlan, ...] = ()
    kinds: Mapping[str, PhaseRegistration] = field(default_factory=dict)
    reference: tuple[NodeOutcome, ...] = ()  # of `search.reference`, in the order of their indexes


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy as it is registered. `phased`: it goes through the phases of the recipe's experiment. `keeps_tree`: its
    `tree_json` gives one, once it was told everything.
    """

    name: str
    summary: str
    build: Callable[[PolicyContext], SearchPolicy]
    origin: str = "built-in"
    phased: bool = False
    keeps_tree: bool = False
