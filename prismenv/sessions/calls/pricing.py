"""The cost of a call from the table of prices, where its provider does not tell it."""

from dataclasses import replace

from prismenv.contracts.transport import ChatTransport
from prismenv.finding.prices import Price
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException


class Priced(Wrapper):
    """Adds the cost to replies, and to failures that were paid for."""

    def __init__(self, inner: ChatTransport, price: Price) -> None:
        super().__init__(inner)
        self._price = price

    async def complete(self, request: ChatRequest) -> ChatReply:
        try:
            reply = await self._inner.complete(request)
        except AgentCommunicationException as error:
            if error.usage is not None:
                error.usage = self._price.applied(error.usage)
            raise
        if reply.usage.cost_usd is not None:
            return reply
        return replace(reply, usage=self._price.applied(reply.usage))
