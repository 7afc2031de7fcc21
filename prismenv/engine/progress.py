"""How far a run is, for whoever watches: counts that are cheap to keep and plain to print."""

from collections import Counter
from typing import Any

from prismenv.words.nodes import NodeOutcome


def failure_kind(outcome: NodeOutcome) -> str | None:
    """What a node failed of: the outcome of the last verdict on a problem that was not solved.

    The fault where nothing was measured; None for success.
    """
    if outcome.success:
        return None
    if outcome.result is None or not outcome.measured:
        return outcome.fault
    trail = outcome.result.data_trail
    solved = {record.problem_index for record in trail if record.success}
    for record in reversed(trail):
        if record.verdict is not None and record.problem_index not in solved:
            return record.verdict.outcome
    return "no_verdict"


class Progress:
    """Counts outcomes as they arrive, in whatever order.

    `total` None: the search decides as it goes. `measured` leaves out what was no failure of the candidate.
    """

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.done = 0
        self.replayed = 0
        self.solved = 0
        self.measured = 0
        self.left_out: Counter[str] = Counter()  # by fault
        self.failures: Counter[str] = Counter()  # by kind, those left out included

    def add(self, outcome: NodeOutcome) -> None:
        """Count one outcome."""
        self.done += 1
        self.replayed += outcome.replayed
        if outcome.measured:
            self.measured += 1
            self.solved += outcome.success
        else:
            self.left_out[outcome.fault] += 1
        kind = failure_kind(outcome)
        if kind is not None:
            self.failures[kind] += 1

    def snapshot(self, elapsed_seconds: float) -> dict[str, Any]:
        """Plain JSON; `remaining_seconds` and `pass_rate` are None while they cannot be told."""
        return {
            "done": self.done,
            "total": self.total,
            "replayed": self.replayed,
            "solved": self.solved,
            "measured": self.measured,
            "pass_rate": self.solved / self.measured if self.measured else None,
            "left_out": dict(sorted(self.left_out.items())),
            "failures": dict(sorted(self.failures.items())),
            "elapsed_seconds": elapsed_seconds,
            "remaining_seconds": self._remaining(elapsed_seconds),
        }

    def _remaining(self, elapsed_seconds: float) -> float | None:
        fresh = self.done - self.replayed
        if self.total is None or not fresh:
            return None
        return max(self.total - self.done, 0) * elapsed_seconds / fresh
