"""A policy without phases, and phases that follow it: what it found hard is measured in depth, whatever found it.

Theory of operation. The first policy is asked until it is finished and was told everything. Then its nodes and what was
measured of them become a tree without edges, with which the phases begin as if earlier phases had made it. Requests
count on from those of the first policy. Where that policy is asked for more than it gives, nothing is asked of the
phases: they have to know everything first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prismenv.contracts.policy import PolicyContext, SearchPolicy
from prismenv.search.phased.policy import Kinds, PhasedPolicy, environments_of
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.seeding import derive_seed


class FollowedPolicy(SearchPolicy):
    """`first`, and then the context's phases.

    ConfigurationException where there are no concepts or difficulties: phases need a tree.
    """

    def __init__(self, first: SearchPolicy, context: PolicyContext, kinds: Kinds) -> None:
        if not context.concepts or not context.difficulties:
            raise ConfigurationException(
                "search.then: phases make nodes of concepts and difficulties; the environment brings nodes of its own",
                code="no_tree",
                subject="search.then",
            )
        self._first = first
        self._context = context
        self._kinds = kinds
        self._known: list[NodeOutcome] = []
        self._asked = 0
        self._phases: PhasedPolicy | None = None

    @property
    def finished(self) -> bool:
        return self._phases is not None and self._phases.finished

    @property
    def total(self) -> int | None:
        return None

    @property
    def environments(self) -> Sequence[str]:
        return list(dict.fromkeys([*self._first.environments, *environments_of(self._context.phases)]))

    def ask(self, most: int) -> Sequence[NodeRequest]:
        if not self._first.finished:
            requests = self._first.ask(most)
            self._asked += len(requests)
            if requests or not self._first.finished:
                return requests
        self._go_on()
        if self._phases is None:
            return ()
        return [self._counted_on(request) for request in self._phases.ask(most)]

    def _counted_on(self, request: NodeRequest) -> NodeRequest:
        index = request.index + self._asked
        return replace(request, index=index, seed=derive_seed(self._context.seed, "node", index))

    def tell(self, outcome: NodeOutcome) -> None:
        if self._phases is not None:
            index = outcome.request.index - self._asked
            self._phases.tell(replace(outcome, request=replace(outcome.request, index=index)))
            return
        self._first.tell(outcome)
        self._known.append(outcome)
        self._go_on()

    def _go_on(self) -> None:
        """Begin the phases where the first policy is finished and knows everything."""
        if self._phases is None and self._first.finished and len(self._known) == self._asked:
            self._phases = PhasedPolicy(self._context, self._kinds, known=self._known)

    def state(self) -> Mapping[str, Any]:
        return {**self._first.state(), "then": {} if self._phases is None else self._phases.state()}

    def tree_json(self) -> Mapping[str, Any] | None:
        return self._first.tree_json() if self._phases is None else self._phases.tree_json()
