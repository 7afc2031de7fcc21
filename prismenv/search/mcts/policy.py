"""Monte Carlo tree search as a policy: looks for what the candidate cannot do."""

from collections.abc import Mapping, Sequence
from typing import Any

from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.search.mcts.graph import Graph, Path
from prismenv.search.phased.scores import challenge_value, problem_scores
from prismenv.search.tree import SearchTree
from prismenv.search.treejson import tree_to_json
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.seeding import derive_seed

MOST_REPEATS = 2  # so often a node is asked for again that could not be measured


class MctsPolicy(SearchPolicy):
    """Asks for `search.nodes` measurements, at most `search.mcts.leaves` at once.

    A reward is how hard the node was, between 0 (solved at once) and 1 (never solved), times the discount for each step
    (a difficulty, a further concept) from the roots: of two things that cannot be done, the simpler one says more. An
    outcome that says nothing about the candidate teaches nothing: the node is asked for again, twice at most, and then
    passed over. Raises ConfigurationException where there are no concepts or no difficulties.
    """

    def __init__(self, context: PolicyContext) -> None:
        settings = context.settings
        self.tree = SearchTree(context.concepts, context.difficulties, max_concepts=settings.max_concepts)
        self._graph = Graph(self.tree, settings.mcts)
        self._seed = context.seed
        self._discount = settings.mcts.discount
        self._leaves = settings.mcts.leaves
        self._total = settings.nodes or max(1, len(context.nodes)) * settings.repeats
        self._out: dict[int, Path] = {}
        self._repeats: dict[str, int] = {}
        self._asked = 0
        self._unmeasured = 0

    def ask(self, most: int) -> Sequence[NodeRequest]:
        room = min(most, self._leaves - len(self._out), self._total - self._asked)
        return [self._request() for _ in range(room)]

    def tell(self, outcome: NodeOutcome) -> None:
        path = self._out.pop(outcome.request.index)
        scores = problem_scores(outcome.result) if outcome.result is not None and outcome.measured else ()
        if scores:
            self._graph.learn(path, challenge_value(scores, "corrected") * self._discount**path.depth)
            return
        self._unmeasured += 1
        name = path.node.node_id
        tries = self._repeats[name] = self._repeats.get(name, 0) + 1
        if tries <= MOST_REPEATS:
            self._graph.forget(path)
        else:
            self._graph.give_up(path)

    @property
    def finished(self) -> bool:
        return self._asked >= self._total

    @property
    def total(self) -> int:
        return self._total

    def state(self) -> Mapping[str, Any]:
        return {
            "asked": self._asked,
            "nodes": len(self.tree),
            "measured": sum(1 for node in self.tree if node.measured),
            "unmeasured": self._unmeasured,
            "total": self._total,
        }

    def tree_json(self) -> Mapping[str, Any]:
        return tree_to_json(self.tree)

    def _request(self) -> NodeRequest:
        path = self._graph.descend()
        index = self._asked
        self._out[index] = path
        self._asked += 1
        return NodeRequest(
            index=index,
            node_id=path.node.node_id,
            concepts=path.node.concepts,
            difficulty=path.node.difficulty,
            seed=derive_seed(self._seed, "node", index),
        )


MCTS = PolicyEntry(
    "mcts", "Monte Carlo tree search (UCT or PUCT) for what the candidate cannot do.", MctsPolicy, keeps_tree=True
)
