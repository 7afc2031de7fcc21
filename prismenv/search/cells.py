"""The nodes of a tree of concepts and difficulties, in their canonical order."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from prismenv.contracts.plan import PlannedNode


def node_name(concepts: Sequence[str], difficulty: str) -> str:
    """What a node is called, such as `loops+sorting|hard`."""
    return f"{'+'.join(concepts)}|{difficulty}"


def plan_cells(concepts: Sequence[str], difficulties: Sequence[str], *, pairs: bool = False) -> tuple[PlannedNode, ...]:
    """Single concepts in the given order, each at all difficulties; with `pairs`, every pair of concepts after them."""
    return tuple(_cells(concepts, difficulties, pairs=pairs))


def _cells(concepts: Sequence[str], difficulties: Sequence[str], *, pairs: bool) -> Iterator[PlannedNode]:
    groups: list[tuple[str, ...]] = [(concept,) for concept in concepts]
    if pairs:
        groups += combinations(concepts, 2)
    for group in groups:
        for difficulty in difficulties:
            yield PlannedNode(node_name(group, difficulty), group, difficulty)
