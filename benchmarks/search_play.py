"""Plays one search policy against one planted surface, and reads the map off what it was told."""

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from search_surfaces import CONCEPTS, DIFFICULTIES, PlantedSurface

from prismenv.contracts.abilitymap import MAP
from prismenv.contracts.policy import SearchPolicy
from prismenv.contracts.recipe import Recipe, SearchSettings
from prismenv.engine.planning import build_policy, find_policy
from prismenv.finding.workspace import find_workspaces
from prismenv.scoring.intervals import wilson
from prismenv.search.adaptive.cells import AbilityCell, ability_cells
from prismenv.search.adaptive.evidence import answers_of
from prismenv.search.adaptive.model import AbilityModel
from prismenv.search.adaptive.moments import expected_chance
from prismenv.search.adaptive.reading import cell_intervals
from prismenv.search.cells import plan_cells
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord

ADAPTIVE = "adaptive"
TESTS = 8  # of a problem
EVERY = 5  # told nodes between two readings
STEADY = 3  # readings in a row that count as found
SPREAD = 4.0  # of problems in a cell: their chances are Beta(4 p, 4 (1 - p))


@dataclass
class Reading:
    """A map: a chance and a 90 % interval for each cell."""

    chances: list[float]
    low: list[float]
    high: list[float]


@dataclass
class Played:
    """What came of one play. `reached` by kind of reading: told nodes until F1 0.9, None if never."""

    told: int = 0
    stopped_by: str = ""
    reached: dict[str, int | None] = field(default_factory=dict)
    f1: dict[str, dict[int, float]] = field(default_factory=dict)
    rmse: dict[str, dict[int, float]] = field(default_factory=dict)
    covered: dict[str, float] = field(default_factory=dict)
    final_rmse: dict[str, float] = field(default_factory=dict)
    final_f1: dict[str, float] = field(default_factory=dict)
    ask_seconds: list[float] = field(default_factory=list)
    tell_seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Play:
    """The conditions of a play."""

    policy: str
    nodes: int
    seed: int
    pairs: bool
    window: int = 8
    faults: float = 0.03
    threshold: float = 0.5
    interval: float | None = None
    marks: tuple[int, ...] = ()
    reads: bool = True
    until_found: bool = False  # ends once every reading has found the weak cells, and all marks are behind


def simulate(surface: PlantedSurface, request: NodeRequest, play: Play, number: int) -> NodeOutcome:
    """The outcome of the play's request of this number.

    The infrastructure breaks now and then, each node is a new problem, and failures pass some tests.
    """
    draw = random.Random(f"{surface.name} {play.seed} {number}")
    if draw.random() < play.faults:
        return NodeOutcome(request, None, fault="infrastructure", error="planted")
    chance = surface.chance(request.concepts, request.difficulty)
    own = draw.betavariate(max(SPREAD * chance, 1e-3), max(SPREAD * (1 - chance), 1e-3))
    success = draw.random() < own
    share = 0.15 + 0.6 * own
    passed = TESTS if success else min(sum(draw.random() < share for _ in range(TESTS)), TESTS - 1)
    attempts = 1 if success else 3
    record = TrailRecord(
        success=success, tests_passed_num=passed, tests_failed_num=TESTS - passed, attempt_num=attempts - 1
    )
    result = ChallengeResults(
        success=success,
        data_trail=[record],
        problems=[ProblemSummary(problem_index=0, success=success, attempts=attempts)],
        success_rate=float(success),
    )
    return NodeOutcome(request, result, fault="none" if success else "candidate")


class Counts:
    """The plain reading: each cell by itself.

    A measured cell has (solved + 1/2) / (measured + 1) and the Wilson interval; one that was not measured takes its
    difficulty's rate and the interval from 0 to 1.
    """

    def __init__(self, cells: Sequence[AbilityCell]) -> None:
        self._cells = cells
        self._solved = [0] * len(cells)
        self._measured = [0] * len(cells)

    def tell(self, row: int, outcome: NodeOutcome) -> None:
        """Count one outcome."""
        if outcome.measured:
            self._measured[row] += 1
            self._solved[row] += outcome.success

    def read(self) -> Reading:
        """The map."""
        chances, low, high = [], [], []
        for row, cell in enumerate(self._cells):
            solved, measured = self._solved[row], self._measured[row]
            if not measured:
                same = [other for other, each in enumerate(self._cells) if each.rank == cell.rank]
                solved_all = sum(self._solved[other] for other in same)
                chances.append((solved_all + 0.5) / (sum(self._measured[other] for other in same) + 1))
                low.append(0.0)
                high.append(1.0)
                continue
            chances.append((solved + 0.5) / (measured + 1))
            ends = wilson(solved, measured, 0.90)
            low.append(ends[0])
            high.append(ends[1])
        return Reading(chances, low, high)


def read_model(model: AbilityModel, threshold: float, confidence: float = 0.9) -> Reading:
    """The map that a model of ability holds; whether a cell is under the threshold goes by its median."""
    count = len(model.cells)
    mean, variance = model.posterior.mean[:count], model.posterior.variance[:count]
    intervals = cell_intervals(model.posterior, count, threshold, confidence)
    chances = expected_chance(mean, variance)
    return Reading(chances.tolist(), intervals.low.tolist(), intervals.high.tolist())


def read_own(policy: SearchPolicy) -> Reading:
    """The map that a policy tells of itself."""
    cells = policy.state()[MAP]["cells"]
    return Reading(*([cell[figure] for cell in cells] for figure in ("rate", "low", "high")))


def f1_of(reading: Reading, truth: Sequence[float], threshold: float) -> float:
    """F1 of the cells said to be under the threshold; 1 where there are none and none was named."""
    said = [chance < threshold for chance in reading.chances]
    real = [chance < threshold for chance in truth]
    hits = sum(a and b for a, b in zip(said, real, strict=True))
    return 2 * hits / (sum(said) + sum(real)) if sum(said) + sum(real) else 1.0


def rmse_of(reading: Reading, truth: Sequence[float]) -> float:
    """Root mean square error, each cell weighing the same."""
    return (sum((a - b) ** 2 for a, b in zip(reading.chances, truth, strict=True)) / len(truth)) ** 0.5


def covered_by(reading: Reading, truth: Sequence[float]) -> float:
    """The share of cells whose interval holds the truth; figures of three digits, as they are shown."""
    held = [low - 5e-4 <= p <= high + 5e-4 for low, high, p in zip(reading.low, reading.high, truth, strict=True)]
    return sum(held) / len(held)


class Board:
    """Follows one play: reads the map now and then, plainly and by the model of ability."""

    def __init__(self, policy: SearchPolicy, cells: Sequence[AbilityCell], surface: PlantedSurface, play: Play) -> None:
        self.played = Played()
        self._play = play
        self._truth = [surface.chance(cell.concepts, cell.difficulty) for cell in cells]
        self._rows = {(frozenset(cell.concepts), cell.difficulty): row for row, cell in enumerate(cells)}
        self._own = policy if play.policy == ADAPTIVE else None
        self._model = AbilityModel(cells)
        self._counts = Counts(cells)
        self._streak: dict[str, int] = {}

    def tell(self, outcome: NodeOutcome) -> None:
        """Take one outcome; nodes outside of the map are no evidence, and were paid for."""
        self.played.told += 1
        row = self._rows.get((frozenset(outcome.request.concepts), outcome.request.difficulty))
        if row is not None:
            self._counts.tell(row, outcome)
            answers = answers_of(outcome, fixed=False)
            if self._own is None and answers and self._play.reads:
                self._model.tell(row, answers)
        if self._play.reads and (self.played.told % EVERY == 0 or self.played.told in self._play.marks):
            for kind, reading in self._readings():
                self._note(kind, reading)

    def _readings(self) -> list[tuple[str, Reading]]:
        if self._own is not None:
            return [("model", read_own(self._own))]
        return [("model", read_model(self._model, self._play.threshold)), ("plain", self._counts.read())]

    def _note(self, kind: str, reading: Reading) -> None:
        told, played = self.played.told, self.played
        f1 = f1_of(reading, self._truth, self._play.threshold)
        self._streak[kind] = self._streak.get(kind, 0) + 1 if f1 >= 0.9 else 0
        if self._streak[kind] == STEADY and played.reached.get(kind) is None:
            played.reached[kind] = told - EVERY * (STEADY - 1)
        if told in self._play.marks:
            played.f1.setdefault(kind, {})[told] = f1
            played.rmse.setdefault(kind, {})[told] = rmse_of(reading, self._truth)

    @property
    def done(self) -> bool:
        """True when nothing is left to find out."""
        kinds = 1 if self._own is not None else 2
        found = self._play.until_found and len(self.played.reached) == kinds
        return found and self.played.told >= max(self._play.marks, default=0)

    def end(self, policy: SearchPolicy) -> Played:
        """The figures at the end."""
        played = self.played
        played.stopped_by = str(policy.state().get("stopped_by", ""))
        for kind, reading in self._readings() if self._play.reads else ():
            played.covered[kind] = covered_by(reading, self._truth)
            played.final_rmse[kind] = rmse_of(reading, self._truth)
            played.final_f1[kind] = f1_of(reading, self._truth, self._play.threshold)
        return played


def make_policy(play: Play, turn: int) -> SearchPolicy:
    """The policy for the conditions of a play; `turn` counts how often it was begun anew.

    A policy with phases goes through those of configs/phase_configs.yaml, with nodes of no more concepts than the map
    has, so that it pays for nothing outside of it.
    """
    settings = SearchSettings.model_validate(
        {
            "policy": play.policy,
            "concepts": CONCEPTS,
            "difficulties": DIFFICULTIES,
            "pairs": play.pairs,
            "nodes": play.nodes,
            "repeats": play.nodes,
            "threshold": play.threshold,
            "window": play.window,
            "stop": {"interval": play.interval},
            "max_concepts": 2 if play.pairs else 1,
        }
    )
    workspaces = find_workspaces()
    recipe = Recipe(name="benchmark", search=settings, seed=play.seed + 1000 * turn)
    return build_policy(recipe, find_policy(play.policy, workspaces), None, workspaces)


def play_policy(surface: PlantedSurface, play: Play) -> Played:
    """One policy against one surface, `window` requests out at a time.

    One that ends by its own rules before the budget does (the phases do after 300 nodes) is begun anew with another
    seed, and what is counted goes on; the adaptive one's end is its stop.
    """
    policy, turn = make_policy(play, 0), 0
    board = Board(
        policy, ability_cells(plan_cells(CONCEPTS, DIFFICULTIES, pairs=play.pairs), DIFFICULTIES), surface, play
    )
    out: deque[NodeRequest] = deque()
    while board.played.told < play.nodes and not board.done:
        began = time.process_time()
        asked = policy.ask(play.window - len(out)) if not policy.finished else ()
        board.played.ask_seconds.append((time.process_time() - began) / max(len(asked), 1))
        out.extend(asked)
        if not out:
            if play.policy == ADAPTIVE:
                break
            turn += 1
            policy = make_policy(play, turn)
            continue
        outcome = simulate(surface, out.popleft(), play, board.played.told)
        began = time.process_time()
        policy.tell(outcome)
        board.played.tell_seconds.append(time.process_time() - began)
        board.tell(outcome)
    return board.end(policy)
