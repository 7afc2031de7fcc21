"""A search whose order is known beforehand: nothing that is told changes what is asked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, SearchPolicy
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.seeding import derive_seed


class SequencePolicy(SearchPolicy):
    """Asks for `total` nodes, the one at each index given by `choose(index)`.

    Raises ConfigurationException when there is no node to choose from.
    """

    def __init__(self, context: PolicyContext, total: int, choose: Callable[[int], PlannedNode]) -> None:
        if not context.nodes:
            raise ConfigurationException(
                f"search.policy {context.settings.policy!r} has no nodes to measure: name at least one concept and one "
                "difficulty, or an environment that brings its own nodes",
                code="empty_tree",
            )
        self._seed = context.seed
        self._total = total
        self._choose = choose
        self._asked = 0
        self._told = 0

    def ask(self, most: int) -> Sequence[NodeRequest]:
        stop = min(self._asked + max(most, 0), self._total)
        requests = [self._request(index) for index in range(self._asked, stop)]
        self._asked = stop
        return requests

    def tell(self, outcome: NodeOutcome) -> None:  # noqa: ARG002 - the order is known beforehand
        self._told += 1

    @property
    def finished(self) -> bool:
        return self._asked >= self._total

    @property
    def total(self) -> int:
        return self._total

    def state(self) -> Mapping[str, Any]:
        return {"asked": self._asked, "told": self._told, "total": self._total}

    def _request(self, index: int) -> NodeRequest:
        node = self._choose(index)
        return NodeRequest(
            index=index,
            node_id=node.node_id,
            concepts=node.concepts,
            difficulty=node.difficulty,
            seed=derive_seed(self._seed, "node", index),
            options=node.options,
        )
