"""Clocks of tests: one that is turned by hand, and one that goes on when everybody waits."""

import heapq
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel

from prismenv.contracts.clock import Clock

ROUNDS = 50  # of the event loop in which nobody sleeps for the first time, before everybody is taken to wait


class ManualClock(Clock):
    """Time stands still until `advance` is called; to sleep is to advance.

    Ids count from 1, so that two runs of one program give the same ids.
    """

    def __init__(self, *, monotonic: float = 1000.0, now: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._now = now
        self._ids = 0

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self._monotonic += seconds
        self._now += seconds

    def monotonic(self) -> float:
        return self._monotonic

    def now(self) -> float:
        return self._now

    def new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self._ids:06d}"

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await anyio.lowlevel.checkpoint()


class VirtualClock(ManualClock):
    """Time that goes on by itself as soon as everybody waits: to the moment at which the next sleeper wakes.

    Use it as `async with VirtualClock() as clock:`; sleepers wake in order, and hours pass in milliseconds.
    """

    def __init__(self, *, monotonic: float = 1000.0, now: float = 1_700_000_000.0) -> None:
        super().__init__(monotonic=monotonic, now=now)
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._count = 0
        self._stack = AsyncExitStack()

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        woken = anyio.Event()
        sleeper = (self.monotonic() + max(seconds, 0.0), self._count, woken)
        heapq.heappush(self._sleepers, sleeper)
        try:
            await woken.wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def __aenter__(self) -> Self:
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(self._go_on)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, where)

    async def _go_on(self) -> None:
        while True:
            for _ in range(ROUNDS):
                await anyio.lowlevel.checkpoint()
            if not self._sleepers:
                await anyio.sleep(0.001)
                continue
            at, _, woken = heapq.heappop(self._sleepers)
            self.advance(max(at - self.monotonic(), 0.0))
            woken.set()
