"""Repeated measurements averaged, with their spread."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prismenv.scoring.problems import Score


@dataclass(frozen=True, slots=True)
class Spread:
    """The mean of several rates and how far they lie apart.

    `deviation` is the sample standard deviation, None for fewer than two. Each rate weighs the same.
    """

    rates: tuple[float, ...]
    mean: float | None
    deviation: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "number": len(self.rates),
            "rates": list(self.rates),
            "mean": self.mean,
            "deviation": self.deviation,
            "low": min(self.rates, default=None),
            "high": max(self.rates, default=None),
        }


def spread(rates: Sequence[float]) -> Spread:
    """Mean and spread of these rates."""
    if not rates:
        return Spread((), None, None)
    mean = math.fsum(rates) / len(rates)
    if len(rates) == 1:
        return Spread(tuple(rates), mean, None)
    variance = math.fsum((rate - mean) ** 2 for rate in rates) / (len(rates) - 1)
    return Spread(tuple(rates), mean, math.sqrt(variance))


def repeats(scores: Iterable[Score]) -> Spread | None:
    """The rates of the first, second, ... measurement of each node; None where most nodes were measured once.

    Of as many measurements as most nodes have, over the nodes that have so many: each rate is over the same nodes.
    """
    nodes: dict[str, dict[int, list[Score]]] = {}
    for score in scores:
        if score.measured:
            nodes.setdefault(score.node_id, {}).setdefault(score.index, []).append(score)
    most = int(statistics.median_low(list(map(len, nodes.values())) or [0]))
    if most < 2:  # noqa: PLR2004 - a repetition is the second
        return None
    rounds: list[list[Score]] = [[] for _ in range(most)]
    for times in nodes.values():
        if len(times) >= most:
            for place, index in enumerate(sorted(times)[:most]):
                rounds[place] += times[index]
    return spread([sum(score.solved for score in found) / len(found) for found in rounds])
