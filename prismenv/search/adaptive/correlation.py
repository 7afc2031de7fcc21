"""How alike answers to one problem are: learned from problems that were answered more than once.

With p the chance of a cell, answers x and y to one of its problems have E[(x - p)(y - p)] = r p (1 - p). The means of
all such pairs are taken over what is believed of p, its variance included, as in expectation maximisation. However
often a problem was answered, it is one draw from its cell: its pairs together weigh 1 - 1 / answers. Some imagined
problems hold r where it usually is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pattern = tuple[int, int]  # answers to a problem, and how many of them solved it
USUAL = 0.5
_IMAGINED = 2.0  # of p (1 - p), summed over problems: as much as ten in a cell of some difficulty
_BOUNDS = (0.05, 0.95)


def effective_answers(answers: int, correlation: float) -> float:
    """What so many answers to one problem count as."""
    return answers / (1 + (answers - 1) * correlation) if answers else 0.0


def next_answer(answers: int, correlation: float) -> float:
    """What one more answer to a problem brings that has so many."""
    return effective_answers(answers + 1, correlation) - effective_answers(answers, correlation)


def learn_correlation(patterns: Sequence[Mapping[Pattern, int]], chance: Array, variance: Array) -> float:
    """r, of each cell's problems by pattern (how many have it), its chance and the variance of that."""
    together, most = USUAL * _IMAGINED, _IMAGINED
    for row, found in enumerate(patterns):
        p, v = float(chance[row]), float(variance[row])
        for (answers, solved), problems in sorted(found.items()):
            whole = (solved - answers * p) ** 2 + answers**2 * v
            alone = solved * ((1 - p) ** 2 + v) + (answers - solved) * (p**2 + v)
            weight = problems * (1 - 1 / answers)
            together += weight * (whole - alone) / (answers * (answers - 1))
            most += weight * max(p * (1 - p) - v, 0.0)
    return min(max(together / most, _BOUNDS[0]), _BOUNDS[1])
