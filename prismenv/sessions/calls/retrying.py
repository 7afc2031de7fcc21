"""Calls that are made again: only what may pass by itself, with growing waits, within the question's deadline.

Asked again is after `rate_limited`, `timed_out` and `unavailable`: the statuses 408, 409, 425, 429 and 5xx, time-outs
and broken connections. The time that the other side asks for (Retry-After) is waited in full, however long; where the
deadline comes first, the question has failed at once, and says so. A repetition has a seed of its own, so that a model
that failed on one does not fail on it again.
"""

from dataclasses import replace

from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport
from prismenv.network.retry import WORTH_IT, RetryPolicy
from prismenv.sessions.calls.boundary import Boundary
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.seeding import derive_seed


class Retrying(Wrapper):
    """Asks again by `policy`."""

    def __init__(self, inner: ChatTransport, clock: Clock, policy: RetryPolicy) -> None:
        super().__init__(inner)
        self._clock = clock
        self._policy = policy

    async def complete(self, request: ChatRequest) -> ChatReply:
        failures, asked = 0, request
        while True:
            try:
                return await self._inner.complete(asked)
            except AgentCommunicationException as error:
                failures += 1
                if error.code not in WORTH_IT or failures >= self._policy.tries:
                    raise
                seed = request.seed or derive_seed(len(request.messages), request.role)
                wait = self._policy.wait_seconds(failures, seed, error.retry_after_seconds)
                self._refuse_long(error, wait, request.deadline)
                logger.debug("{}: {} ({}), asked again", request.role, error.code, error.message)
            await self._clock.sleep(wait)
            if request.seed is not None:
                asked = replace(request, seed=derive_seed(request.seed, "again", failures))

    def _refuse_long(self, error: AgentCommunicationException, wait: float, deadline: float | None) -> None:
        """Raise the error where the wait would not end before the deadline: it is an answer for good then."""
        if deadline is None or wait <= deadline - self._clock.monotonic():
            return
        if error.retry_after_seconds is not None:
            told = f"{error.retry_after_seconds:g} s are to be waited, longer than is left for this question."
            error.hint = f"{told} {error.hint}" if error.hint else told
        raise error


def guarded(transport: ChatTransport, clock: Clock, policy: RetryPolicy | None = None) -> ChatTransport:
    """The transport as sessions need it at the least: errors classified, and asked again where that may help."""
    return Retrying(Boundary(transport), clock, policy or RetryPolicy())
