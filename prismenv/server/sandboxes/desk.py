"""Whose turn it is: a bounded queue before the sandbox, with a deadline, and its end in good order.

Who comes is taken or refused at once: what waits is bounded in number and in bytes, for all and for each token. Who was
taken gets a place of the sandbox in the order of coming, or is refused once the deadline is over. Each call is in a
scope of its own, so that it ends when its client goes away (the caller is cancelled then) or when the service does.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.together import all_or_none
from prismenv.server.refusal import RETRY_SECONDS, Refusal, stopping, too_many
from prismenv.server.sandboxes.limits import SandboxServiceLimits

T = TypeVar("T")
_TICK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Errand(Generic[T]):
    """What a call wants done: `works`, which take `size` bytes until all are. `owner` is whose token it came with."""

    owner: str
    size: int
    works: Sequence[Callable[[], Awaitable[T]]]


class Desk:
    """Hands out `places` of a sandbox. `waited` is told how long each work had to wait, in seconds."""

    def __init__(
        self, places: int, limits: SandboxServiceLimits, clock: Clock, waited: Callable[[float], None]
    ) -> None:
        self.stopping = False
        self._limits = limits
        self._clock = clock
        self._waited = waited
        self._places = anyio.Semaphore(places, fast_acquire=True)
        self._most = places + limits.waiting
        self._held: Counter[str] = Counter()
        self._bytes = 0
        self._count = 0
        self._running = 0
        self._scopes: set[anyio.CancelScope] = set()

    @property
    def running(self) -> int:
        """How many works have a place."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return self._count - self._running

    async def do(self, errand: Errand[T]) -> list[T]:
        """What its works give, in their order; an exception of one ends the others. Raises Refusal."""
        self._take(errand)
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if len(errand.works) == 1:
                    return [await self._in_turn(errand.works[0], self._limits.queue_seconds)]
                return await self._all(errand.works)
            finally:
                self._scopes.discard(scope)
                self._let_go(errand)
        raise stopping()  # only `drain` and `abort` cancel this scope by itself

    async def drain(self) -> None:
        """Take nothing new, and wait until all is done; what is not within the grace is given up."""
        self.stopping = True
        until = self._clock.monotonic() + self._limits.grace_seconds
        while self._scopes and self._clock.monotonic() < until:
            await self._clock.sleep(_TICK_SECONDS)
        self.abort()
        while self._scopes:
            await self._clock.sleep(_TICK_SECONDS)

    def abort(self) -> None:
        """Give up all that runs and waits."""
        self.stopping = True
        for scope in self._scopes:
            scope.cancel()

    def _take(self, errand: Errand[T]) -> None:
        count, most = len(errand.works), self._limits.per_token
        if self.stopping:
            raise stopping()
        if self._count + count > self._most:
            raise too_many("judgements and programs", self._most)
        if self._count and self._bytes + errand.size > self._limits.waiting_bytes:
            raise too_many("bytes of judgements and programs", self._limits.waiting_bytes)
        if most is not None and self._held[errand.owner] + count > most:
            raise too_many("judgements and programs of this token", most)
        self._count += count
        self._bytes += errand.size
        self._held[errand.owner] += count

    def _let_go(self, errand: Errand[T]) -> None:
        self._count -= len(errand.works)
        self._bytes -= errand.size
        self._held[errand.owner] -= len(errand.works)
        if not self._held[errand.owner]:
            del self._held[errand.owner]

    async def _in_turn(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        begun = self._clock.monotonic()
        try:
            with anyio.fail_after(seconds):
                await self._places.acquire()
        except TimeoutError as error:
            message = f"no turn came within {self._limits.queue_seconds:g} s; ask again"
            raise Refusal(503, "queue_deadline", message, RETRY_SECONDS) from error
        self._waited(self._clock.monotonic() - begun)
        self._running += 1
        try:
            return await work()
        finally:
            self._running -= 1
            self._places.release()

    async def _all(self, works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """The deadline is that of the first: the others wait for works of their own batch as well."""
        seconds = [self._limits.queue_seconds, *[float("inf")] * (len(works) - 1)]
        return await all_or_none([partial(self._in_turn, *each) for each in zip(works, seconds, strict=True)])
