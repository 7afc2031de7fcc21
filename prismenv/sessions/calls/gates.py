"""The gates that calls to a provider and to a model go through, shared by all runs of the process.

Theory of operation. A gate is a throttle with a queue: who comes waits behind those who wait already, and the first of
them asks the throttle. It sleeps as long as the throttle says, or until a call ends. Runs may live in event loops of
several threads: the throttle is held by a lock for a few microseconds and never while somebody waits, and who is woken
is woken in the loop that it waits in. The limits in force are the strictest of all runs that are open.
"""

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from loguru import logger

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.recipe import ModelLimits
from prismenv.sessions.calls.throttle import Entry, Throttle
from prismenv.sessions.calls.waiter import Waiter
from prismenv.words.errors import AgentCommunicationException

_LIMITS = tuple(ModelLimits.model_fields)


class Gate:
    """Lets calls through as its limits allow. `name` is for messages."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._throttle = Throttle()
        self._queue: deque[Waiter] = deque()
        self._users: list[ModelLimits] = []
        self._told_large = False

    def join(self, limits: ModelLimits) -> None:
        """A run opens that wants these limits held."""
        self._change(self._users.append, limits)

    def leave(self, limits: ModelLimits) -> None:
        """That run closes."""
        self._change(self._users.remove, limits)

    def _change(self, change: Callable[[ModelLimits], None], limits: ModelLimits) -> None:
        with self._lock:
            change(limits)
            for name in _LIMITS:
                given = [value for user in self._users if (value := getattr(user, name)) is not None]
                setattr(self._throttle, name, min(given, default=None))
            self._wake_first()

    def refuse_larger(self, prompt_tokens: int, completion_tokens: int) -> None:
        """`limit_too_small` for a prompt that alone is more than a minute's tokens: no wait would make room for it.

        With the answer that is allowed it may be more too; that is waited for, and said once.
        """
        most = self._throttle.tokens_per_minute
        if most is None or prompt_tokens + completion_tokens <= most:
            return
        together = prompt_tokens + completion_tokens
        if prompt_tokens > most:
            raise AgentCommunicationException(
                f"{self.name}: tokens_per_minute is {most}, and this prompt alone has about {prompt_tokens}",
                code="limit_too_small",
                subject=self.name,
                hint=f"Raise tokens_per_minute in limits to at least {together}, or leave it out.",
            )
        if not self._told_large:
            self._told_large = True
            logger.warning(
                "{}: tokens_per_minute is {}, and a call may use {}: there is one such call a minute at most",
                self.name,
                most,
                together,
            )

    async def enter(self, tokens: int, deadline: float | None) -> Entry:
        """Wait for a place; `rate_limited` at once where there can be none before the deadline."""
        with self._lock:
            if not self._queue and self._throttle.wait_seconds(self._clock.monotonic(), tokens) == 0:
                return self._throttle.start(self._clock.monotonic(), tokens)
            waiter = Waiter()
            self._queue.append(waiter)
        try:
            return await self._turn_of(waiter, tokens, deadline)
        finally:
            with self._lock:
                self._queue.remove(waiter)
                self._wake_first()

    async def _turn_of(self, waiter: Waiter, tokens: int, deadline: float | None) -> Entry:
        while True:
            wait: float | None = None
            with self._lock:
                now = self._clock.monotonic()
                if self._queue[0] is waiter:
                    wait = self._throttle.wait_seconds(now, tokens)
                    if wait == 0:
                        return self._throttle.start(now, tokens)
            if wait is not None and deadline is not None and now + wait > deadline:
                raise self._no_room(wait)
            await waiter.woken(self._clock, wait)

    def sent(self, entry: Entry) -> None:
        """The call goes out now."""
        with self._lock:
            self._throttle.sent(entry, self._clock.monotonic())

    def answered(self, entry: Entry, tokens: int | None) -> None:
        """The call was answered, with so many tokens; None: it is not known."""
        with self._lock:
            self._throttle.answered()
            self._throttle.finish(entry, tokens)
            self._wake_first()

    def failed(self, entry: Entry, error: BaseException) -> None:
        """The call failed, was cancelled, or never went out."""
        with self._lock:
            if isinstance(error, AgentCommunicationException) and _is_refusal(error, entry):
                self._throttle.refused(entry, self._clock.monotonic(), error.retry_after_seconds)
            self._throttle.finish(entry)
            self._wake_first()

    def _wake_first(self) -> None:
        if self._queue:
            self._queue[0].wake()

    def _no_room(self, wait: float) -> AgentCommunicationException:
        error = AgentCommunicationException(
            f"{self.name}: what it may be asked leaves no room before the deadline",
            code="rate_limited",
            subject=self.name,
            hint="Lower concurrency.nodes, or raise the limits (requests_per_minute, tokens_per_minute) or "
            "limits.timeout_seconds, if it is not the provider that asked for so long a wait.",
        )
        error.retry_after_seconds = wait
        return error


def _is_refusal(error: AgentCommunicationException, entry: Entry) -> bool:
    """True where the provider itself said that it is asked too much, and not a gate further on."""
    return error.code == "rate_limited" and entry.sent_at is not None


class GateSet:
    """Gates by what they are for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._gates: dict[tuple[str, ...], Gate] = {}
        self._lock = threading.Lock()

    def gate(self, *key: str) -> Gate:
        """The gate for that provider, address and model."""
        with self._lock:
            return self._gates.setdefault(key, Gate("/".join(filter(None, key)), self.clock))


SHARED = GateSet(SystemClock())  # of this process


@asynccontextmanager
async def passing(gates: Sequence[Gate], tokens: int, deadline: float | None) -> AsyncIterator["Passage"]:
    """Hold a place in all of `gates`. They are entered in their order, so that two calls never wait for each other."""
    passage = Passage()
    try:
        for gate in gates:
            passage.places.append((gate, await gate.enter(tokens, deadline)))
        for gate, entry in passage.places:
            gate.sent(entry)
        yield passage
    except BaseException as error:
        for gate, entry in passage.places:
            gate.failed(entry, error)
        raise
    for gate, entry in passage.places:
        gate.answered(entry, passage.used_tokens)


class Passage:
    """A call's places. Set `used_tokens` when it is known what the call used."""

    __slots__ = ("places", "used_tokens")

    def __init__(self) -> None:
        self.places: list[tuple[Gate, Entry]] = []
        self.used_tokens: int | None = None
