"""Calls reserve what they may use before they go out, so that a budget is not exceeded."""

from prismenv.contracts.transport import ChatTransport
from prismenv.finding.prices import Price
from prismenv.sessions.calls.expectation import Expectation
from prismenv.sessions.calls.waiter import Waiter
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.ledger import Ledger, Reservation
from prismenv.words.usage import Usage

_NOTHING = Usage()


class Budgeted(Wrapper):
    """Makes a call only where the ledger has room for it. `price` None: unknown before the call."""

    def __init__(self, inner: ChatTransport, ledger: Ledger, expectation: Expectation, price: Price | None) -> None:
        super().__init__(inner)
        self._ledger = ledger
        self._expectation = expectation
        self._price = price

    async def complete(self, request: ChatRequest) -> ChatReply:
        prompt, completion = self._expectation.of(request)
        cost = None if self._price is None else self._price.cost_usd(prompt, completion)
        reservation = await self._reserved(prompt + completion, cost)
        used: Usage | None = None  # also where the call is cancelled: it went out, and may be charged
        try:
            reply = await self._inner.complete(request)
            used = reply.usage
        except AgentCommunicationException as error:
            used = None if error.code == "timed_out" else error.usage or _NOTHING
            raise
        finally:
            self._ledger.settle(reservation, used)
        self._expectation.learn(reply.usage)
        return reply

    async def _reserved(self, tokens: int, cost: float | None) -> Reservation:
        """The reservation, as soon as it fits beside the calls that are under way."""
        waiter = Waiter()
        while True:
            reservation = self._ledger.reserve(tokens, cost, waiter.wake)
            if reservation is not None:
                return reservation
            await waiter.woken()
