"""A success rate with everything that belongs to it: its counts, its interval, and how that was made."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from prismenv.scoring.clusters import clustered_interval
from prismenv.scoring.problems import Score

MeasureMethod = Literal["wilson", "clustered", "none"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Counts of problems: `solved` of `measured`, those `left_out` of both, and a 95 % interval of the rate.

    `distinct` counts different problems. Where some were measured more than once the interval is clustered by problem
    and `effective` is the number of independent measurements that it stands on; else it is Wilson's. (0, 1) where
    nothing was measured.
    """

    solved: int = 0
    measured: int = 0
    left_out: int = 0
    distinct: int = 0
    effective: float = 0.0
    low: float = 0.0
    high: float = 1.0
    method: MeasureMethod = "none"

    @property
    def rate(self) -> float | None:
        """Solved over measured, None where nothing was measured."""
        return self.solved / self.measured if self.measured else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the rate."""
        return self.low, self.high

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "solved": self.solved,
            "measured": self.measured,
            "left_out": self.left_out,
            "distinct": self.distinct,
            "effective": round(self.effective, 3),
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "method": self.method,
        }


def measure(scores: Iterable[Score]) -> Measure:
    """What these problems come to."""
    return measure_where(scores, lambda score: score.solved)


def measure_where(scores: Iterable[Score], holds: Callable[[Score], bool]) -> Measure:
    """How many of these problems `holds` is true for, of those that were measured."""
    found = list(scores)
    counted = [score for score in found if score.measured]
    if not counted:
        return Measure(left_out=len(found))
    distinct = len({score.problem for score in counted})
    low, high, effective = clustered_interval((score.problem, float(holds(score))) for score in counted)
    return Measure(
        solved=sum(bool(holds(score)) for score in counted),
        measured=len(counted),
        left_out=len(found) - len(counted),
        distinct=distinct,
        effective=effective,
        low=low,
        high=high,
        method="wilson" if distinct == len(counted) else "clustered",
    )
