"""A search in phases as a policy: what is out, what waits, when a phase is over.

Theory of operation. A phase is asked for nodes until its iterations are used, it has converged, or it has none while
nothing is out. Then what is out comes back, and the next phase begins. Nodes that the phase wants measured next
(`initialize_phase`, `expand_node`) come before those that it selects; at most `num_nodes_per_iteration` are out at
once, and a node is never out twice. What still waits when a phase is over stays in the tree.

A measurement is *unchanged* when the node had been measured before and its value moved by no more than the threshold.
So many of them in a row as `convergence_checks` says end a phase. A first measurement is never unchanged: values begin
at 0, and a model that fails everywhere would otherwise converge before anything is known of it. Nor does a phase
converge while a node of the tree that it began with was not measured.

An outcome that says nothing about the candidate (a broken model, sandbox or suite) teaches nothing. Its node stays in
the tree and is asked for again, twice at most.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prismenv.contracts.phases import PhasePlan
from prismenv.contracts.policy import PolicyContext, SearchPolicy
from prismenv.search.phased.evidence import Evidence
from prismenv.search.phased.phase import Phase, PhaseSetup
from prismenv.search.phased.progress import PhaseProgress
from prismenv.search.tree import SearchTree, TreeNode
from prismenv.search.treejson import tree_to_json
from prismenv.words.errors import ConfigurationException, EnvironmentException, EnvironmentExecutionException
from prismenv.words.nodes import NodeOutcome, NodeRequest, wrong_option
from prismenv.words.seeding import derive_random, derive_seed

Kinds = Mapping[str, Callable[[PhaseSetup], Phase]]  # by name of the phase
MOST_DRAWS = 10  # so often a phase selects anew when the node it names is out already
MOST_REPEATS = 2  # so often a node is asked for again that could not be measured


def environments_of(phases: Sequence[PhasePlan]) -> list[str]:
    """The names of environments that phases have of their own, each once."""
    named = (plan.block.environment.name for plan in phases)
    return list(dict.fromkeys(name for name in named if name is not None))


class PhasedPolicy(SearchPolicy):
    """Goes through the context's phases; each name's kind is one of `kinds`. `known` are outcomes of nodes that were
    measured before, which the tree begins with.

    ConfigurationException where there is no phase, one has no kind, or the context brings nodes of its own instead of
    concepts and difficulties.
    """

    def __init__(self, context: PolicyContext, kinds: Kinds, *, known: Sequence[NodeOutcome] = ()) -> None:
        if not context.phases:
            raise ConfigurationException(
                f"search.policy {context.settings.policy!r} needs phases: name an experiment", code="no_phases"
            )
        self._context = context
        self._kinds = kinds
        self.tree = SearchTree(context.concepts, context.difficulties, max_concepts=context.settings.max_concepts)
        self._evidence = Evidence()
        self._out: dict[int, TreeNode] = {}
        self._queue: deque[TreeNode] = deque()
        self._repeats: dict[str, int] = {}
        self._asked = 0
        self._over = False
        self._done: list[PhaseProgress] = []
        for outcome in known:
            node, _ = self.tree.add(outcome.request.concepts, outcome.request.difficulty)
            node.measured += bool(self._evidence.add(node, outcome))
        self._begin(0)

    @property
    def finished(self) -> bool:
        return self._over

    @property
    def total(self) -> int | None:
        return None

    @property
    def environments(self) -> Sequence[str]:
        return environments_of(self._context.phases)

    def ask(self, most: int) -> Sequence[NodeRequest]:
        requests: list[NodeRequest] = []
        while len(requests) < most and not self._over:
            node = self._next()
            if node is not None:
                requests.append(self._request(node))
            elif self._out:
                break
            else:
                self._end_phase()
        return requests

    def tell(self, outcome: NodeOutcome) -> None:
        node = self._out.pop(outcome.request.index)
        scores = self._evidence.add(node, outcome)
        if outcome.result is None or not scores:
            self._progress.unmeasured += 1
            self._repeat(node)
            return
        before, first = node.value, not node.measured
        node.measured += 1
        reward = self._called("calculate_node_value", outcome.result, node.difficulty)
        if not _finite(reward):
            raise self._broken("calculate_node_value", f"gave {reward!r:.80}; expected a finite number")
        self._called("backpropagate_node_value", node, float(reward))
        if not _finite(node.value) or not _finite(node.visits) or node.visits < 0:
            left = f"left the value {node.value!r:.40} and the visits {node.visits!r:.40} at {node.node_id}"
            raise self._broken("backpropagate_node_value", f"{left}; expected finite numbers")
        small = abs(node.value - before) <= self._phase.phase_params.value_delta_threshold
        self._progress.measure(unchanged=small and not first)
        self._queue.extend(self._nodes("expand_node", node))

    def state(self) -> Mapping[str, Any]:
        phases = [progress.to_json() for progress in self._done]
        if not self._over:
            phases.append(self._progress.to_json())
        return {"phases": phases, "nodes": len(self.tree), "measured": sum(1 for node in self.tree if node.measured)}

    def tree_json(self) -> Mapping[str, Any]:
        return tree_to_json(self.tree)

    def _begin(self, number: int) -> None:
        plan = self._context.phases[number]
        kind = self._kinds.get(plan.name)
        if kind is None:
            raise ConfigurationException(
                f"there is no phase {plan.name!r}; there are {', '.join(sorted(self._kinds))}",
                code="unknown_phase",
                subject=plan.name,
            )
        random = derive_random(self._context.seed, "phase", number, plan.name)
        formulas = self._context.settings.formulas
        self._plan: PhasePlan = plan
        self._phase = kind(PhaseSetup(plan, number + 1, self.tree, self._evidence, random, formulas))
        self._progress = PhaseProgress(plan.name)
        self._queue = deque(self._nodes("initialize_phase"))
        self._unknown = {node.node_id for node in self.tree if not node.measured}

    def _end_phase(self) -> None:
        self._progress.end(self._reason() or "nothing left to measure")
        self._done.append(self._progress)
        if len(self._done) == len(self._context.phases):
            self._over = True
        else:
            self._begin(len(self._done))

    def _reason(self) -> str | None:
        """Why the phase asks for nothing more; None while it may."""
        params = self._phase.phase_params
        if self._progress.asked >= params.max_iterations:
            return "all iterations used"
        if self._progress.unchanged >= params.convergence_checks and not self._unknown:
            return "converged"
        return None

    def _next(self) -> TreeNode | None:
        if self._reason() is not None or len(self._out) >= self._phase.phase_params.num_nodes_per_iteration:
            return None
        busy = self._phase.out = frozenset(node.node_id for node in self._out.values())
        for _ in range(len(self._queue)):
            node = self._queue.popleft()
            if node.node_id not in busy:
                return node
            self._queue.append(node)
        for _ in range(MOST_DRAWS):
            chosen = self._called("select_node")
            if chosen is None:
                return None
            if self._known("select_node", chosen).node_id not in busy:
                return self._known("select_node", chosen)
        return None

    def _request(self, node: TreeNode) -> NodeRequest:
        options = self._called("evaluate_node", node)
        if not isinstance(options, Mapping):
            raise self._broken("evaluate_node", f"gave {options!r:.80}; expected options of execute_node")
        if (wrong := wrong_option(options)) is not None:
            raise self._broken("evaluate_node", f"gave {wrong}")
        request = NodeRequest(
            index=self._asked,
            node_id=node.node_id,
            concepts=node.concepts,
            difficulty=node.difficulty,
            seed=derive_seed(self._context.seed, "node", self._asked),
            options=dict(options),
            phase=self._phase.name,
            environment=self._plan.block.environment.name,
        )
        self._out[self._asked] = node
        self._asked += 1
        self._progress.asked += 1
        self._unknown.discard(node.node_id)
        return request

    def _repeat(self, node: TreeNode) -> None:
        """Ask for a node again that could not be measured; one that never can goes on as it is."""
        tries = self._repeats[node.node_id] = self._repeats.get(node.node_id, 0) + 1
        self._queue.extend([node] if tries <= MOST_REPEATS else self._nodes("expand_node", node))

    def _nodes(self, method: str, *arguments: Any) -> list[TreeNode]:
        given = self._called(method, *arguments)
        if not isinstance(given, Sequence):
            raise self._broken(method, f"gave {given!r:.80}; expected a list of nodes of the tree")
        return [self._known(method, node) for node in given]

    def _known(self, method: str, node: Any) -> TreeNode:
        if not isinstance(node, TreeNode) or node.node_id not in self.tree:
            raise self._broken(method, f"gave {node!r:.80}; expected a node of the tree")
        return node

    def _called(self, method: str, *arguments: Any) -> Any:
        """What a phase's method gives. What it raises says which phase and which method; ours pass as they are."""
        try:
            return getattr(self._phase, method)(*arguments)
        except EnvironmentException:
            raise
        except (Exception, SystemExit) as error:  # boundary: a phase may be somebody else's code
            raise self._broken(method, f"failed: {type(error).__name__}: {error}") from error

    def _broken(self, method: str, what: str) -> EnvironmentExecutionException:
        return EnvironmentExecutionException(
            f"{method} of the phase {self._plan.name!r} {what}", code="phase_broken", subject=self._plan.name
        )


def _finite(found: object) -> bool:
    """True for a number that a value may be. Whole numbers may be too large for one, and are none then."""
    try:
        return isinstance(found, int | float) and math.isfinite(found)
    except OverflowError:
        return False
