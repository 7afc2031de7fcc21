"""Opens sessions, within what the settings allow, and ends all of them with the sandbox."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from prismenv.contracts.clock import Clock
from prismenv.contracts.recipe import SessionSettings
from prismenv.isolation.errand import Errand
from prismenv.isolation.launch import StopSignal
from prismenv.isolation.opened import OpenSession
from prismenv.isolation.sessionbook import SessionBook
from prismenv.isolation.sessionguest import SessionGuest
from prismenv.words.errors import SandboxException
from prismenv.words.limits import Limits

CALLS_AT_ONCE = 32  # others wait, and no limit of theirs runs meanwhile
STARTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class StartedSession:
    """A guest that waits for `chunks`: its code, where it is a fresh process, and its payload."""

    guest: SessionGuest
    chunks: Sequence[bytes]


class SessionKeeper:
    """The sessions of one sandbox."""

    def __init__(self, settings: SessionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._book: SessionBook | None = None

    async def open(
        self, start: Callable[[], StartedSession], nonce: str, language: str, limits: Limits, ceiling: Limits
    ) -> OpenSession:
        """Open one. SandboxException when there may be no more, or it cannot be started.

        Cancelling the caller leaves nothing behind.
        """
        if self._book is None:
            self._book = SessionBook(self._settings, self._clock)
            self._calls = anyio.CapacityLimiter(CALLS_AT_ONCE)
            self._starts = anyio.CapacityLimiter(STARTS_AT_ONCE)
        book, calls = self._book, self._calls
        opened: list[OpenSession] = []

        def work(_: StopSignal) -> str:
            book.take_place()
            try:
                started = start()
                session = OpenSession(
                    started.guest,
                    nonce=nonce,
                    language=language,
                    limits=limits,
                    ceiling=ceiling,
                    book=book,
                    threads=calls,
                )
                _begin(session, started, book)
            except BaseException:
                book.leave_place()
                raise
            opened.append(session)
            return ""

        try:
            problem = await Errand(work, str, self._starts).run()
        except anyio.get_cancelled_exc_class():
            for each in opened:
                await each.close()
            raise
        if problem:
            raise SandboxException(f"a session cannot be started: {problem}", subject="session")
        return opened[0]

    async def close(self) -> None:
        """End all of them."""
        book, self._book = self._book, None
        if book is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(book.close, limiter=anyio.CapacityLimiter(1))


def _begin(session: OpenSession, started: StartedSession, book: SessionBook) -> None:
    try:
        session.start(started.chunks)
        book.enter(session)
    except BaseException:
        started.guest.close()
        raise
