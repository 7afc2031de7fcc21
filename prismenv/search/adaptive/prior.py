"""What is believed of a model's abilities before it was measured: a Gaussian over the logits of all cells.

The logit of success in cell i, a set A of concepts at difficulty x (from -1/2, the easiest, to 1/2), is a sum of

    level + slope x + size (|A| - 1) + difficulty_x                     what all cells share
    + mean over c in A of (concept_c + drift_c(x) + spot_{c,x})         what concepts bring, also into combinations
    + together_A + own_i                                                interactions of concepts, and what is left

drift_c is a process whose correlation falls with the distance in difficulty, exp(-|x - y| / REACH): a concept that
breaks off where it is hard is not expected to be the better where it is easy, as a line would have it. All parts are
independent and normal with mean 0, but for the slope and the size, whose means are below 0: harder and larger is
expected to be worse, and evidence overrules it. So the prior's covariance is a sum of fixed matrices, each scaled by
the variance of its part; the variances are learned (`learning`), in the way of hierarchical models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prismenv.search.adaptive.cells import AbilityCell

Array = NDArray[np.float64]

# Standard deviations of the parts, in logits: the usual ones, from which learning starts.
PARTS = ("level", "slope", "size", "difficulty", "concept", "drift", "spot", "together", "own")
USUAL = (1.5, 2.0, 0.7, 0.5, 0.6, 0.6, 0.3, 0.5, 0.3)
LEARNED = slice(3, 9)  # one value of each of the first three shows in a run: nothing to learn their spread from
SLOPE = -2.5  # from the easiest to the hardest; published surfaces lie between -1.5 and -4
SIZE = -0.2  # for each further concept
REACH = 0.5  # how far in difficulty a concept's deviation reaches, the whole range being 1
ALIKE = 0.7  # correlation of two models that somebody compares


@dataclass(frozen=True, slots=True)
class Prior:
    """The parts' matrices (parts, cells, cells) and the mean (cells)."""

    matrices: Array
    mean: Array

    def covariance(self, deviations: Sequence[float] | Array) -> Array:
        """The covariance of all cells, for these standard deviations of the parts."""
        variances = np.square(np.asarray(deviations, dtype=float))
        return np.tensordot(variances, self.matrices, axes=1)


def build_prior(cells: Sequence[AbilityCell]) -> Prior:
    """The prior of these cells."""
    ranks = np.array([cell.rank for cell in cells], dtype=float)
    x = ranks / max(ranks.max(), 1.0) - 0.5
    extra = np.array([len(cell.concepts) - 1.0 for cell in cells])
    shares = _shares(cells)
    shared = shares @ shares.T
    same_rank = np.equal.outer(ranks, ranks).astype(float)
    names = {concepts: number for number, concepts in enumerate(dict.fromkeys(cell.concepts for cell in cells))}
    sets = np.array([names[cell.concepts] for cell in cells])
    together = np.equal.outer(sets, sets) & (np.minimum.outer(extra, extra) > 0)
    slopes = np.outer(x, x)
    matrices = np.stack(
        [
            np.ones_like(slopes),
            slopes,
            np.outer(extra, extra),
            same_rank,
            shared,
            shared * np.exp(-np.abs(np.subtract.outer(x, x)) / REACH),
            shared * same_rank,
            together.astype(float),
            np.eye(len(cells)),
        ]
    )
    return Prior(matrices, SLOPE * x + SIZE * extra)


def _shares(cells: Sequence[AbilityCell]) -> Array:
    """(cells, concepts): 1 / |A| where the concept is of the cell's set, else 0."""
    names = {name: n for n, name in enumerate(dict.fromkeys(name for cell in cells for name in cell.concepts))}
    shares = np.zeros((len(cells), max(len(names), 1)))
    for row, cell in enumerate(cells):
        for name in cell.concepts:
            shares[row, names[name]] = 1.0 / len(cell.concepts)
    return shares


def paired(prior: Prior, alike: float = ALIKE) -> Prior:
    """The prior of two models at once, the second one's cells after the first one's.

    Either has this prior by itself; their logits in one cell have the correlation `alike`.
    """
    both = np.array([[1.0, alike], [alike, 1.0]])
    return Prior(np.stack([np.kron(both, matrix) for matrix in prior.matrices]), np.tile(prior.mean, 2))
