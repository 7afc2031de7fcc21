"""How far the intervals and tests of reports and comparisons keep what they promise, by simulation.

    python benchmarks/figures.py            2,000 trials of each
    python benchmarks/figures.py 10000

For each it prints how often the interval of 95 % holds the truth, beside what the plain way would reach, and how often
two equal models are told apart. Nothing is measured but arithmetic; the same number of trials gives the same figures.
"""

import random
import sys
from collections.abc import Callable

from prismenv.scoring.comparing import compare
from prismenv.scoring.differences import mantel_haenszel, newcombe, newcombe_paired, paired_bootstrap
from prismenv.scoring.intervals import wilson
from prismenv.scoring.measures import measure
from prismenv.scoring.problems import Score

TRIALS = 2000


def score(problem: str, value: float, concept: str = "c", difficulty: str = "easy") -> Score:
    """A measured problem."""
    return Score(problem, 0, problem, (concept,), difficulty, value == 1, value, "none" if value else "candidate")


def share(trials: int, seed: int, hits: Callable[[random.Random], bool]) -> float:
    """How often `hits` is true."""
    draw = random.Random(seed)
    return sum(hits(draw) for _ in range(trials)) / trials


def clustered(problems: int, repeats: int, alike: float) -> tuple[Callable[[random.Random], bool], ...]:
    """Rates of problems that were measured several times; `alike` is the share of problems whose results all agree."""

    def sample(draw: random.Random) -> list[Score]:
        found = []
        for number in range(problems):
            fixed = float(draw.random() < 0.6) if draw.random() < alike else None
            values = [float(draw.random() < 0.6) if fixed is None else fixed for _ in range(repeats)]
            found += [score(f"p{number}", value) for value in values]
        return found

    def ours(draw: random.Random) -> bool:
        low, high = measure(sample(draw)).interval
        return low <= 0.6 <= high

    def plain(draw: random.Random) -> bool:
        scores = sample(draw)
        low, high = wilson(sum(found.value for found in scores), len(scores))
        return low <= 0.6 <= high

    return ours, plain


def pairs(problems: int, truth: float) -> tuple[Callable[[random.Random], bool], ...]:
    """The same problems by two models, the second solving each less often by `truth`."""

    def sample(draw: random.Random) -> list[tuple[bool, bool]]:
        rates = [draw.betavariate(0.8, 0.5) * (1 - truth) + truth for _ in range(problems)]
        return [(draw.random() < rate, draw.random() < rate - truth) for rate in rates]

    def ours(draw: random.Random) -> bool:
        found = sample(draw)
        table = [sum(pair == kind for pair in found) for kind in ((True, True), (True, False), (False, True))]
        low, high = newcombe_paired(*table, problems - sum(table))
        return low <= -truth <= high

    def bootstrap(draw: random.Random) -> bool:
        low, high = paired_bootstrap([float(b) - float(a) for a, b in sample(draw)], 1)
        return low <= -truth <= high

    return ours, bootstrap


def cells(count: int, each: int) -> tuple[Callable[[random.Random], bool], ...]:
    """Other problems of the same cells; the second model is worse by 0.1 in each and was asked the hard ones more."""

    def sample(draw: random.Random) -> list[tuple[float, float, float, float]]:
        strata = []
        for number in range(count):
            rate, more = draw.uniform(0.2, 0.9), 1 + 2 * (number % 2)
            rate = rate if number % 2 == 0 else 0.2 + (rate - 0.2) / 3
            first = sum(draw.random() < rate for _ in range(each))
            second = sum(draw.random() < rate - 0.1 for _ in range(each * more))
            strata.append((float(first), float(each), float(second), float(each * more)))
        return strata

    def ours(draw: random.Random) -> bool:
        _, low, high = mantel_haenszel(sample(draw))
        return low <= -0.1 <= high

    def pooled(draw: random.Random) -> bool:
        low, high = newcombe(*(sum(column) for column in zip(*sample(draw), strict=True)))
        return low <= -0.1 <= high

    return ours, pooled


def alarms(draw: random.Random, *, same: bool) -> bool:
    """Whether two equal models over 30 cells of 4 problems are told apart in any area."""
    runs = []
    for name in ("a", "b"):
        prefix = "p" if same else name
        found = []
        for number in range(120):
            concept, difficulty = f"c{number % 6}", f"d{number // 6 % 5}"
            found.append(score(f"{prefix}{number}", float(draw.random() < 0.6), concept, difficulty))
        runs.append(found)
    made = compare(*runs)
    return made is not None and any(item.status in ("regression", "improvement") for item in (made.total, *made.areas))


def main(trials: int) -> None:
    """Print the figures."""
    print(f"{'intervals of 95 %: how often they hold the truth':64}    ours   plain")
    for problems, repeats, alike in ((100, 1, 0.0), (10, 5, 0.0), (10, 5, 1.0), (40, 5, 0.5), (40, 5, 1.0)):
        ways = [share(trials, 1, way) for way in clustered(problems, repeats, alike)]
        label = f"rate: {problems} problems, {repeats} measurements each, {alike:.0%} of them alike"
        print(f"{label:64} {ways[0]:7.1%} {ways[1]:7.1%}")
    for problems, truth in ((20, 0.0), (50, 0.1), (200, 0.1)):
        ways = [share(trials if way == 0 else trials // 10, 2, by) for way, by in enumerate(pairs(problems, truth))]
        label = f"difference {truth:g}: {problems} problems by both (plain: bootstrap)"
        print(f"{label:64} {ways[0]:7.1%} {ways[1]:7.1%}")
    for count, each in ((50, 1), (10, 10)):
        ways = [share(trials, 3, way) for way in cells(count, each)]
        label = f"difference 0.1: {count} cells of {each} problems (plain: rates together)"
        print(f"{label:64} {ways[0]:7.1%} {ways[1]:7.1%}")
    for same in (True, False):
        label = f"equal models told apart, {'the same problems' if same else 'other problems of the same cells'}"
        print(f"{label:64} {share(trials // 4, 4, lambda draw, same=same: alarms(draw, same=same)):7.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS)
