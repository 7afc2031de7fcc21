"""Calls wait for their places in the gates."""

from collections.abc import Sequence

from prismenv.contracts.transport import ChatTransport
from prismenv.sessions.calls.expectation import Expectation
from prismenv.sessions.calls.gates import Gate, passing
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest


class Limited(Wrapper):
    """Holds a place in each gate while a call is under way."""

    def __init__(self, inner: ChatTransport, gates: Sequence[Gate], expectation: Expectation) -> None:
        super().__init__(inner)
        self._gates = gates
        self._expectation = expectation

    async def complete(self, request: ChatRequest) -> ChatReply:
        prompt, completion = self._expectation.of(request)
        for gate in self._gates:
            gate.refuse_larger(prompt, completion)
        async with passing(self._gates, prompt + completion, request.deadline) as passage:
            reply = await self._inner.complete(request)
            passage.used_tokens = reply.usage.tokens
        self._expectation.learn(reply.usage)
        return reply
