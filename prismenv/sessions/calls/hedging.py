"""A second request for an answer that takes long; the first answer wins.

The second one takes a place of its own in the gates, and has no watcher: where it wins, its text is handed over in one
piece. Both count: the usage of the one that was given up is not known, so it is taken to be that of the winner, and the
sum is marked as estimated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport
from prismenv.sessions.calls.exchange import shown_by_pieces
from prismenv.sessions.calls.expectation import Expectation
from prismenv.sessions.calls.gates import Gate, passing
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import EnvironmentException


class _Race:
    """One question and what came of its requests."""

    def __init__(self) -> None:
        self.started = 1
        self.reply: ChatReply | None = None
        self.second_won = False
        self.errors: list[EnvironmentException] = []

    @property
    def over(self) -> bool:
        """True when there is an answer, or nothing under way that could still be one."""
        return self.reply is not None or len(self.errors) >= self.started


class Hedged(Wrapper):
    """Asks a second time after `seconds` without an answer."""

    def __init__(
        self,
        inner: ChatTransport,
        gates: Sequence[Gate],
        expectation: Expectation,
        clock: Clock,
        seconds: float,
    ) -> None:
        super().__init__(inner)
        self._gates = gates
        self._expectation = expectation
        self._clock = clock
        self._seconds = seconds

    async def complete(self, request: ChatRequest) -> ChatReply:
        race = _Race()
        async with anyio.create_task_group() as tasks:

            def ended() -> None:
                if race.over:
                    tasks.cancel_scope.cancel()

            tasks.start_soon(self._first, request, race, ended)
            tasks.start_soon(self._second, replace(request, watch=None), race, ended)
        if race.reply is None:
            raise race.errors[0]
        if race.second_won:
            shown_by_pieces(race.reply, request)
        if race.started == 1:
            return race.reply
        usage = race.reply.usage
        return replace(race.reply, usage=usage.plus(usage.model_copy(update={"estimated": True})))

    async def _first(self, request: ChatRequest, race: _Race, ended: Callable[[], None]) -> None:
        try:
            reply = await self._inner.complete(request)
        except EnvironmentException as error:
            race.errors.append(error)
        else:
            race.reply = race.reply or reply
        ended()

    async def _second(self, request: ChatRequest, race: _Race, ended: Callable[[], None]) -> None:
        await self._clock.sleep(self._seconds)
        try:
            async with passing(self._gates, sum(self._expectation.of(request)), request.deadline) as passage:
                race.started += 1
                passage.used_tokens = 0  # the first one's place counts the sum
                reply = await self._inner.complete(request)
        except EnvironmentException as error:
            if race.started > 1:
                race.errors.append(error)
        else:
            if race.reply is None:
                race.reply, race.second_won = reply, True
        ended()
