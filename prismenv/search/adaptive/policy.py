"""The adaptive policy: asks for the nodes that are expected to tell most, and stops when enough is known.

Theory of operation. `model` holds a normal belief about the logit of success in every cell. An outcome that says
something about the candidate changes it; one that does not (fault infrastructure, environment, tests) has its node
asked again, and a cell that could not be measured some times in a row is given up and listed. `ask` takes the belief as
it will be once everything that is out has come back: its spread shrinks whatever the answers are, so a batch spreads
out by itself. It then adds the cell with the largest gain (`acquisition`), and again. Gains are rounded before they are
compared and ties go to a seeded order, so that the last bits of a sum do not decide what is asked.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prismenv.contracts.abilitymap import MAP
from prismenv.contracts.policy import PolicyContext, SearchPolicy
from prismenv.search.adaptive.acquisition import (
    ability_gain,
    answer_variance,
    difference_gain,
    expect,
    threshold_gain,
)
from prismenv.search.adaptive.cells import ability_cells
from prismenv.search.adaptive.correlation import next_answer
from prismenv.search.adaptive.evidence import answers_of
from prismenv.search.adaptive.model import AbilityModel
from prismenv.search.adaptive.moments import logit
from prismenv.search.adaptive.reading import precision
from prismenv.search.adaptive.summary import learned, map_of
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.seeding import derive_random, derive_seed

Array = NDArray[np.float64]
Reason = Literal["precision", "nodes", "exhausted", "unmeasurable"]
MOST_CELLS = 1500  # a told result takes time and memory with the square of it
TRIES = 3  # of a cell in a row that say nothing about the candidate
_LEAST_GAIN = 0.05  # effective answers: what brings less is not worth a call
_PATIENCE = 5  # results between two looks whether a stop that did not hold holds now
_FEWEST = 12  # results before the map can be known
_DIGITS = 6
_NOTES: dict[Reason, str] = {
    "precision": "{aim} is known as precisely as search.stop asks ({confidence} % intervals, ±{interval})",
    "nodes": "search.nodes ({nodes}) was reached before the map was known as precisely as search.stop asks",
    "exhausted": "further answers to the same problems would tell next to nothing",
    "unmeasurable": "no cell could be measured",
}


class AdaptivePolicy(SearchPolicy):
    """Raises ConfigurationException where there is nothing to measure, no end, or too much to model."""

    def __init__(self, context: PolicyContext) -> None:
        self._settings = context.settings
        self._seed = context.seed
        self._fixed = not context.concepts  # the environment's own nodes are problems, the same each time
        _check(context)
        self.cells = ability_cells(context.nodes, context.difficulties)
        if len(self.cells) > MOST_CELLS:
            raise ConfigurationException(
                f"search.policy 'adaptive' models at most {MOST_CELLS} cells (sets of concepts at a difficulty), and "
                f"there are {len(self.cells)}; name fewer concepts or difficulties, or leave pairs out",
                code="too_many_cells",
            )
        self.model = AbilityModel(self.cells, reference=context.settings.objective == "difference")
        self._row = {node.node_id: row for row, cell in enumerate(self.cells) for node in cell.nodes}
        for outcome in context.reference:
            if (row := self._row.get(outcome.request.node_id)) is not None and self._settings.objective == "difference":
                self.model.tell(row + len(self.cells), answers_of(outcome, fixed=self._fixed))
        if self._settings.objective == "difference":
            self.model.settle()
        order = derive_random(context.seed, "ties").sample(range(len(self.cells)), len(self.cells))
        self._tie = np.array(order)
        self._out: Counter[int] = Counter()
        self._node_asked: Counter[str] = Counter()
        self._again: deque[NodeRequest] = deque()
        self._failed: Counter[int] = Counter()
        self._closed: set[int] = set()
        self._asked = self._told = self._unmeasured = self._look_at = 0
        self._doubted = False  # what is asked for was known, and is being learned anew before that is believed
        self.reason: Reason | None = None

    def ask(self, most: int) -> Sequence[NodeRequest]:
        requests: list[NodeRequest] = []
        covariance: Array | None = None
        while len(requests) < most and self.reason is None:
            if self._again:
                request = self._repeat(self._again.popleft())
                covariance = None
            else:
                covariance, row = self._choose(covariance)
                if row is None:
                    self.reason = "unmeasurable" if len(self._closed) == len(self.cells) else "exhausted"
                    break
                request = self._request(row)
            requests.append(request)
            if self._settings.nodes is not None and self._asked >= self._settings.nodes:
                self.reason = "nodes"
        return requests

    def tell(self, outcome: NodeOutcome) -> None:
        row = self._row.get(outcome.request.node_id)
        if row is None or not self._out[row]:
            raise _never_asked(outcome.request)
        self._told += 1
        self._out[row] -= 1
        answers = answers_of(outcome, fixed=self._fixed)
        if not answers:
            self._miss(row, outcome.request)
            return
        self._failed[row] = 0
        self.model.tell(row, answers)
        self._look()

    @property
    def finished(self) -> bool:
        return self.reason is not None

    @property
    def total(self) -> int | None:
        """None: it may stop before `search.nodes`."""
        return None

    def state(self) -> Mapping[str, Any]:
        return {
            "asked": self._asked,
            "told": self._told,
            "unmeasured": self._unmeasured,
            "given_up": [self.cells[row].name for row in sorted(self._closed)],
            "stopped_by": self.reason,
            "note": "" if self.reason is None else _NOTES[self.reason].format(**self._words()),
            **learned(self.model),
            MAP: map_of(self.model, self._settings, self._told, self.reason).model_dump(mode="json"),
        }

    def _words(self) -> dict[str, Any]:
        stop = self._settings.stop
        return {
            "interval": stop.interval,
            "confidence": f"{100 * stop.confidence:g}",
            "nodes": self._settings.nodes,
            "aim": "mean ability" if self._settings.objective == "ability" else f"{100 * stop.share:g} % of the map",
        }

    def _choose(self, covariance: Array | None) -> tuple[Array, int | None]:
        """The covariance that is expected with all that is out, and the cell to ask next; None where there is none."""
        mean = self.model.posterior.mean
        worth = self._worth()
        noise = answer_variance(mean, self.model.posterior.variance, self._spread(worth))
        if covariance is None:
            out = np.array(sorted(self._out.elements()), dtype=np.intp)
            covariance = expect(self.model.posterior.covariance, out, noise[out])
        open_rows = worth > _LEAST_GAIN
        open_rows[list(self._closed)] = False
        if not open_rows.any():
            return covariance, None
        gain = np.where(open_rows, self._gain(mean, covariance, noise), -1.0)
        gain = np.round(gain / max(float(gain.max()), 1e-300), _DIGITS)
        row = int(self._tie[np.argmax(gain[self._tie])])
        return expect(covariance, np.array([row]), noise[[row]]), row

    def _gain(self, mean: Array, covariance: Array, noise: Array) -> Array:
        if self._settings.objective == "ability":
            return ability_gain(mean, covariance, noise)
        if self._settings.objective == "difference":
            return difference_gain(mean, covariance, noise[: len(self.cells)])
        return threshold_gain(mean, covariance, noise, logit(self._settings.threshold))

    def _worth(self) -> Array:
        """Effective answers that one more request in each cell is expected to bring."""
        if self._fixed:
            fewest = [min(self._node_asked[node.node_id] for node in cell.nodes) for cell in self.cells]
            return np.array([next_answer(asked, self.model.correlation) for asked in fewest])
        return np.array([self.model.evidence[row].gain() for row in range(len(self.cells))])

    def _spread(self, worth: Array) -> Array:
        """Worth by row: a reference's rows are never asked."""
        return np.concatenate([worth, np.ones(len(self.model.evidence) - len(worth))])

    def _request(self, row: int) -> NodeRequest:
        node = min(self.cells[row].nodes, key=lambda each: self._node_asked[each.node_id])
        return self._send(
            NodeRequest(self._asked, node.node_id, node.concepts, node.difficulty, self._next_seed(), node.options)
        )

    def _repeat(self, request: NodeRequest) -> NodeRequest:
        known = (request.node_id, request.concepts, request.difficulty)
        return self._send(NodeRequest(self._asked, *known, self._next_seed(), request.options))

    def _send(self, request: NodeRequest) -> NodeRequest:
        self._asked += 1
        self._node_asked[request.node_id] += 1
        self._out[self._row[request.node_id]] += 1
        return request

    def _next_seed(self) -> int:
        return derive_seed(self._seed, "node", self._asked)

    def _miss(self, row: int, request: NodeRequest) -> None:
        self._unmeasured += 1
        self._node_asked[request.node_id] -= 1
        self._failed[row] += 1
        if self._failed[row] >= TRIES:
            self._closed.add(row)
            self._again = deque(each for each in self._again if self._row[each.node_id] != row)
        elif row not in self._closed:
            self._again.append(request)

    def _look(self) -> None:
        """Stop when what is asked for is known, and still is once everything has been learned anew."""
        if self.reason is not None or self._told < self._look_at or self._told < self._enough():
            return
        if self._doubted and self.model.learning:
            return
        known = precision(self.model.posterior, len(self.cells), self._settings)
        if known and not self._doubted:
            self._doubted = True
            self.model.relearn()
            return
        if known:
            self.reason = "precision"
        elif self._doubted:
            self._look_at = self._told + _PATIENCE
        self._doubted = False

    def _enough(self) -> int:
        """As many results as there are concepts and difficulties, and some: less is never the end."""
        concepts = {name for cell in self.cells for name in cell.concepts}
        return max(len(concepts) + len({cell.difficulty for cell in self.cells}), _FEWEST)


def _never_asked(request: NodeRequest) -> EnvironmentExecutionException:
    return EnvironmentExecutionException(
        f"the adaptive search was told of node {request.node_id!r} (request {request.index}), which is not out: "
        "expected the outcome of something that it asked for, told once",
        code="never_asked",
        subject=request.node_id,
    )


def _check(context: PolicyContext) -> None:
    settings = context.settings
    if not context.nodes:
        raise ConfigurationException(
            f"search.policy {settings.policy!r} has no nodes to measure: name at least one concept and one "
            "difficulty, or an environment that brings its own nodes",
            code="empty_tree",
        )
    if settings.stop.interval is None and settings.nodes is None:
        raise ConfigurationException(
            "search.policy 'adaptive' would never end: expected search.stop.interval, search.nodes or both",
            code="no_end",
        )
    if settings.objective == "difference" and not context.reference:
        raise ConfigurationException(
            "search.objective 'difference' needs search.reference: the run of the model that this one is compared with",
            code="no_reference",
        )
