"""What a stored run comes to, and which runs are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.scoring.passk import PassEstimate, SampleCounts
from prismenv.scoring.surface import Surface
from prismenv.words.errors import ConfigurationException, StorageException
from prismenv.words.nearness import nearest
from prismenv.words.usage import Usage

SECONDS_PER_DAY = 86_400.0


def run_json(run: RunRecord) -> dict[str, Any]:
    """What is known of a run itself, as plain JSON."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "environment": run.environment,
        "status": run.status,
        "note": run.note,
        "seed": run.seed,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "nodes_done": run.nodes_done,
    }


def find_run(store: Store, run_id: str) -> RunRecord:
    """The run of that id, or of the only id that begins so. StorageException (`unknown_run`) with the nearest id."""
    runs = store.runs()
    found = [run for run in runs if run.run_id == run_id] or [run for run in runs if run.run_id.startswith(run_id)]
    if len(found) == 1 and run_id:
        return found[0]
    if len(found) > 1:
        names = ", ".join(run.run_id for run in found[:5])
        raise StorageException(
            f"{run_id!r} is the beginning of {len(found)} runs.",
            code="unknown_run",
            subject=run_id,
            hint=f"Write more of the id: {names}.",
        )
    near = nearest(run_id, [run.run_id for run in runs])
    raise StorageException(
        f"There is no run {run_id}.",
        code="unknown_run",
        subject=run_id,
        hint=f"Did you mean {near}?" if near else "`prismenv runs list` shows the runs that there are.",
    )


@dataclass(slots=True)
class RunSummary:
    """A stored run with what its nodes come to. `usage` is by role, from the calls that were kept."""

    run: RunRecord
    surface: Surface = field(default_factory=Surface)
    samples: SampleCounts = field(default_factory=SampleCounts)
    attempts: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)

    def add(self, node: NodeRecord) -> None:
        """Count one node."""
        outcome = node.outcome
        self.surface.add(outcome)
        self.samples.add(outcome)
        self.attempts += len(outcome.result.data_trail) if outcome.result else 0
        for call in node.calls:
            self.models.add(call.model)
            known = self.usage.get(call.role)
            self.usage[call.role] = call.usage if known is None else known.plus(call.usage)

    @property
    def total_usage(self) -> Usage:
        """All roles together."""
        total = Usage()
        for usage in self.usage.values():
            total = total.plus(usage)
        return total

    def passes(self) -> list[PassEstimate]:
        """pass@k for the usual k that there are samples for; none where no result counts its samples."""
        return self.samples.estimates(seed=self.run.seed) if self.samples.counted else []

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            **run_json(self.run),
            "attempts": self.attempts,
            "models": sorted(self.models),
            "surface": self.surface.to_json(),
            "pass_at_k": [estimate.to_json() for estimate in self.passes()],
            "usage": {role: usage.model_dump() for role, usage in sorted(self.usage.items())},
            "total_usage": self.total_usage.model_dump(),
        }


def summarise_run(store: Store, run_id: str) -> RunSummary:
    """Read a run through once. An unknown run is a StorageException."""
    summary = RunSummary(find_run(store, run_id))
    for node in store.nodes(summary.run.run_id):
        summary.add(node)
    return summary


@dataclass(frozen=True, slots=True)
class Pruning:
    """What was removed, or would be, and the runs that were spared because a process works on them.

    `answers` counts cached answers of models.
    """

    removed: tuple[RunRecord, ...]
    busy: tuple[RunRecord, ...] = ()
    answers: int = 0


def prune_runs(
    store: Store,
    *,
    now: float,
    older_than_days: float | None = None,
    keep: int | None = None,
    dry_run: bool = False,
) -> Pruning:
    """Remove old runs: started more than `older_than_days` before `now`, and not among the newest `keep`.

    Where both are given a run must be both too old and too many; cached answers go by their age alone. Neither given is
    a ConfigurationException: nothing is removed by accident. A run that a process works on is spared.
    """
    if older_than_days is None and keep is None:
        raise ConfigurationException(
            "Pruning needs to know what to keep.",
            hint="Give an age in days (--older-than-days), a number of runs to keep (--keep), or both.",
        )
    if (older_than_days is not None and older_than_days < 0) or (keep is not None and keep < 0):
        raise ConfigurationException("An age in days and a number of runs to keep cannot be negative.")
    oldest = float("inf") if older_than_days is None else now - older_than_days * SECONDS_PER_DAY
    chosen = [run for run in store.runs()[keep or 0 :] if run.started_at < oldest]
    before = float("-inf") if older_than_days is None else oldest
    if dry_run:
        return Pruning(tuple(chosen), answers=store.answers.count(before))
    return _remove(store, chosen, before)


def _remove(store: Store, chosen: Sequence[RunRecord], before: float) -> Pruning:
    removed, busy = [], []
    for run in chosen:
        try:
            with store.lock_run(run.run_id):
                store.delete_run(run.run_id)
        except StorageException as error:
            if error.code != "run_locked":
                raise
            busy.append(run)
        else:
            removed.append(run)
    return Pruning(tuple(removed), tuple(busy), store.answers.remove(before))
