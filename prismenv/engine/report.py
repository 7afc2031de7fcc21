"""What a run comes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prismenv.contracts.archive import RunRecord, RunStatus
from prismenv.engine.budget import Budget
from prismenv.engine.progress import Progress
from prismenv.scoring.passk import PassEstimate, SampleCounts
from prismenv.scoring.surface import Surface
from prismenv.words.nodes import NodeOutcome
from prismenv.words.usage import Usage

SIMULATED = "simulated/"  # how the names of simulated models begin, in recipes and in what calls tell of themselves


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run at its end, or at the end of this sitting of it.

    `progress` counts nodes, `surface` counts problems. `pass_at_k` is empty unless the environment brought its own
    problems. `tokens`, `calls` (`cached` of them answered from the cache) and `cost_usd` (None: unknown) are of the
    whole run, `elapsed_seconds` of this sitting.
    `simulated` is true where a simulated model took part. `store` None: nothing was kept.
    """

    run_id: str
    name: str
    environment: str
    status: RunStatus
    note: str
    seed: int
    simulated: bool
    progress: dict[str, Any]
    surface: Surface
    pass_at_k: tuple[PassEstimate, ...]
    calls: int
    cached: int
    tokens: int
    cost_usd: float | None
    elapsed_seconds: float
    store: str | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "run_id": self.run_id,
            "name": self.name,
            "environment": self.environment,
            "status": self.status,
            "note": self.note,
            "seed": self.seed,
            "simulated": self.simulated,
            "progress": self.progress,
            "surface": self.surface.to_json(),
            "pass_at_k": [estimate.to_json() for estimate in self.pass_at_k],
            "usage": {
                "calls": self.calls,
                "cached": self.cached,
                "tokens": self.tokens,
                "cost_usd": self.cost_usd,
            },
            "elapsed_seconds": self.elapsed_seconds,
            "store": self.store,
        }


@dataclass(slots=True)
class Tally:
    """Gathers what a report is made of while a run goes on. Its size depends on cells and problems, not on nodes."""

    progress: Progress
    budget: Budget
    own_problems: bool  # the environment brought them: pass@k means something
    simulated: bool
    surface: Surface = field(default_factory=Surface)
    samples: SampleCounts = field(default_factory=SampleCounts)

    def told(self, outcome: NodeOutcome) -> None:
        """Count one outcome; call it in index order."""
        self.surface.add(outcome)
        if self.own_problems:
            self.samples.add(outcome)

    def spend(self, usage: Usage) -> None:
        """Count one model call."""
        self.budget.spend(usage)
        self._look(usage)

    def take_over(self, calls: Sequence[Usage], *, nodes: int) -> None:
        """Count nodes of an earlier sitting and what they used."""
        self.budget.take_over(calls, nodes=nodes)
        for usage in calls:
            self._look(usage)

    def _look(self, usage: Usage) -> None:
        if usage.model is not None and usage.model.startswith(SIMULATED):
            self.simulated = True

    def report(self, run: RunRecord, store: str | None) -> RunReport:
        """The report as things stand."""
        budget = self.budget
        return RunReport(
            run_id=run.run_id,
            name=run.name,
            environment=run.environment,
            status=run.status,
            note=run.note,
            seed=run.seed,
            simulated=self.simulated,
            progress=self.progress.snapshot(budget.elapsed_seconds),
            surface=self.surface,
            pass_at_k=tuple(self.samples.estimates(seed=run.seed)) if self.own_problems else (),
            calls=budget.calls,
            cached=budget.cached,
            tokens=budget.tokens,
            cost_usd=budget.cost_usd,
            elapsed_seconds=budget.elapsed_seconds,
            store=store,
        )
