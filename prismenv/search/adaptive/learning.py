"""How much the parts of the prior vary, learned from the run itself.

The evidence for a set of standard deviations is that of the sites taken as normal measurements: the density of their
means under N(prior mean, prior covariance + 1 / precision) (R&W 2.30 and 5.8). A normal prior over the logarithms keeps
what the data say nothing about where it is usual. One sweep tries a step down and up for each part in turn and keeps
what is best, so the same data always learn the same. It pauses after each step of about cells^3 / 3, for whoever has
other things to do in between.
"""

from collections.abc import Generator
from math import exp, log, pi

import numpy as np
from numpy.typing import NDArray

from prismenv.search.adaptive.prior import LEARNED, USUAL, Prior

Array = NDArray[np.float64]
STEP = 0.35  # of a logarithm: a factor of 1.4
BELIEF = 0.6  # standard deviation of the logarithm around the usual value
_BOUND = 1.8  # the largest distance from the usual logarithm: a factor of 6


def evidence(prior: Prior, deviations: Array, t: Array, v: Array) -> float:
    """The log evidence of these standard deviations for sites (t, v), with their own prior."""
    seen = np.flatnonzero(t > 0)
    inner = prior.covariance(deviations)[np.ix_(seen, seen)] + np.diag(1 / t[seen])
    gap = v[seen] / t[seen] - prior.mean[seen]
    return _belief(deviations) + _density(inner, gap, 1.0 + float((t[seen] * np.square(gap)).sum()))


def sweep(prior: Prior, deviations: Array, t: Array, v: Array) -> Generator[None, None, Array]:
    """One sweep over sites (t, v), step by step; it returns the standard deviations after it."""
    best = deviations.copy()
    seen = np.flatnonzero(t > 0)
    gap = v[seen] / t[seen] - prior.mean[seen]
    bound = 1.0 + float((t[seen] * np.square(gap)).sum())
    blocks = prior.matrices if len(seen) == len(t) else prior.matrices[:, seen[:, None], seen[None, :]]
    inner = np.tensordot(np.square(best), blocks, axes=1) + np.diag(1 / t[seen])
    yield
    score = _belief(best) + _density(inner, gap, bound)
    for part in range(len(best))[LEARNED]:
        for factor in (exp(-STEP), exp(STEP)):
            tried = best.copy()
            tried[part] *= factor
            if abs(log(tried[part] / USUAL[part])) > _BOUND:
                continue
            yield
            other = inner + (tried[part] ** 2 - best[part] ** 2) * blocks[part]
            found = _belief(tried) + _density(other, gap, bound)
            if found > score:
                best, score, inner = tried, found, other
                break
    return best


def _belief(deviations: Array) -> float:
    distance = np.log(deviations[LEARNED]) - np.log(np.array(USUAL)[LEARNED])
    return -0.5 * float(np.square(distance / BELIEF).sum())


def _density(inner: Array, gap: Array, bound: float) -> float:
    """The log density of `gap` under N(0, inner).

    One factorisation does: bordered by the gap, with a corner of at least gap' inner^-1 gap (`bound`), the last row of
    the factor is the gap whitened.
    """
    size = len(gap)
    bordered = np.empty((size + 1, size + 1))
    bordered[:size, :size] = inner
    bordered[size, :size] = bordered[:size, size] = gap
    bordered[size, size] = bound
    lower = np.linalg.cholesky(bordered)
    white = lower[size, :size]
    return -0.5 * float(white @ white) - float(np.log(np.diagonal(lower)[:size]).sum()) - 0.5 * size * log(2 * pi)
