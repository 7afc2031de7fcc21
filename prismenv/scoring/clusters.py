"""How much independent evidence there is where one problem was measured several times."""

import math
from collections import Counter
from collections.abc import Iterable

from prismenv.scoring.intervals import wilson


def effective_size(clusters: Iterable[tuple[float, int]]) -> float:
    """How many independent measurements are worth as much as these (successes, measurements) of each problem.

    n divided by the design effect: the variance of the rate with problems as clusters (the ratio estimator's, with
    k/(k-1) for k clusters) over that of as many independent measurements; Kish, Survey Sampling (1965), section 8.2.
    The design effect is held between 1, since repeating a problem is never worth more than another problem, and its
    value for measurements of a problem that all agree, sum(m^2)/sum(m); that one is also taken where nothing tells
    (one problem, or a rate of 0 or 1). So n where each problem was measured once, and never less than the number of
    problems where all were measured equally often.
    """
    sizes = list(clusters)
    total = sum(count for _, count in sizes)
    if not total:
        return 0.0
    most = sum(count * count for _, count in sizes) / total
    rate = math.fsum(passed for passed, _ in sizes) / total
    number = len(sizes)
    if number < 2 or not 0 < rate < 1:  # noqa: PLR2004 - one cluster has no variance
        return total / most
    spread = math.fsum((passed - rate * count) ** 2 for passed, count in sizes)
    clustered = number / (number - 1) * spread / (total * total)
    independent = rate * (1 - rate) / total
    return total / min(max(clustered / independent, 1.0), most)


def clustered_interval(values: Iterable[tuple[str, float]], confidence: float = 0.95) -> tuple[float, float, float]:
    """The interval of a rate from (problem, value) of each measurement, and the effective number of measurements.

    Wilson's interval with the effective size in the place of n, as Korn and Graubard (Survey Methodology 24 (1998)
    193-201) do with the exact one; Dean and Pagano (Journal of Survey Statistics and Methodology 3 (2015) 484-503)
    find Wilson's form close to its level down to few clusters. It is Wilson's own where no problem was repeated.
    """
    passed: dict[str, list[float]] = {}
    for problem, value in values:
        passed.setdefault(problem, []).append(value)
    counts = Counter({problem: len(found) for problem, found in passed.items()})
    total = counts.total()
    if not total:
        return 0.0, 1.0, 0.0
    size = effective_size((math.fsum(found), len(found)) for found in passed.values())
    solved = math.fsum(value for found in passed.values() for value in found)
    low, high = wilson(min(solved * size / total, size), size, confidence)
    return low, high, size
