"""The cells of a map: what the model has one ability for, and the nodes that measure it."""

from collections.abc import Sequence
from dataclasses import dataclass

from prismenv.contracts.plan import PlannedNode
from prismenv.search.cells import node_name


@dataclass(frozen=True, slots=True)
class AbilityCell:
    """One set of concepts at one difficulty. `rank` counts difficulties from the easiest, 0.

    `nodes` are those that measure it, in their canonical order; more than one where nodes are problems of a data set.
    """

    name: str
    concepts: tuple[str, ...]
    difficulty: str
    rank: int
    nodes: tuple[PlannedNode, ...]


def ability_cells(nodes: Sequence[PlannedNode], difficulties: Sequence[str] = ()) -> tuple[AbilityCell, ...]:
    """The cells of these nodes, in the order of their first node.

    `difficulties` gives the order, the easiest first; names that it lacks follow in the order in which nodes have them.
    """
    order = list(dict.fromkeys([*difficulties, *(node.difficulty for node in nodes)]))
    grouped: dict[tuple[tuple[str, ...], str], list[PlannedNode]] = {}
    for node in nodes:
        grouped.setdefault((tuple(sorted(set(node.concepts))), node.difficulty), []).append(node)
    return tuple(
        AbilityCell(
            node_name(found[0].concepts, difficulty), concepts, difficulty, order.index(difficulty), tuple(found)
        )
        for (concepts, difficulty), found in grouped.items()
    )
