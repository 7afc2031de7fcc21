"""Which challenge a text speaks of: the simulated model reads its prompt like any other model, and then remembers.

A line that is a title proposes a challenge, and its whole statement in the text settles it: quick, and the rule. What
was reflowed, indented or shortened on its way here is found by the entry point written as a call, together with
the statement or at least the title, whatever their white space and case.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from prismenv.simulated.bank import Bank, Challenge

_CALL = re.compile(r"\b([a-z_][a-z0-9_]*)\(")
_MOST = 100_000  # characters of a text that are looked at
_KEPT = 1024  # texts that are remembered, none of them longer than _SHORT characters
_SHORT = 8000


class Lookup:
    """Finds challenges of one bank by what a text says of them. Safe to share: it only remembers what it found."""

    def __init__(self, bank: Bank) -> None:
        self._by_title = {challenge.title: challenge for challenge in bank.challenges}
        self._by_entry_point: dict[str, list[Challenge]] = {}
        for challenge in bank.challenges:
            self._by_entry_point.setdefault(challenge.entry_point, []).append(challenge)
        self._statements = {challenge.id: challenge.statement.strip() for challenge in bank.challenges}
        self._folded = {challenge.id: _fold(challenge.statement) for challenge in bank.challenges}
        self._remembered_mentioned = lru_cache(_KEPT)(self._mentioned)
        self._remembered_find = lru_cache(_KEPT)(self._find)

    def mentioned(self, text: str) -> tuple[Challenge, ...]:
        """All challenges that `text` speaks of."""
        return self._remembered_mentioned(text) if len(text) <= _SHORT else self._mentioned(text[:_MOST])

    def find(self, text: str) -> Challenge | None:
        """The challenge that `text` speaks of, the first of several; None when the bank has none like it."""
        return self._remembered_find(text) if len(text) <= _SHORT else self._find(text[:_MOST])

    def _mentioned(self, text: str) -> tuple[Challenge, ...]:
        found = list(self._literal(text))
        for challenge in found:
            text = text.replace(self._statements[challenge.id], "")
        return tuple(dict.fromkeys([*found, *self._reworked(text)]))

    def _find(self, text: str) -> Challenge | None:
        literal = next(self._literal(text), None)
        return literal or next(iter(self._reworked(text)), None)

    def _literal(self, text: str) -> Iterator[Challenge]:
        for line in text.split("\n"):
            challenge = self._by_title.get(line)
            if challenge and self._statements[challenge.id] in text:
                yield challenge

    def _reworked(self, text: str) -> list[Challenge]:
        calls = dict.fromkeys(_CALL.findall(text))
        proposals = [each for name in calls for each in self._by_entry_point.get(name, ())]
        if not proposals:
            return []
        folded = _fold(text)
        whole = [each for each in proposals if self._folded[each.id] in folded]
        return whole or [each for each in proposals if _fold(each.title) in folded]


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
