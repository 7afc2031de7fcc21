"""How far a phase has come."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class PhaseProgress:
    """Counts of one phase: nodes asked for, measured, and not measurable; unchanged measurements in a row."""

    name: str
    asked: int = 0
    measured: int = 0
    unmeasured: int = 0
    unchanged: int = 0
    ended: str | None = None

    def measure(self, *, unchanged: bool) -> None:
        """Count a measurement."""
        self.measured += 1
        self.unchanged = self.unchanged + 1 if unchanged else 0

    def end(self, reason: str) -> None:
        """The phase is over."""
        self.ended = reason

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `ended` is null while it goes on."""
        return {
            "name": self.name,
            "asked": self.asked,
            "measured": self.measured,
            "unmeasured": self.unmeasured,
            "ended": self.ended,
        }
