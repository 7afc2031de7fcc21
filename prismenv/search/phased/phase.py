"""A phase: six methods, each of which a phase of one's own may replace.

Their names are PrismBench's. They are called by the policy and never wait: `evaluate_node` says what a measurement is
asked with, and its result comes back later, in the order of asking.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from prismenv.contracts.phases import PhasePlan
from prismenv.search.phased.evidence import Evidence
from prismenv.search.phased.scores import Formulas, mapping_value, problem_scores
from prismenv.search.tree import SearchTree, TreeNode
from prismenv.words.records import ChallengeResults

FLOOR = 1e-3  # the least weight of a node when nodes are drawn by their values


@dataclass(frozen=True, slots=True)
class PhaseSetup:
    """What all phases of a search share, and what is this one's own. `number` counts from 1."""

    plan: PhasePlan
    number: int
    tree: SearchTree
    evidence: Evidence
    random: Random
    formulas: Formulas


class Phase:
    """The usual way: values as when abilities are mapped, nodes drawn by value, no expansion."""

    def __init__(self, setup: PhaseSetup) -> None:
        self.name = setup.plan.name
        self.number = setup.number
        self.tree = setup.tree
        self.evidence = setup.evidence
        self.random = setup.random
        self.formulas = setup.formulas
        self.phase_params = setup.plan.block.phase_params
        self.search_params = setup.plan.block.search_params
        self.scoring_params = setup.plan.block.scoring_params
        self.out: frozenset[str] = frozenset()  # names of the nodes that are being measured, kept by the policy

    def initialize_phase(self) -> Sequence[TreeNode]:
        """Prepare the tree; gives the nodes that are measured first, in their order."""
        return ()

    def select_node(self) -> TreeNode | None:
        """The next node to measure; None when there is none, now or at all."""
        return self.draw(self.plain_nodes())

    def evaluate_node(self, node: TreeNode) -> Mapping[str, Any]:  # noqa: ARG002 - for phases that look at it
        """Options of `execute_node` for a measurement of `node`."""
        return {"max_attempts": self.search_params.max_attempts, "timeout": self.phase_params.task_timeout}

    def calculate_node_value(self, results: ChallengeResults, difficulty_level: str) -> float:
        """What a result is worth, between 0 and 1."""
        return mapping_value(
            problem_scores(results), self.hardness_of(difficulty_level), self.scoring_params, self.formulas
        )

    def backpropagate_node_value(self, node: TreeNode, reward: float) -> None:
        """Learn from a reward: `visits += 1; value += rate * (reward - value)`, ancestors at a discount for each step.

        Every ancestor learns once, by the shortest way to it, however many ways there are.
        """
        self.learn(node, reward)
        for ancestor, steps in self.tree.above(node):
            self.learn(ancestor, reward * self.search_params.discount_factor**steps)

    def expand_node(self, node: TreeNode) -> Sequence[TreeNode]:  # noqa: ARG002 - for phases that do
        """Nodes below a node that was just measured, which are measured next."""
        return ()

    # What phases build these of.

    def learn(self, node: TreeNode, reward: float) -> None:
        """Count a visit, and move the value towards the reward by the learning rate."""
        node.visits += 1
        node.value += self.search_params.learning_rate * (reward - node.value)

    def hardness_of(self, difficulty: str) -> float:
        """How hard a difficulty is among those of the tree, from 0 to 1."""
        top = len(self.tree.difficulties) - 1
        return self.tree.level(difficulty) / top if top else 0.0

    def plain_nodes(self) -> list[TreeNode]:
        """The nodes that are no variants."""
        return [node for node in self.tree if not node.variant]

    def explores(self) -> bool:
        """True as often as the exploration probability says."""
        return self.random.random() < self.phase_params.exploration_probability

    def draw(self, nodes: Sequence[TreeNode]) -> TreeNode | None:
        """One of them, the likelier the higher its value; None of none."""
        if not nodes:
            return None
        return self.random.choices(nodes, [max(node.value, 0.0) + FLOOR for node in nodes])[0]

    def best(self, nodes: Sequence[TreeNode]) -> TreeNode:
        """The one with the highest upper confidence bound; of equals the first."""
        for node in nodes:
            if not node.visits:
                return node  # its bound is infinite
        return max(nodes, key=self.bound)

    def bound(self, node: TreeNode) -> float:
        """UCB1, `value + c * sqrt(ln N / visits)` with N the visits of the parents; infinite without a visit.

        Auer, Cesa-Bianchi and Fischer, Machine Learning 47 (2002) 235-256. A root's N is the visits of all roots.
        """
        visits = node.visits
        if not visits:
            return math.inf
        above = max(visits, sum([parent.visits for parent in node.parents or self.tree.roots]))
        return node.value + self.phase_params.exploration_weight * math.sqrt(math.log(above) / visits)
