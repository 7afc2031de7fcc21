"""How alike two problem statements are, on normalised text.

Text is normalised to words in small letters: punctuation and white space count for nothing, numbers do. The similarity
is the Dice coefficient of the runs of three words that both have, with their numbers of times: a changed word costs
three runs, so some edits in a text of a hundred words stay near 1 while two texts on one subject stay below a half.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

THRESHOLD = 0.75  # from here on two statements are near duplicates
RUN_WORDS = 3
MOST_CHARACTERS = 100_000  # of a statement; what comes behind is not compared
_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """`text` as words in small letters, one space between them."""
    return " ".join(_words(text))


def similarity(one: str, other: str) -> float:
    """From 0.0 (no run of words in common) to 1.0 (the same words in the same order)."""
    return _dice(_runs(_words(one)), _runs(_words(other)))


def near_duplicate(statement: str, previous: Iterable[str]) -> str | None:
    """The first of `previous` that `statement` is a near duplicate of, None for none. Texts without words have none."""
    words = _words(statement)
    if not words:
        return None
    mine = _runs(words)
    for other in previous:
        theirs = _runs(_words(other))
        shorter, longer = sorted((mine.total(), theirs.total()))
        if 2 * shorter >= THRESHOLD * (shorter + longer) and _dice(mine, theirs) >= THRESHOLD:
            return other
    return None


def is_near_duplicate(statement: str, previous: Iterable[str]) -> bool:
    """True where `near_duplicate` finds one."""
    return near_duplicate(statement, previous) is not None


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).casefold())


def _runs(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    """Runs of three words; a text of fewer words is one run."""
    if len(words) <= RUN_WORDS:
        return Counter([tuple(words)] if words else [])
    return Counter(zip(*(words[start:] for start in range(RUN_WORDS)), strict=False))


def _dice(one: Counter[tuple[str, ...]], other: Counter[tuple[str, ...]]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0
