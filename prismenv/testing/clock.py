"""A clock that a test turns by hand."""

import anyio.lowlevel

from prismenv.contracts.clock import Clock


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
