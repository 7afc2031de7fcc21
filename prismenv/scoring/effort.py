"""What it took: attempts, the fixer's share, and what problems failed of."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prismenv.scoring.measures import Measure, measure, measure_where
from prismenv.scoring.problems import Score


@dataclass(frozen=True, slots=True)
class Effort:
    """How measured problems were solved.

    `first` is the share solved by the first attempt, `alone` without the fixer. `by_attempts` counts solved problems by
    how many attempts they took, the fixer's included; `by_fixer` those that the fixer solved. `failures` counts
    unsolved problems by kind, `left_out` those that say nothing by fault. All but these two and the total leave out
    problems that were sampled several times, whose samples are no attempts that follow one another.
    """

    total: Measure
    first: Measure
    alone: Measure
    by_fixer: int
    by_attempts: dict[int, int]
    attempts: int
    failures: dict[str, int]
    left_out: dict[str, int]

    @property
    def fixer_share(self) -> float | None:
        """Of the solved problems, the share that the fixer solved; None where none was solved."""
        return self.by_fixer / self.tried_solved if self.tried_solved else None

    @property
    def tried_solved(self) -> int:
        """The solved problems that the fixer's share is of."""
        return sum(self.by_attempts.values())

    @property
    def attempts_each(self) -> float | None:
        """Attempts per measured problem, None where none was measured."""
        return self.attempts / self.first.measured if self.first.measured else None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "solved_by_first_attempt": self.first.to_json(),
            "solved_without_fixer": self.alone.to_json(),
            "fixer": {"solved": self.by_fixer, "of_solved": self.tried_solved, "share": self.fixer_share},
            "attempts": {
                "total": self.attempts,
                "problems": self.first.measured,
                "mean": self.attempts_each,
                "solved_after": {str(count): number for count, number in sorted(self.by_attempts.items())},
            },
        }


def effort(scores: Iterable[Score]) -> Effort:
    """What these problems took."""
    found = list(scores)
    tried = [score for score in found if score.samples == 1]
    solved = [score for score in tried if score.measured and score.solved]
    return Effort(
        total=measure(found),
        first=measure_where(tried, lambda score: score.solved and score.attempts == 1),
        alone=measure_where(tried, lambda score: score.solved and not score.by_fixer),
        by_fixer=sum(score.by_fixer for score in solved),
        by_attempts=dict(sorted(Counter(score.attempts for score in solved).items())),
        attempts=sum(score.attempts for score in tried if score.measured),
        failures=_sorted(Counter(score.kind for score in found if score.measured and not score.solved)),
        left_out=_sorted(Counter(score.fault for score in found if not score.measured)),
    )


def _sorted(counts: Counter[Any]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
