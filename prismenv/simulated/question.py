"""What one request to the simulated model asks, read from its inputs and labels, or else from its messages."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

from prismenv.simulated.bank import CONCEPTS, DIFFICULTIES
from prismenv.words.chat import ChatRequest

# Longest first: `very easy` contains `easy`.
_DIFFICULTY = re.compile("|".join(sorted((level.replace(" ", r"[\s_-]+") for level in DIFFICULTIES), key=len)[::-1]))
_CONCEPT = re.compile("|".join(rf"\b{concept.replace('_', '[ _-]')}\b" for concept in CONCEPTS))
_CONCEPT_LINE = re.compile(r"(?im)^.*\bconcepts?\b.*$")
_DIFFICULTY_LINE = re.compile(r"(?im)^.*\b(?:difficulty|level)\b.*$")


@dataclass(frozen=True, slots=True)
class Question:
    """A request together with the generator that decides its answer."""

    request: ChatRequest
    random: Random

    def text(self, name: str) -> str:
        """The input `name` as text; empty where the request has none."""
        value = self.request.inputs.get(name)
        if value is None:
            return ""
        return value if isinstance(value, str) else "\n\n".join(map(str, as_list(value)))

    def turns(self) -> Iterable[str]:
        """What the user said, last turn first."""
        return (message.content for message in reversed(self.request.messages) if message.role == "user")

    def is_repeated(self) -> bool:
        """True when the question follows a failed answer of the same session."""
        inputs = self.request.inputs
        return "error_feedback" in inputs or (not inputs and len(list(self.turns())) > 1)

    def last_turn(self) -> str:
        """The user's last message; empty where there is none."""
        return next(iter(self.turns()), "")

    def label_concepts(self) -> tuple[str, ...]:
        """The concepts that the session is about, sorted; empty when its labels do not say."""
        return _names(self.request.labels.get("concepts"))

    def label_difficulty(self) -> str:
        """The difficulty that the session is about; empty when its labels do not say."""
        return str(self.request.labels.get("difficulty") or "")

    def concepts(self) -> tuple[str, ...]:
        """The concepts asked for, sorted; empty when nothing names any."""
        given = _names(self.request.inputs.get("concepts")) or self.label_concepts()
        if given:
            return given
        text = self.last_turn()
        lines = [match.group() for match in _CONCEPT_LINE.finditer(text)]
        for place in [*lines, text]:
            found = {_plain(match) for match in _CONCEPT.findall(place.casefold())}
            if found:
                return tuple(sorted(found))
        return ()

    def difficulty(self) -> str:
        """The difficulty asked for; empty when nothing names one."""
        given = str(self.request.inputs.get("difficulty_level") or "").strip() or self.label_difficulty()
        if given:
            return given
        text = self.last_turn()
        lines = [match.group() for match in _DIFFICULTY_LINE.finditer(text)]
        for place in [*lines, text]:
            match = _DIFFICULTY.search(place.casefold())
            if match:
                return re.sub(r"[\s_-]+", " ", match.group())
        return ""


def as_list(value: Any) -> list[Any]:
    """`value` as a list: sequences and sets (sorted) by their items, anything else alone."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return [value]


def seed_of(request: ChatRequest) -> int:
    """The request's seed; a digest of what it says where it has none, so that equal questions get equal answers."""
    if request.seed is not None:
        return request.seed
    digest = blake2b(request.role.encode(), digest_size=8)
    for message in request.messages:
        digest.update(b"\x1f")
        digest.update(message.content.encode(errors="replace"))
    return int.from_bytes(digest.digest(), "big") >> 1


def _names(given: Any) -> tuple[str, ...]:
    parts = [part for name in as_list(given or ()) for part in re.split(r"[,+;]", str(name))]
    return tuple(sorted({_plain(part) for part in parts} - {""}))


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())
