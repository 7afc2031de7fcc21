"""What was measured of each node, whatever a phase made of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from prismenv.search.phased.scores import ProblemScore, problem_scores
from prismenv.search.tree import TreeNode
from prismenv.words.nodes import NodeOutcome

MOST_STATEMENTS = 20  # so many of the latest problems of a node are handed on


@dataclass(slots=True)
class NodeEvidence:
    """The problems of one node so far, and the statements of the latest of them."""

    scores: list[ProblemScore] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)


class Evidence:
    """By node."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeEvidence] = {}

    def add(self, node: TreeNode, outcome: NodeOutcome) -> Sequence[ProblemScore]:
        """Take an outcome; gives the problems of it that say something, none where nothing was measured."""
        if outcome.result is None or not outcome.measured:
            return ()
        found = problem_scores(outcome.result)
        kept = self._nodes.setdefault(node.node_id, NodeEvidence())
        kept.scores += found
        said = (record.problem_statement for record in outcome.result.data_trail)
        fresh = [text for text in dict.fromkeys(said) if text and text not in kept.statements]
        kept.statements = [*kept.statements, *fresh][-MOST_STATEMENTS:]
        return found

    def scores(self, node: TreeNode) -> Sequence[ProblemScore]:
        """All problems of a node that say something."""
        found = self._nodes.get(node.node_id)
        return found.scores if found else ()

    def statements(self, nodes: Sequence[TreeNode]) -> list[str]:
        """The latest problems of these nodes, each once."""
        found = (self._nodes[node.node_id].statements for node in nodes if node.node_id in self._nodes)
        return list(dict.fromkeys(text for statements in found for text in statements))[-MOST_STATEMENTS:]
