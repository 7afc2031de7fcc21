"""What Monte Carlo tree search counts, and how it walks down.

Theory of operation. A playout goes from the top (all single concepts at the easiest difficulty) down to one node, which
is measured; what came of it is learnt along that path and nowhere else. A step makes a node harder, adds one concept to
it, or stays: the node itself is measured, which is always the first step from it. Different paths lead to one node: its
mean is its own, whichever path a result came by, and how often a step was taken is the step's own (Childs, Brodeur and
Kocsis, IEEE CIG 2008: the transpositions of UCT).

A playout takes a new step where progressive widening allows it, `steps < widening * visits ** widening_power` (Coulom
2007; Chaslot et al. 2008; staying does not count), else the one with the highest bound:

- `uct`: `mean + c * sqrt(ln N / n)` (Kocsis and Szepesvari, ECML 2006);
- `puct`: `mean + c * P * sqrt(N) / (1 + n)` (Rosin 2011; Silver et al., Nature 550, 2017), where the prior P is how
  hard the node looks by what was measured of each of its concepts.

What is out counts as visits that found nothing (`virtual_loss` of them for each), so that playouts at the same time go
different ways. Of equals the step that was made first is taken; steps are made in an order by rule.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from prismenv.contracts.recipe import MctsSettings
from prismenv.search.tree import SearchTree, TreeNode


@dataclass(slots=True, eq=False)
class Step:
    """A way down. `prior` is relative to the node's other steps."""

    state: "State"
    prior: float
    visits: int = 0
    out: int = 0


@dataclass(slots=True, eq=False)
class State:
    """What is counted of a node. `total` is the sum of the rewards of `visits`; `out` counts playouts under way.

    `node` None is the top, and what is counted of a node's own measurements alone (`own`). `moves` are the steps that
    were not made yet, the last one first, None while nobody asked.
    """

    node: TreeNode | None
    own: bool = False
    visits: int = 0
    total: float = 0.0
    out: int = 0
    steps: list[Step] = field(default_factory=list)
    moves: list[tuple[tuple[str, ...], str, float]] | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """A playout that measures `node`: the top and the states below it, and the steps between them."""

    node: TreeNode
    states: tuple[State, ...]
    steps: tuple[Step, ...]

    @property
    def depth(self) -> int:
        """How many steps below a single concept at the easiest difficulty the node is."""
        return len(self.steps) - 2


class Graph:
    """The states of a tree's nodes. Everything here is repeatable: it draws no number."""

    def __init__(self, tree: SearchTree, settings: MctsSettings) -> None:
        self.tree = tree
        self._settings = settings
        self._states: dict[str, State] = {}
        self._concepts = dict.fromkeys(tree.concepts, (0.0, 0))  # sum of rewards, number of them
        self._top = State(None, moves=[])
        for name in tree.concepts:
            self._top.steps.append(Step(self._state(tree.add((name,), tree.difficulties[0])[0]), 1.0))

    def descend(self) -> Path:
        """Choose a node, and count the way to it as under way."""
        states, steps = [self._top], []
        while not states[-1].own:
            step = self._next(states[-1])
            steps.append(step)
            states.append(step.state)
        node = states[-2].node
        if node is None:
            raise RuntimeError("a playout ended at the top")
        path = Path(node, tuple(states), tuple(steps))
        self._count_out(path, 1)
        return path

    def learn(self, path: Path, reward: float) -> None:
        """The node at the end of the path was measured; `reward` is between 0 and 1."""
        self._visit(path, reward)
        path.node.measured += 1
        for name in path.node.concepts:
            total, count = self._concepts[name]
            self._concepts[name] = (total + reward, count + 1)

    def forget(self, path: Path) -> None:
        """Nothing was learnt of it; the next playout that comes by measures it again."""
        self._count_out(path, -1)

    def give_up(self, path: Path) -> None:
        """Nothing will be learnt of it: its visit counts as one that found nothing, and playouts go on below it."""
        self._visit(path, 0.0)

    def _state(self, node: TreeNode) -> State:
        state = self._states.get(node.node_id)
        if state is None:
            state = self._states[node.node_id] = State(node)
            state.steps.append(Step(State(None, own=True), self._looks(node.concepts)))
        return state

    def _visit(self, path: Path, reward: float) -> None:
        self._count_out(path, -1)
        for state in path.states:
            state.visits += 1
            state.total += reward
            if state.node is not None:
                state.node.visits, state.node.value = state.visits, state.total / state.visits
        for step in path.steps:
            step.visits += 1

    def _count_out(self, path: Path, change: int) -> None:
        for state in path.states:
            state.out += change
        for step in path.steps:
            step.out += change

    def _next(self, state: State) -> Step:
        first = state.steps[0]
        if first.state.own and not first.visits and not first.out:
            return first  # nobody measured the node yet
        return self._widen(state) or self._best(state)

    def _widen(self, state: State) -> Step | None:
        """A new step, where there is one and widening allows it."""
        if state.node is None:
            return None
        if state.moves is None:
            state.moves = self._moves(state.node)
        allowed = self._settings.widening * (state.visits + state.out) ** self._settings.widening_power
        if not state.moves or len(state.steps) - 1 >= max(1.0, allowed):
            return None
        concepts, difficulty, prior = state.moves.pop()
        step = Step(self._state(self.tree.add(concepts, difficulty, [state.node])[0]), prior)
        state.steps.append(step)
        return step

    def _moves(self, node: TreeNode) -> list[tuple[tuple[str, ...], str, float]]:
        """The steps below a node, the last one first: harder, then concepts in the tree's order; for PUCT by prior."""
        found: list[tuple[tuple[str, ...], str, float]] = []
        level = self.tree.level(node.difficulty) + 1
        if level < len(self.tree.difficulties):
            found.append((node.concepts, self.tree.difficulties[level], self._looks(node.concepts)))
        if len(node.concepts) < self.tree.max_concepts:
            for name in self.tree.concepts:
                if name not in node.concepts:
                    wider = (*node.concepts, name)
                    found.append((wider, node.difficulty, self._looks(wider)))
        if self._settings.selection == "puct":
            found.sort(key=lambda move: -move[2])  # stable: of equals the one that comes first by rule
        return found[::-1]

    def _looks(self, concepts: Sequence[str]) -> float:
        """How hard something of these concepts looks: 1 - the product of how easy each was, one unseen visit at 1/2."""
        easy = 1.0
        for name in concepts:
            total, count = self._concepts[name]
            easy *= 1 - (total + 0.5) / (count + 1)
        return max(1 - easy, 1e-6)

    def _best(self, state: State) -> Step:
        loss = self._settings.virtual_loss
        here = state.visits + loss * state.out
        priors = sum(step.prior for step in state.steps)
        return max(state.steps, key=lambda step: self._bound(step, here, step.prior / priors))

    def _bound(self, step: Step, here: float, prior: float) -> float:
        loss, below = self._settings.virtual_loss, step.state
        seen = below.visits + loss * below.out
        mean = below.total / seen if seen else 0.5
        taken = step.visits + loss * step.out
        if self._settings.selection == "puct":
            return mean + self._settings.exploration * prior * math.sqrt(here) / (1 + taken)
        if not taken:
            return math.inf
        return mean + self._settings.exploration * math.sqrt(math.log(max(here, taken, 1.0)) / taken)
