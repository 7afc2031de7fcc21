"""Ability profiles of the simulated model: how often it is right, what its mistakes look like, how it writes.

A profile's figure for a node is the chance that the whole node succeeds, since that is what is measured and published:
up to three attempts of the solver, then the fixer. `first_attempt_chance` says how it is taken apart.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from prismenv.simulated.bank import DIFFICULTIES
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel
from prismenv.words.nearness import nearest

FOLDER = Path(__file__).with_name("profiles")
ATTEMPTS = 3  # of the solver in one node, as in the published runs
Chance = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Mistake = Literal["mutant", "timeout", "crash", "syntax", "prose"]
Disturbance = Literal["unavailable", "empty", "garbage", "huge", "other_language"]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Profile(FrozenModel):
    """One simulated model.

    `cells` gives the chance of success by concept and difficulty, `combinations` by sorted concepts joined with `+`;
    `by_difficulty` and at last `ability` stand in where those say nothing. `feedback` and `fixing` scale the chance to
    be right of a later attempt and of the fixer. `mistakes` are weights, `disturbances` chances of an answer that is
    none. `false_alarms` is how often the test validator complains for nothing. `source` says where figures come from.
    """

    name: str
    summary: str
    source: str
    ability: Chance
    by_difficulty: dict[str, Chance] = Field(default_factory=dict)
    cells: dict[str, dict[str, Chance]] = Field(default_factory=dict)
    combinations: dict[str, Chance] = Field(default_factory=dict)
    feedback: Chance = 0.5
    fixing: Chance = 0.5
    mistakes: dict[Mistake, Weight] = Field(default={"mutant": 1.0})
    disturbances: dict[Disturbance, Chance] = Field(default_factory=dict)
    false_alarms: Chance = 0.0
    latency_seconds: Annotated[float, Field(ge=0)] = 0.0

    def success_chance(self, concepts: Sequence[str], difficulty: str) -> float:
        """The chance that a node of these concepts and this difficulty succeeds.

        The figure of exactly this cell or combination; combinations are published over all difficulties, and so theirs
        holds at each. A combination without a figure is as hard as the hardest of its concepts alone (minimum).
        A concept without a figure counts as the mean of the known ones at that difficulty.
        """
        joined = "+".join(sorted(concepts))
        if joined in self.combinations:
            return self.combinations[joined]
        known = [self.cells[concept].get(difficulty) for concept in concepts if concept in self.cells]
        figures = [figure for figure in known if figure is not None]
        if figures and len(figures) == len(concepts):
            return min(figures)
        return min([*figures, self._usual(difficulty)])

    def _usual(self, difficulty: str) -> float:
        if difficulty in self.by_difficulty:
            return self.by_difficulty[difficulty]
        column = [row[difficulty] for row in self.cells.values() if difficulty in row]
        return sum(column) / len(column) if column else self.ability


def node_chance(first: float, feedback: float, fixing: float) -> float:
    """The chance that a node succeeds when its first attempt does with chance `first`.

    Later attempts are right with chance `feedback * first`, the fixer with `fixing * first`, all independently:
    1 - (1 - p) * (1 - feedback * p) ** (ATTEMPTS - 1) * (1 - fixing * p).
    """
    return 1 - (1 - first) * (1 - feedback * first) ** (ATTEMPTS - 1) * (1 - fixing * first)


@cache
def first_attempt_chance(success: float, feedback: float, fixing: float) -> float:
    """The `first` for which node_chance gives `success`, by bisection; node_chance grows with it from 0 to 1."""
    if success in (0.0, 1.0):
        return success
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if node_chance(middle, feedback, fixing) < success:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def profile_names() -> tuple[str, ...]:
    """All profiles, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_profile(name: str) -> Profile:
    """The profile `name`; case and punctuation do not matter: `GPT4o` is `gpt-4o`. ConfigurationException if none."""
    names = {_plain(known): known for known in profile_names()}
    if _plain(name) in names:
        return _read_profile(FOLDER / f"{names[_plain(name)]}.yaml")
    near = nearest(_plain(name), names, cutoff=0.5)
    hint = f" Did you mean simulated/{names[near]}?" if near else ""
    raise ConfigurationException(
        f"there is no simulated model {name!r}; the profiles are {', '.join(names.values())}.{hint}",
        code="unknown_model",
        subject=f"simulated/{name}",
    )


@cache
def _read_profile(path: Path) -> Profile:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - one of the two safe loaders
        profile = Profile.model_validate({"name": path.stem, **data})
    except (OSError, TypeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigurationException(f"the ability profile {path} cannot be read: {error}") from error
    _check_difficulties(profile, path)
    return profile


def _check_difficulties(profile: Profile, path: Path) -> None:
    rows: Mapping[str, Mapping[str, float]] = {"by_difficulty": profile.by_difficulty, **profile.cells}
    for row, figures in rows.items():
        unknown = sorted(set(figures) - set(DIFFICULTIES))
        if unknown:
            raise ConfigurationException(
                f"the ability profile {path}: {row} names {unknown[0]!r}; allowed are {', '.join(DIFFICULTIES)}"
            )


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
