"""pass@k: the chance that at least one of k samples of a problem passes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prismenv.scoring.intervals import wilson
from prismenv.scoring.problems import own_samples
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome
from prismenv.words.seeding import derive_random

USUAL_KS = (1, 10, 100)
RESAMPLES = 2000
Method = Literal["wilson", "bootstrap", "none"]


def pass_at_k(n: int, c: int, k: int) -> float:
    """The unbiased estimate of pass@k from `n` samples of one problem of which `c` passed.

    1 - C(n-c, k) / C(n, k), the share of draws of k samples that hold one that passed (Chen et al., arXiv:2107.03374).
    ConfigurationException where there are fewer than `k` samples: then there is no unbiased estimate.
    """
    if not 0 <= c <= n:
        raise ValueError(f"{c} passed out of {n} samples cannot be.")
    if k < 1 or n < k:
        raise ConfigurationException(
            f"pass@{k} cannot be estimated from {n} samples of a problem: expected 1 <= k <= {n}.",
            code="too_few_samples",
            hint=f"Take a k up to {n}, or give more samples per problem.",
        )
    all_draws = math.comb(n, k)
    return (all_draws - math.comb(n - c, k)) / all_draws  # of integers, so correctly rounded however large they are


@dataclass(frozen=True, slots=True)
class PassEstimate:
    """pass@k over a set of problems, with an interval of 95 %.

    `method` says how the interval was made: `wilson` over the problems where each problem has one sample (or all
    problems have the same estimate, where resampling would claim certainty), `bootstrap` clustered by problem
    otherwise (samples of one problem are not independent), `none` where nothing was measured. `left_out` counts the
    problems with fewer than k samples.
    """

    k: int
    value: float | None
    low: float
    high: float
    problems: int
    samples: int
    method: Method
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "k": self.k,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "problems": self.problems,
            "samples": self.samples,
            "method": self.method,
            "left_out": self.left_out,
        }


def estimate_pass(counts: Sequence[tuple[int, int]], k: int, seed: int = 0) -> PassEstimate:
    """pass@k from (samples, passed) of each problem; the mean over problems, each weighing the same.

    The seed makes the bootstrap repeatable. Problems with fewer than `k` samples are left out and counted.
    """
    used = [pair for pair in counts if pair[0] >= k]
    left_out = len(counts) - len(used)
    if not used:
        return PassEstimate(k, None, 0.0, 1.0, 0, 0, "none", left_out)
    values = [pass_at_k(n, c, k) for n, c in used]
    mean = math.fsum(values) / len(values)
    method: Method = "wilson" if all(n == 1 for n, _ in used) or min(values) == max(values) else "bootstrap"
    low, high = wilson(math.fsum(values), len(values)) if method == "wilson" else _bootstrap(values, seed, k)
    return PassEstimate(k, mean, low, high, len(values), sum(n for n, _ in used), method, left_out)


def _bootstrap(values: Sequence[float], seed: int, k: int) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of the mean over problems drawn with replacement."""
    random = derive_random(seed, "pass@k", k)
    size = len(values)
    means = sorted(math.fsum(random.choices(values, k=size)) / size for _ in range(RESAMPLES))
    edge = round(0.025 * RESAMPLES)
    return means[edge], means[-edge - 1]


class SampleCounts:
    """Samples and passes of each problem of a run, gathered node by node.

    A problem is a node's `problem_id` if its result has one, else the node's id: the same problem measured again adds
    samples. A result that counts its own samples says so with the keys `samples` and `passed`; any other result is one
    sample. Nodes that say nothing about the candidate are left out. `counted` is true once a result counted its own.
    """

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}
        self.counted = False

    def add(self, outcome: NodeOutcome) -> None:
        """Count one node."""
        result = outcome.result
        if result is None:
            return
        counts = own_samples(result)
        self.counted = self.counted or counts is not None
        n, c = counts or ((1, int(outcome.success)) if outcome.measured else (0, 0))
        if n:
            key = str(result.get("problem_id") or outcome.request.node_id)
            known_n, known_c = self._counts.get(key, (0, 0))
            self._counts[key] = (known_n + n, known_c + c)

    def counts(self) -> list[tuple[int, int]]:
        """(samples, passed) of each problem, in the order of their first node."""
        return list(self._counts.values())

    def estimates(self, ks: Iterable[int] | None = None, seed: int = 0) -> list[PassEstimate]:
        """An estimate for each of `ks` that at least half of the problems have samples for.

        `ks` None: 1, 10, 100, and the number of samples that every problem has.
        """
        counts = self.counts()
        if ks is None:
            ks = sorted({*USUAL_KS, min((n for n, _ in counts), default=1)})
        return [estimate_pass(counts, k, seed) for k in ks if 2 * sum(n >= k for n, _ in counts) >= len(counts) > 0]
