"""When a phase of a search has ended, and what it came to: seen from the order in which its nodes are told."""

from collections import Counter
from typing import Any

from prismenv.words.nodes import NodeOutcome, NodeRequest


def phase_of(request: NodeRequest) -> str:
    """The phase of the search that asked for a node; empty for a search without phases."""
    return request.phase or ""


class PhaseWatch:
    """Takes outcomes in index order. A phase has ended when a node of another one is told, or with the search."""

    def __init__(self) -> None:
        self._begin("")

    def _begin(self, phase: str) -> None:
        self._phase = phase
        self._nodes = self._solved = self._measured = 0
        self._left_out: Counter[str] = Counter()

    def told(self, outcome: NodeOutcome) -> dict[str, Any] | None:
        """Count one outcome; what `phase_ended` says where this one shows that the phase before it has ended."""
        phase = phase_of(outcome.request)
        ended = None
        if phase != self._phase:
            ended = self.end()
            self._begin(phase)
        self._nodes += 1
        if outcome.measured:
            self._measured += 1
            self._solved += outcome.success
        else:
            self._left_out[outcome.fault] += 1
        return ended

    def end(self) -> dict[str, Any] | None:
        """The search is over: what its last phase came to; None for a search without phases."""
        facts = {
            "phase": self._phase,
            "nodes": self._nodes,
            "solved": self._solved,
            "measured": self._measured,
            "left_out": dict(sorted(self._left_out.items())),
        }
        return facts if self._phase else None
