"""A task that waits until somebody, in whatever thread, wakes it, or until some time has passed."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
from anyio.lowlevel import current_token

from prismenv.contracts.clock import Clock


class Waiter:
    """One task that waits; make it there. `wake` may be called from any thread."""

    __slots__ = ("_event", "_loop", "_thread")

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._loop: Any = current_token().native_token
        self._event = anyio.Event()

    def wake(self) -> None:
        """Let it look again."""
        if threading.get_ident() == self._thread:
            self._event.set()
        else:
            soon: Callable[..., Any] = getattr(self._loop, "call_soon_threadsafe", None) or self._loop.run_sync_soon
            soon(self._set)

    def _set(self) -> None:
        self._event.set()

    async def woken(self, clock: Clock | None = None, seconds: float | None = None) -> None:
        """Return when woken, or after that time by `clock`, None for no such time; the next wait is a new one."""
        if clock is None or seconds is None:
            await self._event.wait()
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._alarm, clock, seconds)
                await self._event.wait()
                tasks.cancel_scope.cancel()
        self._event = anyio.Event()

    async def _alarm(self, clock: Clock, seconds: float) -> None:
        await clock.sleep(seconds)
        self._event.set()
