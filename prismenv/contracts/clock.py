"""Time and ids, passed in so that tests and replays decide them."""

import secrets
import time
from abc import ABC, abstractmethod

import anyio


class Clock(ABC):
    """Where the engine reads time and takes new ids. A fake is in `prismenv.testing`."""

    @abstractmethod
    def monotonic(self) -> float:
        """Seconds since an arbitrary point; deadlines are on this scale."""

    @abstractmethod
    def now(self) -> float:
        """Seconds since the epoch."""

    @abstractmethod
    def new_id(self, prefix: str) -> str:
        """A new unique id that begins with `prefix`."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait for that long."""


class SystemClock(Clock):
    """The machine's clock and operating system randomness."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{secrets.token_hex(6)}"

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
