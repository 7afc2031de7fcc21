"""What is believed of all cells after measuring: a Gaussian, by expectation propagation.

Each cell's results stand as a site, a normal factor with precision `t` and precision times mean `v`, such that the
cell's marginal has the moments that its exact binomial likelihood would give it (Minka 2001; Rasmussen and Williams,
Gaussian Processes for Machine Learning, 3.6). `observe` mends one site and takes O(cells^2): a change of rank one.
`refit` mends all of them until they rest, in rounds of O(cells^3) between which results may be observed.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prismenv.search.adaptive.moments import tilted
from prismenv.search.adaptive.triangles import solve_lower

Array = NDArray[np.float64]
_ROUNDS = 30
_REST = 1e-3  # logits: the largest change of a mean in the last round
_LEAST = 1e-9


class Posterior:
    """Mean and covariance of the logits of all cells."""

    def __init__(self, mean: Array, covariance: Array) -> None:
        size = len(mean)
        self._prior_mean = mean
        self._prior = covariance
        self.mean: Array = mean.copy()
        self.covariance: Array = covariance.copy()
        self.solved: Array = np.zeros(size)
        self.trials: Array = np.zeros(size)
        self._t: Array = np.zeros(size)
        self._v: Array = np.zeros(size)
        self._partial_t: Array = np.zeros(size)
        self._partial_v: Array = np.zeros(size)

    @property
    def variance(self) -> Array:
        """Of each cell."""
        return np.maximum(np.diagonal(self.covariance), _LEAST)

    @property
    def sites(self) -> tuple[Array, Array]:
        """Precisions, and precisions times means, of all that was measured."""
        return self._t + self._partial_t, self._v + self._partial_v

    def observe(self, cell: int, solved: float, trials: float, partial: tuple[float, float] = (0.0, 0.0)) -> None:
        """Take these totals of one cell: effective counts, and the normal factor (t, v) of its partial credit."""
        self.solved[cell], self.trials[cell] = solved, trials
        change = (partial[0] - float(self._partial_t[cell]), partial[1] - float(self._partial_v[cell]))
        self._partial_t[cell], self._partial_v[cell] = partial
        self._shift(cell, *change)
        t, v = self._sites(np.array([cell]))
        change = (float(t[0] - self._t[cell]), float(v[0] - self._v[cell]))
        self._t[cell], self._v[cell] = t[0], v[0]
        self._shift(cell, *change)

    def set_counts(self, solved: Array, trials: Array) -> None:
        """Replace the effective counts of all cells; `refit` brings them to bear."""
        self.solved, self.trials = solved.copy(), trials.copy()

    def set_partial(self, t: Array, v: Array) -> None:
        """Replace the normal factors of partial credit; `refit` brings them to bear."""
        self._partial_t, self._partial_v = t.copy(), v.copy()

    def set_prior(self, mean: Array, covariance: Array) -> None:
        """Replace the prior; `refit` brings it to bear."""
        self._prior_mean, self._prior = mean, covariance

    def refit(self) -> Iterator[None]:
        """Mend all sites at once until they rest, and what follows from them, pausing after each round.

        Mean and covariance fit the sites at each pause.
        """
        self._recompute()
        seen = np.flatnonzero(self.trials > 0)
        damping = 0.8
        for _ in range(_ROUNDS if len(seen) else 0):
            yield
            before = self.mean.copy()
            t, v = self._sites(seen)
            self._t[seen] += damping * (t - self._t[seen])
            self._v[seen] += damping * (v - self._v[seen])
            self._recompute()
            if np.abs(self.mean - before).max() < _REST:
                return
            damping *= 0.95

    def _sites(self, cells: NDArray[np.intp]) -> tuple[Array, Array]:
        """The sites that give these cells the moments of their exact likelihoods."""
        variance = np.maximum(self.covariance[cells, cells], _LEAST)
        precision = np.maximum(1 / variance - self._t[cells], _LEAST)  # the cavity: all but the site
        mean = (self.mean[cells] / variance - self._v[cells]) / precision
        first, second = tilted(mean, 1 / precision, self.solved[cells], self.trials[cells])
        t = np.maximum(1 / second - precision, 0.0)
        return t, np.where(self.trials[cells] > 0, first / second - mean * precision, 0.0)

    def _shift(self, cell: int, t: float, v: float) -> None:
        """Add (t, v) to the natural parameters of one cell."""
        column = self.covariance[:, cell].copy()
        scale = 1 + t * float(column[cell])
        self.mean += column * ((v - t * float(self.mean[cell])) / scale)
        if t:
            self.covariance -= np.outer(column * (t / scale), column)

    def _recompute(self) -> None:
        """Mean and covariance from prior and sites: R&W (3.53) with a prior mean."""
        t, v = self.sites
        seen = np.flatnonzero(t > 0)
        rows = self._prior[seen]
        inner = rows.copy() if len(seen) == len(t) else rows[:, seen]
        inner[np.diag_indices_from(inner)] += 1 / t[seen]
        white = solve_lower(np.asarray(np.linalg.cholesky(inner), dtype=float), rows)
        self.covariance = self._prior - white.T @ white
        self.mean = self._prior_mean + self.covariance @ (v - t * self._prior_mean)
