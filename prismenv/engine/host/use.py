"""Who uses an instance: one caller at a time, and since when nobody does."""

from collections.abc import Callable

from prismenv.contracts.clock import Clock
from prismenv.contracts.turn import Turn
from prismenv.words.errors import HostException


class Use:
    """`async with use:` is one caller's turn, which renews the lease.

    `busy`: how many calls run or wait. `used_at`: when the last one began or ended, on the clock's scale. `refusal`
    makes what callers are told once nobody may use it any more; None: they may.
    """

    __slots__ = ("_clock", "_turn", "busy", "refusal", "used_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = Turn()
        self.busy = 0
        self.used_at = clock.monotonic()
        self.refusal: Callable[[], HostException] | None = None

    async def __aenter__(self) -> None:
        self.busy += 1
        try:
            await self._turn.__aenter__()
        except BaseException:
            self._done()
            raise
        self.used_at = self._clock.monotonic()
        if self.refusal is not None:
            await self.__aexit__()
            raise self.refusal()

    async def __aexit__(self, *_: object) -> None:
        self._turn.pass_on()
        self._done()

    def _done(self) -> None:
        self.busy -= 1
        self.used_at = self._clock.monotonic()
