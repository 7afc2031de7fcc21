"""Whether a run measures anything: what kept its nodes from it, and when there is no point in going on."""

from collections import Counter

from prismenv.engine.outcomes import complaint
from prismenv.words.nodes import NodeOutcome

SAME_COMPLAINT_LIMIT = 5  # so many nodes in a row at the start with one and the same complaint stop a run
SHOWN_COMPLAINTS = 3


class Unmeasured:
    """Takes outcomes in the order in which they are told.

    Complaints are equal when their first lines are: what follows tells of the single case.
    """

    def __init__(self) -> None:
        self._told = 0
        self._left_out: Counter[str] = Counter()  # nodes that were not measured, by fault
        self._complaints: dict[str, str] = {}  # the first of each kind, as many as are shown
        self._streak = 0  # equal complaints from the first fresh node on; below 0: there was another
        self._same: str | None = None

    def add(self, outcome: NodeOutcome) -> None:
        """Count one outcome."""
        words = complaint(outcome)
        self._told += 1
        if not outcome.measured:
            self._left_out[outcome.fault] += 1
            if words is not None and len(self._complaints) < SHOWN_COMPLAINTS:
                self._complaints.setdefault(_head(words), words)
        self._watch_streak(outcome, words)

    def _watch_streak(self, outcome: NodeOutcome, words: str | None) -> None:
        if outcome.replayed or self._streak < 0:
            return
        if words is None or (self._streak and _head(words) != _head(self._same or "")):
            self._streak = -1
            return
        self._same = self._same or words
        self._streak += 1

    def hopeless(self) -> str | None:
        """Why the rest should not be tried; None while it may."""
        if self._streak < SAME_COMPLAINT_LIMIT:
            return None
        return f"the first {self._streak} nodes failed in the same way, so the rest was not tried: {self._same}"

    def verdict(self) -> str | None:
        """Why a run that is over has failed, in that it measured nothing; None where it measured something."""
        if self._streak > 0 and self._streak == self._told:
            return f"every node failed in the same way: {self._same}"
        if not self._told or self._left_out.total() < self._told:
            return None
        faults = ", ".join(f"{fault} {count}" for fault, count in sorted(self._left_out.items()))
        shown = "; ".join(self._complaints.values()) or "no reason was given"
        return f"none of {self._told} nodes could be measured (by fault: {faults}), among others for: {shown}"


def _head(words: str) -> str:
    return words.partition("\n")[0]
