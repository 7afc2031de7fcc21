"""Confidence intervals of proportions."""

import math
from statistics import NormalDist


def wilson(successes: float, total: float, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of `successes` out of `total`, within 0 and 1; (0, 1) where nothing was measured.

    Wilson, Journal of the American Statistical Association 22 (1927) 209-212. Unlike the normal approximation it is
    right for few samples and at rates of 0 and 1. ValueError for counts that cannot be.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes out of {total} cannot be: expected 0 <= successes <= total.")
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence of {confidence} cannot be: expected a number between 0 and 1.")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / total
    weight = 1 + z * z / total
    middle = (rate + z * z / (2 * total)) / weight
    half = z / weight * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    # At the ends the formula gives exactly 0 and 1; rounding must not make it say otherwise.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == total else min(1.0, middle + half)
    return low, high
