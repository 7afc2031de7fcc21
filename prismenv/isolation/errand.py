"""Blocking work in threads: one that is told to stop when its caller is cancelled, or several that all end."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from prismenv.isolation.launch import StopSignal
from prismenv.words.errors import SandboxException

T = TypeVar("T")


class Errand(Generic[T]):
    """Work for a thread, of which it is always known whether it was begun. `failed` tells of an OSError of it."""

    def __init__(
        self, work: Callable[[StopSignal], T], failed: Callable[[str], T], limiter: anyio.CapacityLimiter
    ) -> None:
        self._work = work
        self._failed = failed
        self._limiter = limiter
        self._turn = threading.Lock()
        self._done = threading.Event()

    async def run(self) -> T:
        """What the work gives. Cancelling the caller returns only when the work is over, or never will begin."""
        try:
            stop = StopSignal()
        except OSError as error:
            return self._failed(str(error))

        try:
            return await anyio.to_thread.run_sync(self._in_thread, stop, abandon_on_cancel=True, limiter=self._limiter)
        except anyio.get_cancelled_exc_class():
            if not self._turn.acquire(blocking=False):  # the thread works on it
                stop.set()
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._done.wait, limiter=anyio.CapacityLimiter(1))
            raise
        finally:
            stop.close()

    def _in_thread(self, stop: StopSignal) -> T:
        if not self._turn.acquire(blocking=False):
            return self._failed("the caller had left")
        try:
            return self._work(stop)
        except OSError as error:  # a full disk, no descriptors left: the machine's fault, not the candidate's
            return self._failed(str(error))
        finally:
            self._done.set()


async def all_in_threads(works: Sequence[Callable[[], object]]) -> list[SandboxException]:
    """Do each in a thread of its own, and wait for all of them; gives what went wrong."""
    failed: list[SandboxException] = []

    async def one(work: Callable[[], object]) -> None:
        try:
            await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))
        except SandboxException as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        for work in works:
            group.start_soon(one, work)
    return failed
