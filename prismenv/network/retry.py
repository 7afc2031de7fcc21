"""When a call to a model or a service is made again, and how long to wait before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from prismenv.words.seeding import derive_seed

_MOST_SECONDS = 7 * 86400.0
WORTH_IT = frozenset({"rate_limited", "timed_out", "unavailable"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `tries` calls in all; waits double from `first_seconds` to `longest_seconds`."""

    tries: int = 3
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def wait_seconds(self, failures: int, seed: int, asked_seconds: float | None = None) -> float:
        """How long to wait after `failures` failed calls: half to one and a half of the step, by `seed`.

        `asked_seconds` is what the other side asked for (Retry-After), None when it asked for nothing. It is never
        shortened: who does not want to wait that long must not ask again.
        """
        step = self.first_seconds * float(2 ** (failures - 1))
        jitter = 0.5 + derive_seed(seed, "retry", failures) % 1024 / 1024
        return max(min(self.longest_seconds, step * jitter), asked_seconds or 0.0)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """How many seconds the other side asks to wait, None where it does not say so.

    `headers` have names in lower case; `now`, in seconds since the epoch, is for dates.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, _MOST_SECONDS)
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None and text:
        try:
            seconds = max(0.0, parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else min(seconds, _MOST_SECONDS)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None
