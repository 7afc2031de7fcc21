"""The tree of a search: a directed acyclic graph of (concepts, difficulty).

Theory of operation. A node is named by what it stands for, so equal things are one node: its concepts in the tree's
order, its difficulty, and which variant of these it is (0: none). A node's rank is its difficulty, then the number of
its concepts, then its variant. `link` takes an edge only from a lower to a higher rank, so there is no cycle, and no
node that is its own parent; where no step up is possible (the hardest difficulty, no concept to add) there is no step.

Order is by rule everywhere: nodes in the order in which they were made, parents and children in the order in which they
were linked. Nothing depends on sets or hashes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from prismenv.search.cells import node_name
from prismenv.words.errors import ConfigurationException

Rank = tuple[int, int, int]


@dataclass(slots=True, eq=False)
class TreeNode:
    """A node. `depth` counts from 0 at the roots; `visits` and `value` are the search's own, results below it included.

    `measured` counts its own measurements; `phase` names the phase that made it; `results`, `description` and
    `left_out` (results that say nothing about the candidate, by fault) are what a tree file brought, empty for nodes of
    this process.
    """

    node_id: str
    concepts: tuple[str, ...]
    difficulty: str
    rank: Rank
    depth: int
    variant: int = 0
    phase: int = 1
    visits: int = 0
    value: float = 0.0
    measured: int = 0
    parents: "list[TreeNode]" = field(default_factory=list)
    children: "list[TreeNode]" = field(default_factory=list)
    results: tuple[Any, ...] = ()
    description: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)


class SearchTree:
    """The nodes over `concepts` and `difficulties` (the easiest first), of at most `max_concepts` concepts each.

    ConfigurationException where there is none of either, one stands twice, or the limit is below 1.
    """

    def __init__(self, concepts: Sequence[str], difficulties: Sequence[str], *, max_concepts: int = 4) -> None:
        for what, names in (("concepts", concepts), ("difficulties", difficulties)):
            if not names or len(set(names)) != len(names) or not all(name.strip() for name in names):
                raise ConfigurationException(
                    f"a tree needs at least one of {what}, none empty and none twice; found {list(names)}",
                    code="empty_tree" if not names else "wrong_tree",
                    subject=what,
                )
        if max_concepts < 1:
            raise ConfigurationException(f"a node has at least 1 concept; found a limit of {max_concepts}")
        self.concepts = tuple(concepts)
        self.difficulties = tuple(difficulties)
        self.max_concepts = max_concepts
        self._places = {name: place for place, name in enumerate(concepts)}
        self._levels = {name: level for level, name in enumerate(difficulties)}
        self._nodes: dict[str, TreeNode] = {}
        self._founders: list[TreeNode] = []  # what came without parents

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[TreeNode]:
        return iter(self._nodes.values())

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    def __getitem__(self, node_id: str) -> TreeNode:
        return self._nodes[node_id]

    @property
    def roots(self) -> list[TreeNode]:
        """The nodes without parents."""
        return [node for node in self._founders if not node.parents]

    def level(self, difficulty: str) -> int:
        """How hard that is, from 0; ConfigurationException for a difficulty that the tree has not."""
        level = self._levels.get(difficulty)
        if level is None:
            raise ConfigurationException(
                f"the tree has no difficulty {difficulty!r}; it has {', '.join(self.difficulties)}", subject=difficulty
            )
        return level

    def plant(self) -> list[TreeNode]:
        """A root for each concept at the easiest difficulty, and below them all pairs of concepts one level up.

        Gives the roots. With one difficulty the pairs have it too; with a limit of one concept there are none.
        """
        roots = [self.add((concept,), self.difficulties[0])[0] for concept in self.concepts]
        for first, second in combinations(roots, 2):
            self.join(first, second)
        return roots

    def add(
        self,
        concepts: Iterable[str],
        difficulty: str,
        parents: Sequence[TreeNode] = (),
        *,
        variant: int = 0,
        phase: int = 1,
    ) -> tuple[TreeNode, bool]:
        """The node of these, and whether it is new; it is linked below `parents` where its rank allows it."""
        kept = self._ordered(concepts)
        name = node_name(kept, difficulty) + (f"#{variant}" if variant else "")
        node = self._nodes.get(name)
        new = node is None
        if node is None:
            depth = 1 + max((parent.depth for parent in parents), default=-1)
            rank = (self.level(difficulty), len(kept), variant)
            node = TreeNode(name, kept, difficulty, rank, depth, variant, phase)
            self._nodes[name] = node
            if not parents:
                self._founders.append(node)
        for parent in parents:
            self.link(parent, node)
        return node, new

    def link(self, parent: TreeNode, child: TreeNode) -> bool:
        """Make `child` a child of `parent`; False, and nothing is done, where it is one or its rank is not higher."""
        if parent.rank >= child.rank or any(parent is other for other in child.parents):
            return False
        parent.children.append(child)
        child.parents.append(parent)
        return True

    def harder(self, node: TreeNode, *, phase: int = 1) -> TreeNode | None:
        """The same concepts one difficulty up; None at the hardest."""
        level = self.level(node.difficulty) + 1
        if level == len(self.difficulties):
            return None
        return self.add(node.concepts, self.difficulties[level], [node], phase=phase)[0]

    def join(self, first: TreeNode, second: TreeNode, *, phase: int = 1) -> TreeNode | None:
        """The concepts of both, one level above the harder of them, or at the hardest difficulty.

        The limit of concepts keeps all of the first's and takes the second's in the tree's order while there is room.
        None where that is no step up from both: nothing was added, and there is no harder difficulty.
        """
        own = set(first.concepts)
        others = [name for name in second.concepts if name not in own]
        concepts = self._ordered([*first.concepts, *others[: max(0, self.max_concepts - len(own))]])
        level = min(1 + max(self.level(first.difficulty), self.level(second.difficulty)), len(self.difficulties) - 1)
        rank = (level, len(concepts), 0)
        if concepts == first.concepts or rank <= first.rank or rank <= second.rank:
            return None
        return self.add(concepts, self.difficulties[level], [first, second], phase=phase)[0]

    def vary(self, node: TreeNode, variant: int, *, phase: int) -> TreeNode:
        """A variant of `node`, numbered from 1: the same concepts and difficulty, another problem."""
        return self.add(node.concepts, node.difficulty, [node], variant=variant, phase=phase)[0]

    def above(self, node: TreeNode) -> list[tuple[TreeNode, int]]:
        """Every ancestor once, with how many steps it is away at least; the nearest first."""
        found: dict[str, tuple[TreeNode, int]] = {}
        layer, distance = list(node.parents), 1
        while layer:
            fresh = [parent for parent in layer if parent.node_id not in found]
            for parent in fresh:
                found.setdefault(parent.node_id, (parent, distance))
            layer = [upper for parent in dict.fromkeys(fresh) for upper in parent.parents]
            distance += 1
        return list(found.values())

    def _ordered(self, concepts: Iterable[str]) -> tuple[str, ...]:
        names = dict.fromkeys(concepts)
        unknown = [name for name in names if name not in self._places]
        if unknown or not names:
            raise ConfigurationException(
                f"the tree has no concept {unknown[0]!r}; it has {', '.join(self.concepts)}"
                if unknown
                else "a node has at least one concept",
                subject=unknown[0] if unknown else None,
            )
        return tuple(sorted(names, key=self._places.__getitem__))
