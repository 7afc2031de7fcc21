"""Tokens and money that calls may use: reserved before a call goes out, settled when it ended."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from prismenv.words.errors import BudgetException
from prismenv.words.usage import Usage

_ROUNDING = 1 + 1e-9  # sums of money are sums of fractions


@dataclass(slots=True)
class Reservation:
    """What one call was expected to use."""

    tokens: int
    cost_usd: float


class Ledger:
    """Holds back calls that could exceed what is left; None is no limit. May be used from any thread.

    What was spent and what is reserved never exceed the limits together, so the limits hold as far as calls use no more
    than they were expected to. A call that would fit if those under way used nothing waits until one of them ended; one
    that would not fit even then is refused. `strict`: where money is limited and a call named no price, no other is
    made; else that is somebody else's part. `refusal` says what the first one was refused for; None: none was.
    """

    def __init__(self, tokens: int | None, cost_usd: float | None, *, strict: bool = False) -> None:
        self._most_tokens = tokens
        self._most_cost = cost_usd
        self._tokens = self._reserved_tokens = 0
        self._cost = self._reserved_cost = 0.0
        self._dearest = 0.0  # of the calls that named a price
        self._strict = strict
        self._unpriced: str | None = None  # the first model that named none
        self._waiting: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.refusal: str | None = None

    def take_over(self, usage: Usage) -> None:
        """Something was spent in an earlier sitting."""
        with self._lock:
            self._spend(usage)

    def reserve(self, tokens: int, cost_usd: float | None, wake: Callable[[], None]) -> Reservation | None:
        """Set aside what a call may use; None: ask again after `wake` was called. BudgetException where it never fits.

        `cost_usd` None: its price is not known before; it is taken to be the dearest so far.
        """
        with self._lock:
            cost = self._dearest if cost_usd is None else cost_usd
            refusal = self._refusal(tokens, cost)
            if refusal is not None:
                self.refusal = self.refusal or refusal
                raise BudgetException(f"the call was not made: {refusal}", subject=refusal.partition(":")[0])
            if not self._fits(self._tokens + self._reserved_tokens + tokens, self._cost + self._reserved_cost + cost):
                self._waiting.append(wake)
                return None
            self._reserved_tokens += tokens
            self._reserved_cost += cost
            return Reservation(tokens, cost)

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """The call ended. `usage` None: it may have been carried out, and nobody knows; what was reserved is spent."""
        with self._lock:
            self._reserved_tokens -= reservation.tokens
            self._reserved_cost -= reservation.cost_usd
            if usage is None:
                usage = Usage(prompt_tokens=reservation.tokens, cost_usd=reservation.cost_usd)
            elif usage.cost_usd is not None and usage.calls:
                self._dearest = max(self._dearest, usage.cost_usd / usage.calls)
            self._spend(usage)
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()

    def _spend(self, usage: Usage) -> None:
        if usage.cost_usd is None and self._unpriced is None:
            self._unpriced = usage.model or "unknown"
        self._tokens += usage.tokens
        self._cost += usage.cost_usd or 0.0

    def _fits(self, tokens: int, cost: float) -> bool:
        return (self._most_tokens is None or tokens <= self._most_tokens) and (
            self._most_cost is None or cost <= self._most_cost * _ROUNDING
        )

    def _refusal(self, tokens: int, cost: float) -> str | None:
        """Why a call does not fit whatever those under way use; None where it may."""
        if self._strict and self._most_cost is not None and self._unpriced is not None:
            return f"budget.cost_usd: the price of the model {self._unpriced!r} is unknown, so it cannot be held"
        if not self._fits(self._tokens + tokens, 0.0):
            return f"budget.tokens: {self._tokens} of {self._most_tokens}, and the next call may use {tokens}"
        if not self._fits(0, self._cost + cost):
            return f"budget.cost_usd: {self._cost:.4f} of {self._most_cost:g}, and the next call may cost {cost:.4f}"
        return None
