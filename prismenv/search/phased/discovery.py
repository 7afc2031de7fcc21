"""Phase 2, challenge discovery: look for what is hard. A node's value is how hard it was."""

from collections.abc import Sequence

from prismenv.search.phased.phase import Phase
from prismenv.search.phased.scores import challenge_value, problem_scores
from prismenv.search.tree import TreeNode
from prismenv.words.records import ChallengeResults


class ChallengeDiscovery(Phase):
    """Selects by upper confidence bound over all nodes, and joins what is hard with what is hard."""

    def initialize_phase(self) -> Sequence[TreeNode]:
        """Every node's value becomes how hard it was so far; nothing is measured for that."""
        if not len(self.tree):
            self.tree.plant()
        for node in self.plain_nodes():
            node.value = challenge_value(self.evidence.scores(node), self.formulas)
        return ()

    def select_node(self) -> TreeNode | None:
        nodes = [node for node in self.tree if not node.variant and node.node_id not in self.out]
        if not nodes:
            return None
        return self.random.choice(nodes) if self.explores() else self.best(nodes)

    def calculate_node_value(self, results: ChallengeResults, difficulty_level: str) -> float:  # noqa: ARG002 - fixed
        """How hard it was, between 0 and 1."""
        return challenge_value(problem_scores(results), self.formulas)

    def expand_node(self, node: TreeNode) -> Sequence[TreeNode]:
        """One node below a hard one: joined with another hard one, or harder as often as it explores.

        Where the first of these is no step up the other is taken.
        """
        params = self.phase_params
        if node.value < params.challenge_threshold or node.depth >= params.max_depth:
            return ()
        hard = [other for other in self.plain_nodes() if other.measured and other.value >= params.challenge_threshold]
        partner = self.draw([other for other in hard if other is not node])
        joined = self.tree.join(node, partner, phase=self.number) if partner and not self.explores() else None
        below = joined or self.tree.harder(node, phase=self.number)
        return [below] if below is not None and not below.measured else ()
