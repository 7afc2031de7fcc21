"""What asking a cell once more is expected to tell.

Asking cell i has, near its mean, the worth of a normal measurement with variance s_i = 1 / (p_i (1 - p_i) w_i), w_i the
effective answers that it brings. With target j a cell, or the difference of two models in a cell, and C_ji the
covariance of target and asked cell, it shifts j's mean by N(0, d_ji^2), d_ji^2 = C_ji^2 / (C_ii + s_i), and lowers j's
variance by as much. What that is good for depends on the objective:

threshold   P_j, the chance that j lies under the threshold, moves; summed over cells, E[P_j (1 - P_j)] falls by
            Phi2(h, h; r) - Phi(h)^2 with h = (t - m_j) / sd_j and r = d_ji^2 / V_j: the stepwise uncertainty reduction
            of Bect et al. (2012) and Chevalier et al. (2014), here by the first two terms of the tetrachoric series.
ability     the variance of the mean of all p_j falls by (sum_j p_j (1 - p_j) C_ji)^2 / (n^2 (C_ii + s_i)).
difference  the sum of the variances of p_j - q_j, over the cells of two models, falls by the sum of the squares of
            p_j (1 - p_j) C_ji - q_j (1 - q_j) C'_ji, over C_ii + s_i.
"""

from math import pi

import numpy as np
from numpy.typing import NDArray

from prismenv.search.adaptive.moments import sigmoid

Array = NDArray[np.float64]


def middle_chance(mean: Array, variance: Array) -> Array:
    """About E[sigmoid(f)], quickly (MacKay 1992)."""
    return sigmoid(mean / np.sqrt(1 + pi * variance / 8))


def answer_variance(mean: Array, variance: Array, gain: Array) -> Array:
    """s_i of each cell."""
    chance = middle_chance(mean, variance)
    return 1 / (chance * (1 - chance) * np.maximum(gain, 1e-6))


def expect(covariance: Array, cells: NDArray[np.intp], noise: Array) -> Array:
    """The covariance once answers from these cells are there: one answer each, with these variances."""
    if not len(cells):
        return covariance
    rows = covariance[cells]
    inner = rows[:, cells] + np.diag(noise)
    return np.asarray(covariance - rows.T @ np.linalg.solve(inner, rows))


def threshold_gain(mean: Array, covariance: Array, noise: Array, threshold: float) -> Array:
    """How much the summed P (1 - P) is expected to fall, for asking each cell."""
    variance = np.maximum(np.diagonal(covariance), 1e-9)
    square = np.square(threshold - mean) / variance
    bell = np.exp(-square) / (2 * pi)
    share = np.square(covariance)
    share /= variance[:, None]
    share /= (variance + noise)[None, :]  # r of target j (row) when i (column) is asked
    gain = bell @ share
    share *= share
    gain += (bell * square / 2) @ share
    return np.asarray(gain)


def ability_gain(mean: Array, covariance: Array, noise: Array) -> Array:
    """How much the variance of mean ability is expected to fall."""
    variance = np.diagonal(covariance)
    return np.asarray(np.square(ability_slope(mean, variance) @ covariance) / (variance + noise))


def ability_slope(mean: Array, variance: Array) -> Array:
    """The derivative of mean ability by each cell's logit."""
    chance = middle_chance(mean, variance)
    return chance * (1 - chance) / len(mean)


def difference_gain(mean: Array, covariance: Array, noise: Array) -> Array:
    """How much the summed variance of differences is expected to fall, for asking each cell of the first model.

    The second model's cells are the second half of the rows; `noise` is of the first half.
    """
    half = len(mean) // 2
    variance = np.diagonal(covariance)
    chance = middle_chance(mean, variance)
    weighted = (chance * (1 - chance))[:, None] * covariance[:, :half]
    shift = weighted[:half] - weighted[half:]
    return np.asarray(np.square(shift).sum(axis=0) / (variance[:half] + noise))
