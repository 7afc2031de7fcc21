"""Differences of success rates: intervals and tests, paired and not.

Every difference is `second - first`: negative where the second is worse.
"""

import math
import statistics
from collections.abc import Sequence
from statistics import NormalDist

from prismenv.scoring.intervals import wilson
from prismenv.words.seeding import derive_random

RESAMPLES = 2000
MOST_RESAMPLED = 1000  # problems: with more the normal distribution gives the same, and at once
Interval = tuple[float, float]
Stratum = tuple[float, float, float, float]  # successes and measurements of the first, then of the second


def newcombe(first: float, first_n: float, second: float, second_n: float, confidence: float = 0.95) -> Interval:
    """The interval of `second/second_n - first/first_n`, of independent samples; (-1, 1) where one is empty.

    Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10: the Wilson intervals of both rates, squared and
    added. Unlike the usual one it is right for few samples and for rates of 0 and 1.
    """
    if not first_n or not second_n:
        return -1.0, 1.0
    p, q = second / second_n, first / first_n
    p_low, p_high = wilson(second, second_n, confidence)
    q_low, q_high = wilson(first, first_n, confidence)
    return p - q - math.hypot(p - p_low, q_high - q), p - q + math.hypot(p_high - p, q - q_low)


def newcombe_paired(both: int, first_only: int, second_only: int, neither: int, confidence: float = 0.95) -> Interval:
    """The same where each problem was measured by both: how many both solved, only one of them, and neither.

    Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10: as for independent samples, less what both have
    in common, by the correlation phi (with its continuity correction where it is positive).
    """
    total = both + first_only + second_only + neither
    if not total:
        return -1.0, 1.0
    p, q = (both + second_only) / total, (both + first_only) / total
    p_low, p_high = wilson(both + second_only, total, confidence)
    q_low, q_high = wilson(both + first_only, total, confidence)
    phi = _phi(both, first_only, second_only, neither)

    def side(own: float, other: float) -> float:
        return math.sqrt(max(own * own - 2 * phi * own * other + other * other, 0.0))

    return max(-1.0, p - q - side(p - p_low, q_high - q)), min(1.0, p - q + side(p_high - p, q - q_low))


def _phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    scale = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    if not scale:
        return 0.0
    product = both * neither - first_only * second_only
    half = (both + first_only + second_only + neither) / 2
    return (max(product - half, 0.0) if product > 0 else product) / math.sqrt(scale)


def mantel_haenszel(strata: Sequence[Stratum], confidence: float = 0.95) -> tuple[float, float, float]:
    """The difference common to strata that were measured by both, and its interval.

    The Mantel-Haenszel risk difference: the mean of the strata's differences, each weighing n1*n2/(n1+n2). Its variance
    is Sato's (Biometrics 45 (1989) 1323-1324), which holds for few large strata and for many with one measurement each.
    Where that is 0 (nowhere one succeeded and the other did not) the interval is Newcombe's of the strata together,
    since nothing is ever that certain. Strata that only one of them has are passed over; (0, -1, 1) where none is left.
    """
    used = [stratum for stratum in strata if stratum[1] and stratum[3]]
    weight = math.fsum(n * m / (n + m) for _, n, _, m in used)
    if not weight:
        return 0.0, -1.0, 1.0
    value = math.fsum((b * n - a * m) / (n + m) for a, n, b, m in used) / weight
    p = math.fsum((m * m * a - n * n * b + n * m * (n - m) / 2) / (n + m) ** 2 for a, n, b, m in used)
    q = math.fsum((b * (n - a) + a * (m - b)) / (2 * (n + m)) for a, n, b, m in used)
    variance = (value * p + q) / weight**2
    if variance <= 0:
        first, first_n, second, second_n = (math.fsum(column) for column in zip(*used, strict=True))
        low, high = newcombe(first, first_n, second, second_n, confidence)
        return value, min(low, value), max(high, value)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(variance)
    return value, max(-1.0, value - half), min(1.0, value + half)


def mantel_haenszel_p(strata: Sequence[Stratum]) -> float:
    """The two-sided p-value of no difference in any stratum: the Cochran-Mantel-Haenszel test, without continuity.

    Mantel and Haenszel, Journal of the National Cancer Institute 22 (1959) 719-748. 1 where nothing tells.
    """
    gap, variance = 0.0, 0.0
    for a, n, b, m in strata:
        total = n + m
        if not n or not m or total < 2:  # noqa: PLR2004 - the variance of one measurement
            continue
        gap += b - (a + b) * m / total
        variance += n * m * (a + b) * (total - a - b) / (total * total * (total - 1))
    if variance <= 0:
        return 1.0
    return math.erfc(abs(gap) / math.sqrt(2 * variance))


def mcnemar(first_only: int, second_only: int) -> float:
    """The exact two-sided p-value of paired results: twice the smaller tail of a fair coin over the pairs that differ.

    McNemar, Psychometrika 12 (1947) 153-157, in its exact binomial form. 1 where no pair differs.
    """
    differing = first_only + second_only
    tail = sum(math.comb(differing, count) for count in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * tail / (1 << differing))


def fisher(first: int, first_n: int, second: int, second_n: int) -> float:
    """The two-sided p-value of Fisher's exact test: the chance of a table as unlikely as this, or more, by its margins.

    Fisher, Statistical Methods for Research Workers, 5th ed. (1934), section 21.02. 1 where one side is empty.
    """
    solved, total = first + second, first_n + second_n
    tables = range(max(0, solved - second_n), min(first_n, solved) + 1)
    ways = {a: math.comb(first_n, a) * math.comb(second_n, solved - a) for a in tables}
    return sum(way for way in ways.values() if way <= ways[first]) / math.comb(total, solved)


def paired_bootstrap(differences: Sequence[float], seed: int, confidence: float = 0.95) -> Interval:
    """The interval of the mean of the problems' differences: quantiles of means of problems drawn with replacement.

    The percentile bootstrap, clustered by problem (Efron and Tibshirani, An Introduction to the Bootstrap (1993),
    chapter 13; Davison and Hinkley, Bootstrap Methods (1997), section 3.8). The seed makes it repeatable. Where all
    differences are equal, resampling would claim certainty: the interval then allows for as many other problems as
    Wilson's interval of 0 in that many does, each as different as can be.
    """
    size = len(differences)
    if not size:
        return -1.0, 1.0
    if min(differences) == max(differences):
        other, value = wilson(0, size, confidence)[1], differences[0]
        return value - other * (value + 1), value + other * (1 - value)
    if size > MOST_RESAMPLED:
        half = NormalDist().inv_cdf(0.5 + confidence / 2) * statistics.stdev(differences) / math.sqrt(size)
        mean = math.fsum(differences) / size
        return max(-1.0, mean - half), min(1.0, mean + half)
    random = derive_random(seed, "paired bootstrap", size)
    means = sorted(math.fsum(random.choices(differences, k=size)) / size for _ in range(RESAMPLES))
    edge = round((1 - confidence) / 2 * RESAMPLES)
    return means[edge], means[-edge - 1]


def sign_flips(differences: Sequence[float], seed: int) -> float:
    """The two-sided p-value of paired differences: how often flipping their signs by chance gives as large a mean.

    The randomisation test of Fisher (The Design of Experiments (1935), section 21) by drawn flips; (b + 1) / (m + 1)
    as Phipson and Smyth (Statistical Applications in Genetics 9 (2010) 39) show, so that it is never 0.
    """
    moving = [difference for difference in differences if difference]
    if not moving:
        return 1.0
    if len(moving) > MOST_RESAMPLED:
        return math.erfc(abs(math.fsum(moving)) / math.sqrt(2 * math.fsum(gap * gap for gap in moving)))
    random = derive_random(seed, "sign flips", len(moving))
    observed = abs(math.fsum(moving)) - 1e-12
    hits = 0
    for _ in range(RESAMPLES):
        signs = random.getrandbits(len(moving))
        total = math.fsum(value if signs >> place & 1 else -value for place, value in enumerate(moving))
        hits += abs(total) >= observed
    return (hits + 1) / (RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given: below 0.05 for any true "no difference" 5 % of the time.

    Holm, Scandinavian Journal of Statistics 6 (1979) 65-70: the k-th smallest of m is multiplied by m - k + 1, and
    none is smaller than the one before it. Valid whatever the tests have in common.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
