"""What partial credit says of ability: z = a + b f + noise, for an unsolved problem with credit z in a cell of logit f.

How steep (b) is learned by regression over all cells, f being known as well as it is: expectation maximisation with the
posterior's moments. Until many problems failed, b is near 0 and credit counts for nothing, and where the share of
passed tests has nothing to do with ability it stays there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_CAUTION = 15.0  # as many failures that showed no slope at all, with unit spread
_MOST = 0.15  # precision of one credit at most; a right or wrong answer has p (1 - p), at most 0.25
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class CreditLine:
    """The line, and the variance around it."""

    level: float = 0.0
    slope: float = 0.0
    variance: float = 1.0

    def sites(self, count: Array, total: Array) -> tuple[Array, Array]:
        """The normal factors (precision, precision times mean) of `count` credits with this sum in each cell."""
        if self.slope <= 0:
            return np.zeros_like(count), np.zeros_like(count)
        worth = min(self.slope**2 / self.variance, _MOST)  # precision of one credit
        return worth * count, worth * (total - self.level * count) / self.slope


def learn_line(count: Array, total: Array, squares: Array, mean: Array, variance: Array) -> CreditLine:
    """The line for cells with so many credits, their sums and sums of squares, and these moments of f."""
    n = float(count.sum())
    if n < _FEWEST:
        return CreditLine()
    centre_f = float((count * mean).sum()) / n
    centre_z = float(total.sum()) / n
    spread = float((count * (np.square(mean - centre_f) + variance)).sum()) + _CAUTION
    joint = float((mean * total).sum()) - n * centre_f * centre_z
    slope = max(joint / spread, 0.0)
    level = centre_z - slope * centre_f
    rest = float(squares.sum()) - n * centre_z**2 - slope * joint
    return CreditLine(level, slope, max(rest / n, 0.25))
