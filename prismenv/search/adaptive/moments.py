"""Integrals of one dimension: a normal belief about a logit, met by successes and failures."""

from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
POINTS = 24
_STEPS = 12


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(POINTS)  # Gauss-Hermite, for the standard normal
_LOG_WEIGHTS = np.log(_WEIGHTS / sqrt(2 * pi))


def sigmoid(value: Array) -> Array:
    """1 / (1 + exp(-value)), for any size of value."""
    return 0.5 * (1.0 + np.tanh(0.5 * value))


def logit(chance: float) -> float:
    """The value whose sigmoid is `chance`."""
    return log(chance / (1 - chance))


def tilted(mean: Array, variance: Array, solved: Array, trials: Array) -> tuple[Array, Array]:
    """Mean and variance of N(f; mean, variance) * sigmoid(f)^solved * (1 - sigmoid(f))^(trials - solved).

    Counts need not be whole. Quadrature around the mode, which is found by Newton's method; the density is log-concave.
    """
    mode = (mean / variance + 0.25 * trials * np.log((solved + 0.5) / (trials - solved + 0.5))) / (
        1 / variance + 0.25 * trials
    )
    curvature = 1 / variance
    for _ in range(_STEPS):
        chance = sigmoid(mode)
        curvature = 1 / variance + trials * chance * (1 - chance)
        step = ((mean - mode) / variance + solved - trials * chance) / curvature
        mode = mode + np.clip(step, -1.5, 1.5)
    spread = 1.1 / np.sqrt(curvature)  # a little wider: the density is skewed
    f = mode[:, None] + spread[:, None] * _NODES
    density = -0.5 * np.square(f - mean[:, None]) / variance[:, None]
    density += solved[:, None] * f - trials[:, None] * np.logaddexp(0.0, f)
    density += 0.5 * np.square(_NODES) + _LOG_WEIGHTS
    weight = np.exp(density - density.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    first = (weight * f).sum(axis=1)
    return first, (weight * np.square(f - first[:, None])).sum(axis=1)


def expected_chance(mean: Array, variance: Array) -> Array:
    """The mean of sigmoid(f) for f ~ N(mean, variance)."""
    return np.asarray((sigmoid(mean[:, None] + np.sqrt(variance)[:, None] * _NODES) * np.exp(_LOG_WEIGHTS)).sum(axis=1))
