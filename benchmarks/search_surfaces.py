"""Models whose true ability is known: published surfaces, and random ones with planted weaknesses.

Looked at while the adaptive policy was made:

additive      Logits add up over concepts and difficulty, with normal interactions: what the adaptive policy's prior
              believes, drawn from a distribution of its own.
weakspots     Able everywhere, but for some concepts that break off at a difficulty, and pairs that fail although both
              concepts are mastered alone.
cliffs        Each concept is mastered up to a difficulty and lost beyond it (a steep curve between an upper and a lower
              plateau); a pair is as hard as its harder concept times a random factor; some cells are easier than their
              neighbours say.
skills        Concepts load on two hidden skills of the model, difficulty asks for more of them, with a chance to guess
              and one to slip (a 4PL item-response model); a pair needs the mean of its concepts' loadings and a little
              more.
published     The cells of a capability file as they are. Pairs are published over all difficulties: a pair's logit at a
              difficulty is that of its published figure, shifted as its two concepts are on average. Pairs without a
              figure take the lower concept's.

Held out, written when the policy was done and played once:

mosaic        Concepts fall into three hidden kinds. Each kind has a chance for each difficulty that walks at random,
              down more often than up, so that harder may be better; a concept's own chance is drawn around it. A pair
              needs both (the product of their chances), with some slack.
factors       The logits are a product of two hidden factors of the concept with two of the difficulty, and what is left
              of a cell is heavy-tailed; all of it lies between a chance to guess and one to slip. A pair is its harder
              concept and a drawn interaction.
kinds         Each concept has twelve hidden kinds of problem, and the model masters each kind up to a difficulty of its
              own, which is drawn around the concept's; the chance is the share of kinds that is mastered, between a
              chance to guess and one to slip. A pair's kind needs one of each concept.
"""

import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

CONCEPTS = (
    "algorithms",
    "conditionals",
    "data_structures",
    "dynamic_programming",
    "error_handling",
    "functions",
    "loops",
    "recursion",
    "searching",
    "sorting",
)
DIFFICULTIES = ("very easy", "easy", "medium", "hard", "very hard")
TUNING = ("additive", "weakspots", "cliffs", "skills", "published")
HELD_OUT = ("mosaic", "factors", "kinds")
Key = tuple[frozenset[str], str]


def logit(chance: float) -> float:
    """The log odds, of a chance kept away from 0 and 1."""
    kept = min(max(chance, 0.02), 0.98)
    return math.log(kept / (1 - kept))


def sigmoid(value: float) -> float:
    """The inverse of `logit`."""
    return 1 / (1 + math.exp(-value))


@dataclass(frozen=True)
class PlantedSurface:
    """One simulated model: the chance of success of each cell of the map."""

    family: str
    name: str
    chances: dict[Key, float]

    def chance(self, concepts: Iterable[str], difficulty: str) -> float:
        """Of any set of concepts; one beyond the map is as hard as the hardest pair, or concept, within it."""
        wanted = frozenset(concepts)
        if (wanted, difficulty) in self.chances:
            return self.chances[wanted, difficulty]
        parts = [chance for (known, at), chance in self.chances.items() if at == difficulty and known <= wanted]
        return min(parts, default=0.5)


def _groups(*, pairs: bool) -> list[tuple[str, ...]]:
    return [(name,) for name in CONCEPTS] + (list(combinations(CONCEPTS, 2)) if pairs else [])


def additive(number: int, *, pairs: bool) -> PlantedSurface:
    """A surface of the family that the policy was tuned on."""
    draw = random.Random(f"additive {number}")
    level, slope = draw.gauss(0.2, 1.0), draw.uniform(-4.5, -1.5)
    concept = {name: draw.gauss(0, draw.choice((0.4, 0.9))) for name in CONCEPTS}
    steep = {name: draw.gauss(0, 0.9) for name in CONCEPTS}
    rough = draw.choice((0.2, 0.5))
    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        together = draw.gauss(-0.3, 0.5) if len(group) > 1 else 0.0
        for rank, difficulty in enumerate(DIFFICULTIES):
            x = rank / 4 - 0.5
            value = sum(concept[name] + steep[name] * x for name in group) / len(group)
            chances[frozenset(group), difficulty] = sigmoid(level + slope * x + value + together + draw.gauss(0, rough))
    return PlantedSurface("additive", f"additive-{number}", chances)


def weakspots(number: int, *, pairs: bool) -> PlantedSurface:
    """A capable model with holes."""
    draw = random.Random(f"weakspots {number}")
    top, bottom = draw.uniform(0.85, 0.97), draw.uniform(0.55, 0.8)
    breaks = {name: draw.randrange(1, 5) for name in draw.sample(CONCEPTS, draw.randrange(2, 5))}
    bad = set(draw.sample(_groups(pairs=True)[len(CONCEPTS) :], 6))
    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        for rank, difficulty in enumerate(DIFFICULTIES):
            base = top + (bottom - top) * rank / 4
            broken = any(rank >= breaks.get(name, 9) for name in group) or (group in bad and rank >= 1)
            chances[frozenset(group), difficulty] = draw.uniform(0.05, 0.35) if broken else base - draw.uniform(0, 0.08)
    return PlantedSurface("weakspots", f"weakspots-{number}", chances)


def cliffs(number: int, *, pairs: bool) -> PlantedSurface:
    """A model that masters each concept up to some difficulty."""
    draw = random.Random(f"cliffs {number}")
    edge = {name: draw.uniform(0.5, 4.5) for name in CONCEPTS}
    high, low = draw.uniform(0.8, 0.95), draw.uniform(0.05, 0.2)

    def alone(name: str, rank: int) -> float:
        return low + (high - low) * sigmoid(2.5 * (edge[name] - rank))

    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        factor = draw.uniform(0.7, 1.05) if len(group) > 1 else 1.0
        for rank, difficulty in enumerate(DIFFICULTIES):
            chance = min(alone(name, rank) for name in group) * factor
            if draw.random() < 0.06:
                chance += draw.choice((-0.3, 0.3))
            chances[frozenset(group), difficulty] = min(max(chance, 0.03), 0.97)
    return PlantedSurface("cliffs", f"cliffs-{number}", chances)


def skills(number: int, *, pairs: bool) -> PlantedSurface:
    """A model with two hidden skills."""
    draw = random.Random(f"skills {number}")
    skill = (draw.gauss(0.3, 0.9), draw.gauss(0.3, 0.9))
    loads = {name: (draw.uniform(0.2, 1.4), draw.uniform(0.2, 1.4)) for name in CONCEPTS}
    easiness = {name: draw.gauss(0.4, 0.5) for name in CONCEPTS}
    guess, slip, step = draw.uniform(0.0, 0.12), draw.uniform(0.0, 0.12), draw.uniform(0.5, 1.1)
    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        reach = sum(easiness[name] + sum(a * s for a, s in zip(loads[name], skill, strict=True)) for name in group)
        for rank, difficulty in enumerate(DIFFICULTIES):
            value = reach / len(group) - 0.3 * (len(group) - 1) - step * (rank - 1.5) + draw.gauss(0, 0.25)
            chances[frozenset(group), difficulty] = guess + (1 - guess - slip) * sigmoid(value)
    return PlantedSurface("skills", f"skills-{number}", chances)


def mosaic(number: int, *, pairs: bool) -> PlantedSurface:
    """A model that knows some kinds of concepts, harder ones at times better."""
    draw = random.Random(f"mosaic {number}")
    kinds = []
    for _ in range(3):
        walk = [draw.uniform(0.35, 0.95)]
        for _ in DIFFICULTIES[1:]:
            walk.append(min(max(walk[-1] + draw.choice((-0.3, -0.2, -0.1, 0.15)), 0.05), 0.95))
        kinds.append(walk)
    alone: dict[tuple[str, int], float] = {}
    for name in CONCEPTS:
        kind = draw.choice(kinds)
        for rank, usual in enumerate(kind):
            alone[name, rank] = draw.betavariate(15 * usual, 15 * (1 - usual))
    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        slack = draw.uniform(0.2, 0.8) if len(group) > 1 else 0.0
        for rank, difficulty in enumerate(DIFFICULTIES):
            own = [alone[name, rank] for name in group]
            chances[frozenset(group), difficulty] = (1 - slack) * math.prod(own) + slack * min(own)
    return PlantedSurface("mosaic", f"mosaic-{number}", chances)


def factors(number: int, *, pairs: bool) -> PlantedSurface:
    """A model with two hidden factors, a chance to guess and one to slip."""
    draw = random.Random(f"factors {number}")
    guess, slip = draw.uniform(0.0, 0.15), draw.uniform(0.0, 0.15)
    level = draw.gauss(0.0, 0.6)
    across = [(1.6 - 0.8 * rank + draw.gauss(0, 0.4), draw.gauss(0, 1.0)) for rank in range(len(DIFFICULTIES))]
    own = {name: (draw.uniform(0.4, 1.6), draw.gauss(0, 0.8)) for name in CONCEPTS}

    def rest() -> float:  # Student's t with three degrees of freedom
        return 0.3 * draw.gauss(0, 1) / math.sqrt(draw.gammavariate(1.5, 2 / 3))

    alone = {
        (name, rank): level + sum(a * b for a, b in zip(own[name], across[rank], strict=True)) + rest()
        for name in CONCEPTS
        for rank in range(len(DIFFICULTIES))
    }
    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        together = draw.gauss(-0.3, 0.6) if len(group) > 1 else 0.0
        for rank, difficulty in enumerate(DIFFICULTIES):
            value = min(alone[name, rank] for name in group) + together
            chances[frozenset(group), difficulty] = guess + (1 - guess - slip) * sigmoid(value)
    return PlantedSurface("factors", f"factors-{number}", chances)


def kinds(number: int, *, pairs: bool) -> PlantedSurface:
    """A model that masters some kinds of problems and no others."""
    draw = random.Random(f"kinds {number}")
    guess, slip, level = draw.uniform(0.0, 0.1), draw.uniform(0.0, 0.1), draw.uniform(1.0, 3.5)
    reach: dict[str, list[float]] = {}
    for name in CONCEPTS:
        middle, spread = draw.gauss(level, 1.2), draw.choice((0.5, 1.5, 3.0))
        reach[name] = [draw.gauss(middle, spread) for _ in range(12)]
    chances: dict[Key, float] = {}
    for group in _groups(pairs=pairs):
        ways = [[draw.choice(reach[name]) for name in group] for _ in range(12)] if len(group) > 1 else None
        hardest = [min(way) for way in ways] if ways is not None else reach[group[0]]
        for rank, difficulty in enumerate(DIFFICULTIES):
            share = sum(each >= rank for each in hardest) / len(hardest)
            chances[frozenset(group), difficulty] = guess + (1 - guess - slip) * share
    return PlantedSurface("kinds", f"kinds-{number}", chances)


def published(file: Path, *, pairs: bool) -> list[PlantedSurface]:
    """The models of a capability file."""
    found = []
    for name, model in json.loads(file.read_text(encoding="utf-8"))["models"].items():
        alone = {
            (concept, difficulty): cell["success_rate"]
            for concept, row in model["cells"].items()
            for difficulty, cell in row.items()
        }
        known = {frozenset(key.split("+")): figure["success_rate"] for key, figure in model["pairs"].items()}
        chances: dict[Key, float] = {}
        for group in _groups(pairs=pairs):
            for difficulty in DIFFICULTIES:
                own = [alone[name, difficulty] for name in group]
                chances[frozenset(group), difficulty] = min(own)
                if len(group) > 1 and frozenset(group) in known:
                    usual = [logit(alone[name, at]) for name in group for at in DIFFICULTIES]
                    shift = sum(map(logit, own)) / len(own) - sum(usual) / len(usual)
                    chances[frozenset(group), difficulty] = sigmoid(logit(known[frozenset(group)]) + shift)
        found.append(PlantedSurface("published", name, chances))
    return found


def all_surfaces(file: Path | None, each: int, families: Iterable[str], *, pairs: bool) -> list[PlantedSurface]:
    """`each` random surfaces of each wanted family, and those of the file where there is one."""
    makers = {
        "additive": additive,
        "weakspots": weakspots,
        "cliffs": cliffs,
        "skills": skills,
        "mosaic": mosaic,
        "factors": factors,
        "kinds": kinds,
    }
    found = [makers[name](number, pairs=pairs) for name in families if name in makers for number in range(each)]
    if file is not None and "published" in families:
        found += published(file, pairs=pairs)
    return found
