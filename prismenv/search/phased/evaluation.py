"""Phase 3, comprehensive evaluation: variants of what was hard, each a different problem, measured thoroughly."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from prismenv.search.phased.phase import Phase, PhaseSetup
from prismenv.search.phased.scores import challenge_value, problem_scores
from prismenv.search.tree import TreeNode
from prismenv.words.records import ChallengeResults


class ComprehensiveEvaluation(Phase):
    """Makes `variations_per_concept` variants of each hard node, one after the other.

    A variant is asked for when the one before it is back, since it is told which problems there were: those of the node
    and of its variants so far. Variants of different nodes go on side by side.
    """

    def __init__(self, setup: PhaseSetup) -> None:
        super().__init__(setup)
        self._waiting: deque[TreeNode] = deque()  # hard nodes whose next variant may be made
        self._made: dict[str, int] = {}  # by hard node

    def initialize_phase(self) -> Sequence[TreeNode]:
        """Find the hard nodes, the hardest first. Where there is none the phase ends at once."""
        hardness = {node.node_id: challenge_value(self.evidence.scores(node), self.formulas) for node in self.tree}
        threshold = self.phase_params.node_selection_threshold
        hard = [node for node in self.plain_nodes() if node.measured and hardness[node.node_id] >= threshold]
        self._waiting.extend(sorted(hard, key=lambda node: -hardness[node.node_id]))
        return ()

    def select_node(self) -> TreeNode | None:
        """The next variant of the node that has waited longest."""
        if not self._waiting:
            return None
        node = self._waiting.popleft()
        number = self._made[node.node_id] = self._made.get(node.node_id, 0) + 1
        return self.tree.vary(node, number, phase=self.number)

    def evaluate_node(self, node: TreeNode) -> Mapping[str, Any]:
        base = node.parents[0]
        family = [base, *(child for child in base.children if child.variant and child is not node)]
        return {**super().evaluate_node(node), "previous_problems": self.evidence.statements(family)}

    def calculate_node_value(self, results: ChallengeResults, difficulty_level: str) -> float:  # noqa: ARG002 - fixed
        """How hard it was, between 0 and 1."""
        return challenge_value(problem_scores(results), self.formulas)

    def backpropagate_node_value(self, node: TreeNode, reward: float) -> None:
        """The variant alone learns: what lies above was measured by itself."""
        self.learn(node, reward)

    def expand_node(self, node: TreeNode) -> Sequence[TreeNode]:
        """No node below; the next variant may be made."""
        base = node.parents[0]
        if self._made[base.node_id] < self.phase_params.variations_per_concept:
            self._waiting.append(base)
        return ()
