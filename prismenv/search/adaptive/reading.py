"""The map as it is believed: chances with intervals, what is decided, and whether that is precise enough."""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from prismenv.contracts.recipe import SearchSettings
from prismenv.search.adaptive.acquisition import ability_slope, middle_chance
from prismenv.search.adaptive.moments import expected_chance, logit, sigmoid
from prismenv.search.adaptive.posterior import Posterior

Array = NDArray[np.float64]
_ROUNDING = 1e-9  # effective counts are sums of fractions
_END = 0.02


@dataclass(frozen=True, slots=True)
class Intervals:
    """Central credible intervals; `decided` where what is asked lies outside of it."""

    low: Array
    high: Array
    middle: Array
    decided: NDArray[np.bool_]

    def known(self, half_width: float) -> float:
        """The share of what is decided, or known to plus or minus `half_width`."""
        return float((self.decided | ((self.high - self.low) / 2 <= half_width)).mean())


def quantile(confidence: float) -> float:
    """Standard deviations to either side of a central interval."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def cell_intervals(posterior: Posterior, count: int, threshold: float, confidence: float) -> Intervals:
    """Of the chances of the first `count` cells; decided where the threshold lies outside.

    A logit never says 0 nor 1. So a measured cell in which nothing was solved has an interval from 0, one in which
    everything was has one to 1, as is usual for Bayesian intervals of a proportion (Brown, Cai and DasGupta 2001, 4.1);
    and an interval that comes nearer than 0.02 to an end includes it.
    """
    mean, reach = posterior.mean[:count], quantile(confidence) * np.sqrt(posterior.variance[:count])
    solved, trials = posterior.solved[:count], posterior.trials[:count]
    low, high = sigmoid(mean - reach), sigmoid(mean + reach)
    low[((trials > 0) & (solved <= _ROUNDING)) | (low < _END)] = 0.0
    high[((trials > 0) & (solved >= trials - _ROUNDING)) | (high > 1 - _END)] = 1.0
    return Intervals(
        low, high, expected_chance(mean, posterior.variance[:count]), (high < threshold) | (low > threshold)
    )


def difference_intervals(posterior: Posterior, count: int, confidence: float) -> Intervals:
    """Of first minus second model, cell by cell, linearised; decided where 0 lies outside."""
    chance = middle_chance(posterior.mean, posterior.variance)
    slope = chance * (1 - chance)
    first, second = slope[:count], slope[count:]
    covariance = posterior.covariance
    cross = np.diagonal(covariance[:count, count:])
    variance = (
        first**2 * posterior.variance[:count] + second**2 * posterior.variance[count:] - 2 * first * second * cross
    )
    reach = quantile(confidence) * np.sqrt(np.maximum(variance, 0.0))
    middle = chance[:count] - chance[count:]
    low, high = np.maximum(middle - reach, -1.0), np.minimum(middle + reach, 1.0)
    return Intervals(low, high, middle, (high < 0) | (low > 0))


def ability_interval(posterior: Posterior, count: int, confidence: float) -> tuple[float, float, float]:
    """Mean ability over the first `count` cells, each weighing the same, and its interval."""
    mean, variance = posterior.mean[:count], posterior.variance[:count]
    slope = ability_slope(mean, variance)
    reach = quantile(confidence) * sqrt(max(float(slope @ posterior.covariance[:count, :count] @ slope), 0.0))
    middle = float(expected_chance(mean, variance).mean())
    return middle, max(middle - reach, 0.0), min(middle + reach, 1.0)


def known_share(posterior: Posterior, count: int, settings: SearchSettings) -> float | None:
    """The share of cells that is known as `search.stop` asks, for mean ability 0 or 1; None where it asks nothing."""
    stop = settings.stop
    if stop.interval is None:
        return None
    if settings.objective == "ability":
        _, low, high = ability_interval(posterior, count, stop.confidence)
        return float((high - low) / 2 <= stop.interval)
    if settings.objective == "difference":
        return difference_intervals(posterior, count, stop.confidence).known(stop.interval)
    return cell_intervals(posterior, count, settings.threshold, stop.confidence).known(stop.interval)


def precision(posterior: Posterior, count: int, settings: SearchSettings) -> bool:
    """True when the objective is known to what `search.stop` asks for; never where that is None."""
    known = known_share(posterior, count, settings)
    return known is not None and known >= settings.stop.share


def chance_under(posterior: Posterior, count: int, threshold: float) -> list[float]:
    """The chance that each of the first `count` cells lies under the threshold."""
    gap = (logit(threshold) - posterior.mean[:count]) / np.sqrt(posterior.variance[:count])
    normal = NormalDist()
    return [normal.cdf(float(value)) for value in gap]
