"""A stored run, or several of the same thing, as a report sees it: the map and everything that belongs to it."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from prismenv.contracts.abilitymap import MAP, AbilityMap
from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.engine.phases import phase_of
from prismenv.engine.report import SIMULATED
from prismenv.engine.summaries import find_run, run_json
from prismenv.scoring.areas import Area, Weakness, by_area, weakest
from prismenv.scoring.coverage import Coverage, Place, coverage
from prismenv.scoring.effort import Effort, effort
from prismenv.scoring.measures import Measure, measure
from prismenv.scoring.passk import PassEstimate, SampleCounts
from prismenv.scoring.problems import Score, scores_of
from prismenv.scoring.spread import Spread, repeats, spread
from prismenv.scoring.surface import ordered_difficulties
from prismenv.scoring.suspects import Suspect, Suspects, flagged
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome
from prismenv.words.usage import Usage

KILLED = "its process was killed, and nobody works on it any more"
PLAN = "plan"  # of a run's first event: the cells that there were to measure


@dataclass(slots=True)
class Portion:
    """The nodes of a run, or of one of its phases: their problems, what they used and how long they took."""

    nodes: int = 0
    scores: list[Score] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)  # by role
    node_seconds: list[float] = field(default_factory=list)
    call_seconds: float = 0.0

    def add(self, node: NodeRecord, scores: Sequence[Score]) -> None:
        """Count one node."""
        self.nodes += 1
        self.scores += scores
        self.node_seconds.append(node.outcome.wall_seconds)
        for call in node.calls:
            known = self.usage.get(call.role)
            self.usage[call.role] = call.usage if known is None else known.plus(call.usage)
            self.call_seconds += call.wall_seconds

    @property
    def total_usage(self) -> Usage:
        """All roles together."""
        total = Usage()
        for usage in self.usage.values():
            total = total.plus(usage)
        return total

    def effort(self) -> Effort:
        """What the problems took, and came to."""
        return effort(self.scores)

    def times(self) -> dict[str, float | None]:
        """Wall seconds of nodes (together, median, 90th percentile) and of model calls; nodes run side by side."""
        found = sorted(self.node_seconds)
        return {
            "node_seconds": sum(found),
            "median_node_seconds": statistics.median(found) if found else None,
            "slow_node_seconds": found[min(len(found) - 1, len(found) * 9 // 10)] if found else None,
            "call_seconds": self.call_seconds,
        }

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        made = self.effort()
        return {
            "nodes": self.nodes,
            "total": made.total.to_json(),
            "failures": made.failures,
            "left_out": made.left_out,
            "effort": made.to_json(),
            "usage": {role: usage.model_dump() for role, usage in sorted(self.usage.items())},
            "total_usage": self.total_usage.model_dump(),
            "time": self.times(),
        }


@dataclass(slots=True)
class Survey:
    """What one or more runs found out. `plan` None: what there was to measure is not known.

    Several runs are taken together, as repetitions of one another; `by_run` keeps them apart for their spread.
    """

    title: str = ""  # of what is no run of the store
    contradictions: int = 0  # results that say that they succeeded although none of their attempts does
    runs: list[RunRecord] = field(default_factory=list)
    plan: list[Place] | None = None
    whole: Portion = field(default_factory=Portion)
    phases: dict[str, Portion] = field(default_factory=dict)
    by_run: dict[str, Portion] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    modes: set[str] = field(default_factory=set)  # of verdicts
    harnesses: set[str] = field(default_factory=set)  # hashes of what judged
    samples: SampleCounts = field(default_factory=SampleCounts)
    signs: Suspects = field(default_factory=Suspects)
    beliefs: dict[str, AbilityMap | None] = field(default_factory=dict)  # by run; None: this version cannot read it

    def begin(self, run: RunRecord, events: Iterable[Event] = ()) -> None:
        """What follows is of this run; its own events tell the plan, and what the search itself believed at the end."""
        self.runs.append(run)
        self.by_run[run.run_id] = Portion()
        for event in events:
            plan = event.data.get(PLAN)
            if plan is not None:
                self.plan = list(dict.fromkeys([*(self.plan or ()), *((str(name), str(at)) for name, at in plan)]))
            if (belief := event.data.get(MAP)) is not None:
                self.beliefs[run.run_id] = _read_belief(belief)

    def add(self, node: NodeRecord) -> None:
        """Count one node of the run that began last."""
        outcome = node.outcome
        scores = list(scores_of(outcome))
        for portion in self._portions(outcome):
            portion.add(node, scores)
        self.samples.add(outcome)
        self.signs.add(outcome)
        self.models.update(call.model for call in node.calls)
        for record in outcome.result.data_trail if outcome.result else ():
            if record.verdict is not None and record.verdict.harness_hash:
                self.modes.add(record.verdict.verdict_mode)
                self.harnesses.add(record.verdict.harness_hash)

    def _portions(self, outcome: NodeOutcome) -> Iterator[Portion]:
        yield self.whole
        yield self.by_run[self.runs[-1].run_id]
        yield self.phases.setdefault(phase_of(outcome.request), Portion())

    @property
    def label(self) -> str:
        """What it is called among others: the runs' ids."""
        return "+".join(run.run_id for run in self.runs)

    @property
    def simulated(self) -> bool:
        """True where a simulated model took part."""
        return any(model.startswith(SIMULATED) for model in self.models)

    def areas(self) -> dict[Area, list[Score]]:
        """The problems of each area."""
        return by_area(self.whole.scores)

    def coverage(self) -> Coverage:
        """What was not measured, and why. Of several runs it is the last one's reason that is told."""
        run = self.runs[-1] if self.runs else None
        limit = _limit(run.recipe) if run else ""
        return coverage(self.whole.scores, self.plan, run.status if run else "finished", run.note if run else "", limit)

    def repetitions(self) -> Spread | None:
        """The spread over runs where there are several, else over the repetitions of nodes; None for neither."""
        if len(self.runs) > 1:
            rates = [measure(portion.scores).rate for portion in self.by_run.values()]
            return spread([rate for rate in rates if rate is not None])
        return repeats(self.whole.scores)

    def passes(self) -> list[PassEstimate]:
        """pass@k for the usual k that there are samples for; none where no result counts its samples."""
        return self.samples.estimates(seed=self.runs[0].seed) if self.samples.counted and self.runs else []

    def suspects(self) -> list[Suspect]:
        """Suites that look wrong."""
        return self.signs.found()

    def without_suspects(self) -> Measure:
        """The total without the problems whose suites look wrong."""
        doubtful = {id(score) for score in flagged(self.whole.scores, self.suspects())}
        return measure(score for score in self.whole.scores if id(score) not in doubtful)

    def to_json(self, threshold: float = 0.5) -> dict[str, Any]:
        """As plain JSON; `threshold` is the success rate under which an area counts as weak."""
        areas = self.areas()
        repeated = self.repetitions()
        return {
            "runs": [run_json(run) for run in self.runs],
            "models": sorted(self.models),
            "simulated": self.simulated,
            "contradictions": self.contradictions,
            **self.whole.to_json(),
            "areas": [{**area.to_json(), **measure(areas[area]).to_json()} for area in ordered(areas)],
            "threshold": threshold,
            "weakest": [item.to_json() for item in weakest(areas, threshold)],
            "coverage": self.coverage().to_json(),
            "search_maps": [
                {"run_id": run_id, "nodes": self.by_run[run_id].nodes, **belief.model_dump(mode="json")}
                for run_id, belief in self.beliefs.items()
                if belief is not None
            ],
            "phases": [{"phase": name, **portion.to_json()} for name, portion in self.phases.items() if name],
            "repetitions": None if repeated is None else repeated.to_json(),
            "pass_at_k": [estimate.to_json() for estimate in self.passes()],
            "suspects": [suspect.to_json() for suspect in self.suspects()],
            "without_suspects": self.without_suspects().to_json(),
        }

    def weakest(self, threshold: float = 0.5) -> list[Weakness]:
        """The weakest areas, by what they can be at best."""
        return weakest(self.areas(), threshold)


def ordered(areas: Iterable[Area]) -> list[Area]:
    """Areas in the order of a report: the total, then kind by kind, by name, difficulties from the easiest."""
    found = list(areas)
    kinds = ("total", "concept", "difficulty", "cell", "combination", "combination_cell")
    places = {name: place for place, name in enumerate(ordered_difficulties(area.difficulty or "" for area in found))}
    return sorted(found, key=lambda area: (kinds.index(area.kind), area.name, places[area.difficulty or ""]))


AREA_COLUMNS = (
    "runs",
    "phase",
    "kind",
    "name",
    "difficulty",
    "solved",
    "measured",
    "left_out",
    "distinct",
    "effective",
    "rate",
    "low",
    "high",
    "method",
    "attempts",
    "solved_by_fixer",
    "under",
)


def area_rows(survey: Survey) -> Iterator[dict[str, Any]]:
    """The map as rows of one shape, AREA_COLUMNS: every area of the whole, then every area of each phase.

    Below them is what each run's search believed, in rows of the kinds `believed_ability` and `believed_cell`; there
    `under` is the chance that the cell's rate lies under the search's threshold, None elsewhere.
    """
    portions = [("", survey.whole), *((name, portion) for name, portion in survey.phases.items() if name)]
    for phase, portion in portions:
        areas = by_area(portion.scores)
        for area in ordered(areas):
            scores = areas[area]
            taken = {
                "attempts": sum(score.attempts for score in scores if score.measured),
                "solved_by_fixer": sum(score.by_fixer for score in scores),
            }
            told = {**area.to_json(), **measure(scores).to_json(), **taken}
            yield {"runs": survey.label, "phase": phase, "under": None, **told}
    for run_id, belief in survey.beliefs.items():
        for row in () if belief is None else _belief_rows(belief):
            yield {**dict.fromkeys(AREA_COLUMNS), "runs": run_id, "phase": "", **row}


def _belief_rows(belief: AbilityMap) -> Iterator[dict[str, Any]]:
    method = f"credible {100 * belief.confidence:g} %"
    counts = {
        "solved": sum(cell.solved for cell in belief.cells),
        "measured": sum(cell.measured for cell in belief.cells),
    }
    yield {"kind": "believed_ability", "name": "", "method": method, **counts, **belief.ability.model_dump()}
    for cell in belief.cells:
        figures = cell.model_dump(include={"difficulty", "solved", "measured", "rate", "low", "high", "under"})
        yield {"kind": "believed_cell", "name": cell.name, "method": method, **figures}


def _read_belief(stored: object) -> AbilityMap | None:
    try:
        return AbilityMap.model_validate(stored)
    except ValidationError:  # of another version: the counts are reported all the same, and the report says so
        return None


def _limit(recipe: Mapping[str, Any]) -> str:
    search = recipe.get("search")
    nodes = search.get("nodes") if isinstance(search, Mapping) else None
    return f"search.nodes: {nodes}" if nodes else ""


def survey_runs(store: Store, run_ids: Sequence[str]) -> Survey:
    """Read runs through once. An unknown run is a StorageException with the nearest id."""
    survey = Survey()
    for run in {run.run_id: run for run in (find_run(store, run_id) for run_id in run_ids)}.values():
        survey.begin(_as_it_stands(store, run), store.events(run.run_id))
        for node in store.nodes(run.run_id):
            survey.add(node)
    return survey


def _as_it_stands(store: Store, run: RunRecord) -> RunRecord:
    """The run; one that says that it is running although nobody works on it was killed, and is told as interrupted."""
    if run.status != "running" or store.is_locked(run.run_id):
        return run
    return replace(run, status="interrupted", note=run.note or KILLED)
