"""What one provider or model may be asked, counted: no waiting, no clock of its own, all times handed in.

Theory of operation. A call is admitted (`start`), goes out (`sent`) and ends (`finish`). Requests and tokens count in
every window of 60 seconds: what went out counts until a minute later, and what was admitted and has not gone out yet,
because it waits for another gate, counts for as long. So no window holds more than the limit, whatever happens in
between. Tokens are an estimate until the call ends, and then what it used; an estimate above the whole limit counts as
the whole limit, or such a call could never be made.

A refusal by the provider (429) stops everything for as long as it asks (without a word: one second, doubled each time
up to a minute), and halves how many calls run at once. Each answer then lets one more in for each that run, as TCP
does, until there are twice as many as there were when it began. Refusals of calls that began before the last halving
say nothing new.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 60.0
_SHORTEST_WAIT = 0.001  # no wait is shorter than a clock can tell


@dataclass(slots=True)
class Entry:
    """A call that was admitted. `sent_at` None: it has not gone out."""

    tokens: int
    started_at: float
    sent_at: float | None = None


class Throttle:
    """Admits calls within the limits, which may change at any time; None is no limit. Times are of one clock."""

    def __init__(self) -> None:
        self.concurrency: int | None = None
        self.requests_per_minute: int | None = None
        self.tokens_per_minute: int | None = None
        self.running = 0
        self._pending = 0  # admitted and not sent
        self._pending_tokens = 0
        self._sent: deque[Entry] = deque()  # of the last minute, in the order in which they went out
        self._sent_tokens = 0
        self._paused_until = -math.inf
        self._strikes = 0  # refusals without a word since the last answer
        self._cap: float | None = None  # calls at once, while the provider is being spared
        self._level = 0  # how many ran when it was first spared
        self._reduced_at = -math.inf

    def wait_seconds(self, now: float, tokens: int) -> float | None:
        """0 where a call may start; else how long to wait before asking again, None: until something else happens."""
        self._expire(now)
        if self.running >= self._slots():
            return None
        waits = [self._paused_until - now]
        if self.requests_per_minute is not None:
            used = self._pending + len(self._sent)
            waits.append(self._wait_for_room(now, used + 1 - self.requests_per_minute, lambda _: 1))
        if self.tokens_per_minute is not None:
            used = self._pending_tokens + self._sent_tokens
            over = used + min(tokens, self.tokens_per_minute) - self.tokens_per_minute
            waits.append(self._wait_for_room(now, over, lambda entry: entry.tokens))
        longest = max(waits)
        if longest == math.inf:
            return None
        return max(longest, _SHORTEST_WAIT) if longest > 0 else 0.0

    def start(self, now: float, tokens: int) -> Entry:
        """Admit a call that `wait_seconds` has no objection to."""
        if self.tokens_per_minute is not None:
            tokens = min(tokens, self.tokens_per_minute)
        self.running += 1
        self._pending += 1
        self._pending_tokens += tokens
        return Entry(tokens, now)

    def sent(self, entry: Entry, now: float) -> None:
        """The call goes out."""
        entry.sent_at = now
        self._pending -= 1
        self._pending_tokens -= entry.tokens
        self._sent.append(entry)
        self._sent_tokens += entry.tokens

    def finish(self, entry: Entry, tokens: int | None = None) -> None:
        """The call ended, or never went out. `tokens` is what it used, None leaves the estimate."""
        self.running -= 1
        if entry.sent_at is None:
            self._pending -= 1
            self._pending_tokens -= entry.tokens
        elif tokens is not None:
            if self._sent and entry.sent_at >= (self._sent[0].sent_at or 0.0):  # else it counts no longer
                self._sent_tokens += tokens - entry.tokens
            entry.tokens = tokens

    def refused(self, entry: Entry, now: float, retry_after_seconds: float | None) -> None:
        """The provider says that it is asked too much."""
        if retry_after_seconds is None:
            retry_after_seconds = min(LONGEST_PAUSE_SECONDS, 2.0**self._strikes)
            self._strikes = min(self._strikes + 1, 16)
        self._paused_until = max(self._paused_until, now + retry_after_seconds)
        if entry.started_at <= self._reduced_at:
            return
        if self._cap is None:
            self._level = self.running
        self._cap = max(1.0, min(self._cap or math.inf, self.running) / 2)
        self._reduced_at = now

    def answered(self) -> None:
        """The provider answered a call."""
        self._strikes = 0
        if self._cap is not None:
            self._cap += 1 / self._cap
            if self._cap >= 2 * self._level:
                self._cap = None

    def _slots(self) -> float:
        return min(self.concurrency or math.inf, math.inf if self._cap is None else math.floor(self._cap))

    def _expire(self, now: float) -> None:
        while self._sent and now - (self._sent[0].sent_at or 0.0) >= WINDOW_SECONDS:
            self._sent_tokens -= self._sent.popleft().tokens

    def _wait_for_room(self, now: float, over: int, size: Callable[[Entry], int]) -> float:
        """Until `over` is gone from the window; infinite where what is in the way has not gone out yet."""
        if over <= 0:
            return 0.0
        for entry in self._sent:
            over -= size(entry)
            if over <= 0:
                return (entry.sent_at or 0.0) + WINDOW_SECONDS - now
        return math.inf
