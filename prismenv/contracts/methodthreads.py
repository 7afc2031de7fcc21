"""Threads in which authors' plain methods run, so that each may take its time.

A thread cannot be stopped: a method whose call was given up goes on in it, unseen. So that those which never end do not
hold up the methods of all others, an abandoned thread does not count among those that there may be at once; a limit of
its own bounds how many of them there are, and what comes after that waits for its turn until its own deadline.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from loguru import logger

AT_ONCE = 64
MOST_ABANDONED = 512
_threads: RunVar["MethodThreads"] = RunVar("prismenv_method_threads")


class MethodThreads:
    """Those of one event loop, in which all of it is called. `abandoned`: how many go on though nobody waits."""

    def __init__(self) -> None:
        self.limit = anyio.CapacityLimiter(AT_ONCE)
        self.abandoned = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        """What `work` returns, in a thread."""
        call = _Call(work, self)
        try:
            return await anyio.to_thread.run_sync(call.run, abandon_on_cancel=True, limiter=self.limit)
        except anyio.get_cancelled_exc_class():
            call.abandon()
            raise

    def lose(self) -> None:
        """One more is abandoned."""
        self.abandoned += 1
        self._spread()
        if self.abandoned.bit_count() == 1:  # 1, 2, 4, ...
            logger.warning(
                "{} threads run plain methods of environments whose calls were given up; they go on until the methods "
                "return",
                self.abandoned,
            )

    def regain(self) -> None:
        """One of them has ended."""
        self.abandoned -= 1
        self._spread()

    def _spread(self) -> None:
        self.limit.total_tokens = AT_ONCE + min(self.abandoned, MOST_ABANDONED)


class _Call:
    """One call in a thread, and whether anybody still waits for it."""

    def __init__(self, work: Callable[[], Any], threads: MethodThreads) -> None:
        self._work = work
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._runs = False
        self._given_up = False

    def run(self) -> Any:
        """In the thread."""
        with self._lock:
            if self._given_up:
                return None
            self._runs = True
        try:
            return self._work()
        finally:
            with self._lock:
                self._runs = False
                lost = self._given_up
            if lost:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and counts nothing any more
                    self._loop.call_soon_threadsafe(self._threads.regain)

    def abandon(self) -> None:
        """Nobody waits any more. One that has not begun never will; one that runs is lost until it ends."""
        with self._lock:
            self._given_up = True
            runs = self._runs
        if runs:
            self._threads.lose()


def method_threads() -> MethodThreads:
    """Those of this event loop."""
    try:
        return _threads.get()
    except LookupError:
        threads = MethodThreads()
        _threads.set(threads)
        return threads
