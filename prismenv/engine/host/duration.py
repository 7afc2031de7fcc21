"""Spans of time as people write them: `"1h"`, `"30m"`, `"1h30m"`, `90` or `"90"` for seconds."""

import math
import re

from prismenv.words.errors import ConfigurationException

_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0)
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
LONGEST_SECONDS = 365 * 86_400.0


def read_duration(given: object, what: str) -> float:
    """Seconds, more than 0 and at most a year; ConfigurationException that says what `what` may be."""
    seconds = _seconds(given)
    if seconds is None or not 0 < seconds <= LONGEST_SECONDS:
        raise ConfigurationException(
            f'{what} must be a time such as "1h", "30m", "90s" or a number of seconds above 0, found {given!r:.80}',
            code="bad_duration",
            subject=what,
        )
    return seconds


def _seconds(given: object) -> float | None:
    if isinstance(given, bool):
        return None
    if isinstance(given, int | float):
        return float(given) if math.isfinite(given) else None
    if not isinstance(given, str):
        return None
    text = given.strip().lower()
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _PARTS.fullmatch(text)
    if found is None or not text or len(text) > 40:  # noqa: PLR2004 - longer than any that says something
        return None
    return sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS, strict=True) if part)
