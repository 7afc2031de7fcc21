"""Phase 1, capability mapping: go on where the model does well, to harder nodes and to combinations of concepts."""

from collections.abc import Sequence

from prismenv.search.phased.phase import Phase
from prismenv.search.tree import TreeNode


class CapabilityMapping(Phase):
    """Roots first, so that every concept is measured by itself; then what nobody measured; then by value."""

    def initialize_phase(self) -> Sequence[TreeNode]:
        if not len(self.tree):
            self.tree.plant()
        return self.tree.roots

    def select_node(self) -> TreeNode | None:
        """A random node, as often as the exploration probability says; else one that was never measured, else by value.

        From there down to a leaf: at each step a random child as often, else the one with the highest bound.
        """
        nodes = self.plain_nodes()
        if self.explores():
            return self.descend(self.random.choice(nodes))
        fresh = [node for node in nodes if not node.measured]
        return self.random.choice(fresh) if fresh else self.descend(self.draw(nodes))

    def descend(self, node: TreeNode | None) -> TreeNode | None:
        """Down to a leaf."""
        while node is not None and (children := [child for child in node.children if not child.variant]):
            node = self.random.choice(children) if self.explores() else self.best(children)
        return node

    def expand_node(self, node: TreeNode) -> Sequence[TreeNode]:
        """One node below it, where its value is high enough: harder, or with another node's concepts as well.

        Where one of the two is no step up (the hardest difficulty, the limit of concepts) the other is taken; where
        both are none the node stays as it is.
        """
        if node.value < self.phase_params.performance_threshold or node.depth >= self.phase_params.max_depth:
            return ()
        partner = self.draw([other for other in self.plain_nodes() if other.measured and other is not node])
        if self.explores():
            below = self._joined(node, partner) or self.tree.harder(node, phase=self.number)
        else:
            below = self.tree.harder(node, phase=self.number) or self._joined(node, partner)
        return [below] if below is not None and not below.measured else ()

    def _joined(self, node: TreeNode, partner: TreeNode | None) -> TreeNode | None:
        return None if partner is None else self.tree.join(node, partner, phase=self.number)
