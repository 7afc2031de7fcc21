"""How often a token may ask: so many requests a second on average, and what was not used of the last second at once."""

from prismenv.contracts.clock import Clock
from prismenv.server.refusal import Refusal


class Rates:
    """`usual`: requests a second of one token that has no rate of its own; None: as many as it likes."""

    def __init__(self, clock: Clock, usual: float | None = None) -> None:
        self._clock = clock
        self._usual = usual
        self._left: dict[str, tuple[float, float]] = {}  # by token: how many it may now, and when that was so

    def require(self, owner: str, own: float | None) -> None:
        """Count a request; Refusal, and nothing is counted, where it came too soon."""
        rate = own or self._usual
        if rate is None:
            return
        left = self._now(owner, rate)
        if left < 1:
            raise Refusal(429, "too_many_requests", f"more than {rate:g} requests a second", (1 - left) / rate)
        self._left[owner] = left - 1, self._clock.monotonic()

    async def wait(self, owner: str, own: float | None) -> None:
        """Count a message of a session, and wait until it may be answered."""
        rate = own or self._usual
        if rate is None:
            return
        left = self._now(owner, rate) - 1
        self._left[owner] = left, self._clock.monotonic()
        if left < 0:
            await self._clock.sleep(-left / rate)

    def _now(self, owner: str, rate: float) -> float:
        most, now = max(1.0, rate), self._clock.monotonic()
        left, since = self._left.get(owner, (most, now))
        return min(most, left + (now - since) * rate)
