"""The challenge bank of the simulated model: problems with a suite and a reference solution, all written for it.

The files stand in `bank/`: a list of challenges for each concept, and for combinations of concepts. They are read at
the first use, never at import: starting up must stay quick.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prismenv.words.errors import ConfigurationException
from prismenv.words.jsonkind import json_kind

CONCEPTS = (
    "loops",
    "conditionals",
    "functions",
    "data_structures",
    "algorithms",
    "error_handling",
    "recursion",
    "sorting",
    "searching",
    "dynamic_programming",
)
DIFFICULTIES = ("very easy", "easy", "medium", "hard", "very hard")
FOLDER = Path(__file__).with_name("bank")
# libyaml's loader is some ten times as fast; both are safe loaders, and they read the bank alike.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One problem. `concepts` are sorted; `tests` is a unittest suite that names `entry_point` as a global."""

    id: str
    title: str
    concepts: tuple[str, ...]
    difficulty: str
    entry_point: str
    statement: str
    solution: str
    tests: str


_KEYS = frozenset(spec.name for spec in fields(Challenge))


@dataclass(frozen=True, slots=True)
class Bank:
    """All challenges, sorted by id."""

    challenges: tuple[Challenge, ...]
    by_id: Mapping[str, Challenge]
    _cells: Mapping[tuple[tuple[str, ...], str], tuple[Challenge, ...]] = field(repr=False)

    def for_cell(self, concepts: Iterable[str], difficulty: str) -> tuple[Challenge, ...]:
        """The challenges of exactly these concepts (in any order) and this difficulty; empty when there is none."""
        return self._cells.get((tuple(sorted(concepts)), difficulty), ())


def make_bank(challenges: Iterable[Challenge]) -> Bank:
    """A bank of `challenges`; the same id or title twice is a ConfigurationException."""
    ordered = tuple(sorted(challenges, key=lambda challenge: challenge.id))
    for key in ("id", "title"):
        seen: dict[str, str] = {}
        for challenge in ordered:
            value = getattr(challenge, key)
            if value in seen:
                raise ConfigurationException(
                    f"the challenge bank has the {key} {value!r} twice, in {seen[value]} and {challenge.id}; rename one"
                )
            seen[value] = challenge.id
    cells: dict[tuple[tuple[str, ...], str], tuple[Challenge, ...]] = {}
    for challenge in ordered:
        cell = (challenge.concepts, challenge.difficulty)
        cells[cell] = (*cells.get(cell, ()), challenge)
    return Bank(ordered, {challenge.id: challenge for challenge in ordered}, cells)


def read_bank(folder: Path) -> Bank:
    """The bank in the YAML files of `folder`. A file or challenge that is wrong is a ConfigurationException."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigurationException(f"no challenge bank: {folder} holds no .yaml file; install prismenv again")
    return make_bank(challenge for path in paths for challenge in _read_file(path))


@cache
def load_bank() -> Bank:
    """The built-in bank, read once per process."""
    return read_bank(FOLDER)


def _read_file(path: Path) -> list[Challenge]:
    try:
        entries = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - one of the two safe loaders
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationException(f"the challenge bank's file {path} cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise ConfigurationException(f"{path}: a list of challenges was expected, not {json_kind(entries)}")
    return [_challenge(entry, f"{path}: challenge {number}") for number, entry in enumerate(entries, 1)]


def _challenge(entry: Any, where: str) -> Challenge:
    if not isinstance(entry, dict):
        raise ConfigurationException(f"{where}: a mapping was expected, not {json_kind(entry)}")
    if entry.keys() != _KEYS:
        missing, unknown = sorted(_KEYS - entry.keys()), sorted(map(str, entry.keys() - _KEYS))
        raise ConfigurationException(f"{where}: missing keys {missing}, unknown keys {unknown}")
    where = f"{where} ({entry['id']})"
    texts = {key: value for key, value in entry.items() if key != "concepts"}
    wrong = sorted(key for key, value in texts.items() if not isinstance(value, str) or not value.strip())
    if wrong:
        raise ConfigurationException(f"{where}: {', '.join(wrong)} must be text that is not empty")
    challenge = Challenge(concepts=_concepts(entry["concepts"], where), **texts)
    _check_references(challenge, where)
    return challenge


def _concepts(found: Any, where: str) -> tuple[str, ...]:
    if not isinstance(found, list) or not found or not set(map(str, found)) <= set(CONCEPTS):
        raise ConfigurationException(
            f"{where}: concepts is {found!r}; a list of some of {', '.join(CONCEPTS)} is allowed"
        )
    if len(set(found)) != len(found):
        raise ConfigurationException(f"{where}: concepts {found!r} names one twice")
    return tuple(sorted(found))


def _check_references(challenge: Challenge, where: str) -> None:
    if challenge.difficulty not in DIFFICULTIES:
        allowed: Sequence[str] = DIFFICULTIES
        raise ConfigurationException(
            f"{where}: difficulty is {challenge.difficulty!r}; allowed are {', '.join(allowed)}"
        )
    for key in ("statement", "solution", "tests"):
        if challenge.entry_point not in getattr(challenge, key):
            raise ConfigurationException(f"{where}: {key} never mentions the entry point {challenge.entry_point!r}")
    if challenge.statement.partition("\n")[0] != challenge.title:
        raise ConfigurationException(f"{where}: the first line of the statement must be the title {challenge.title!r}")
