"""The nearest right name: what every message about a wrong one ends with."""

import difflib
from collections.abc import Iterable

SLIP_CUTOFF = 0.85  # a name that may be anything, and is as like a known one as this, is taken for a slip of it


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that is most like `name`, None where none is like it."""
    close = difflib.get_close_matches(name[:200], [item[:200] for item in known], n=1, cutoff=cutoff)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?` for the nearest known name, the empty text where there is none."""
    close = nearest(name, known, cutoff=cutoff)
    return f"; did you mean {close!r}?" if close else ""
