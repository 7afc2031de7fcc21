"""A circuit breaker: a service that does not answer is left alone for a while, and then asked once.

Theory of operation. Closed, every call goes out. After `failures` calls in a row to which no answer came
(`unavailable`, `timed_out`; any answer at all, also a refusal, begins the count anew) it opens: no call goes out for
`seconds`. Then it is half open: of those that wait one goes out to see. Its success closes the breaker and all go out;
its failure opens it again, and is the failure of all that waited for it, each of which may ask again by its own policy.
So a short outage costs nothing but time, and a long one ends a question after as many looks as it has tries. Who has no
time left until the next look fails at once. Failures are told in the words of the last real one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport
from prismenv.sessions.calls.waiter import Waiter
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException

COUNTED = frozenset({"timed_out", "unavailable"})


class Breaker:
    """The state of one service, shared by all that ask it. May be used from any thread."""

    def __init__(self, name: str, failures: int, seconds: float) -> None:
        self._name = name
        self._most = failures
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiters: set[Waiter] = set()
        self._failures = 0
        self._open_until: float | None = None  # None: closed
        self._probing = False
        self._looks = 0  # how often it was seen that the service still does not answer
        self._last: AgentCommunicationException | None = None

    async def enter(self, clock: Clock, deadline: float | None) -> bool:
        """Return when a call may go out: True where it is the one that sees. Raises where it may not."""
        looks = self._looks
        while True:
            with self._lock:
                now = clock.monotonic()
                if self._open_until is None:
                    return False
                wait = self._open_until - now
                if self._looks != looks or (deadline is not None and now + wait > deadline):
                    raise self._refusal(wait)
                if wait <= 0 and not self._probing:
                    self._probing = True
                    return True
                waiter = Waiter()
                self._waiters.add(waiter)
            try:
                await waiter.woken(clock, wait if wait > 0 else None)
            finally:
                with self._lock:
                    self._waiters.discard(waiter)

    def answered(self) -> None:
        """A call was answered, whatever with."""
        with self._lock:
            if self._open_until is not None:
                logger.info("{} answers again", self._name)
            self._failures, self._open_until, self._probing, self._last = 0, None, False, None
            self._wake_all()

    def failed(self, error: AgentCommunicationException, now: float, *, probe: bool) -> None:
        """A call was not answered."""
        with self._lock:
            self._failures += 1
            self._last = error
            self._probing = self._probing and not probe
            self._looks += probe
            if probe or (self._open_until is None and self._failures >= self._most):
                self._open_until = now + self._seconds
                logger.warning(
                    "{}: no answer {} times in a row, none is asked for {:g} s",
                    self._name,
                    self._failures,
                    self._seconds,
                )
                self._wake_all()

    def given_up(self, *, probe: bool) -> None:
        """A call was cancelled: it says nothing, and another one may see."""
        if probe:
            with self._lock:
                self._probing = False
                self._wake_all()

    def _wake_all(self) -> None:
        for waiter in self._waiters:
            waiter.wake()

    def _refusal(self, wait: float) -> AgentCommunicationException:
        message = self._last.message if self._last is not None else f"{self._name} does not answer"
        error = AgentCommunicationException(
            message,
            code="unavailable",
            subject=self._name,
            hint=f"It was not asked this time: no answer came to {self._most} calls in a row (breaker_failures).",
        )
        error.retry_after_seconds = max(wait, 0.0)
        return error


class BreakerSet:
    """Breakers by what they are for. One lasts as long as somebody uses it."""

    def __init__(self) -> None:
        self._breakers: dict[tuple[object, ...], tuple[Breaker, list[None]]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def using(self, name: str, failures: int, seconds: float) -> Iterator[Breaker]:
        """The breaker of the service `name` with these settings."""
        key = (name, failures, seconds)
        with self._lock:
            breaker, users = self._breakers.setdefault(key, (Breaker(name, failures, seconds), []))
            users.append(None)
        try:
            yield breaker
        finally:
            with self._lock:
                users.pop()
                if not users:
                    del self._breakers[key]


SHARED = BreakerSet()  # of this process


class Circuit(Wrapper):
    """Calls through a breaker."""

    def __init__(self, inner: ChatTransport, breaker: Breaker, clock: Clock) -> None:
        super().__init__(inner)
        self._breaker = breaker
        self._clock = clock

    async def complete(self, request: ChatRequest) -> ChatReply:
        breaker = self._breaker
        probe = await breaker.enter(self._clock, request.deadline)
        try:
            reply = await self._inner.complete(request)
        except AgentCommunicationException as error:
            if error.code in COUNTED:
                breaker.failed(error, self._clock.monotonic(), probe=probe)
            else:
                breaker.answered()
            raise
        except BaseException:  # cancelled, or stopped by ourselves before anything went out
            breaker.given_up(probe=probe)
            raise
        breaker.answered()
        return reply
