"""The sessions of a service that several processes offer: each request finds its session in the store.

A worker that has a question running in a session says now and then that the session is in use, so that no other takes
it for idle; and it looks whether another has forgotten it.
"""

from collections.abc import Collection, Sequence

import anyio.to_thread

from prismenv.contracts.clock import Clock
from prismenv.contracts.servicebook import BookedSession, SessionRegister
from prismenv.server.book import Session, SessionBook
from prismenv.server.refusal import no_session, too_many

FRESH_SECONDS = 1.0  # what is not worth being said
SLACK_SECONDS = 3.0  # a session is idle only so much later: a busy worker may be late to say that it is in use


class SharedBook(SessionBook):
    """Sessions of all workers over one register."""

    def __init__(self, register: SessionRegister, most: int, idle_seconds: float, clock: Clock) -> None:
        self._register = register
        self._most = most
        self._idle_seconds = idle_seconds
        self._clock = clock

    async def open(self, owner: str, session_id: str, role: str | None) -> Session:
        wanted = BookedSession(owner, session_id, self._clock.new_id("opening"), role, self._clock.now())
        found = await anyio.to_thread.run_sync(self._register.open, wanted, self._most)
        if found is None:
            raise too_many("sessions", self._most)
        return _session(found)

    async def find(self, owner: str, session_id: str) -> Session | None:
        found = await anyio.to_thread.run_sync(self._register.use, owner, session_id, self._clock.now())
        return None if found is None else _session(found)

    async def join(self, session: Session, role: str, inner_id: str) -> str:
        found = await anyio.to_thread.run_sync(self._register.join, session.opening, role, inner_id)
        if found is None:
            raise no_session(session.session_id)
        session.conversations[role] = found
        return found

    async def remove(self, session: Session) -> bool:
        return await anyio.to_thread.run_sync(self._register.remove, session.opening)

    async def of(self, owner: str) -> Sequence[Session]:
        return [_session(found) for found in await anyio.to_thread.run_sync(self._register.of, owner)]

    async def take_idle(self) -> Sequence[Session]:
        return await anyio.to_thread.run_sync(self._take_idle, self._clock.now() - self._idle_seconds - SLACK_SECONDS)

    def _take_idle(self, used_before: float) -> list[Session]:
        idle = self._register.of(None, used_before)
        return [_session(found) for found in idle if self._register.remove(found.opening, used_before)]

    async def gone(self, running: Collection[Session]) -> Collection[str]:
        if not running:
            return ()
        return await anyio.to_thread.run_sync(self._gone, running, self._clock.now())

    def _gone(self, running: Collection[Session], now: float) -> frozenset[str]:
        for session in running:
            if now - session.used_at > self._idle_seconds / 4:
                self._register.use(session.owner, session.session_id, now)
                session.used_at = now
        openings = frozenset(session.opening for session in running)
        return openings - self._register.present(openings)

    async def count(self) -> int:
        return await anyio.to_thread.run_sync(self._register.count_sessions)

    def idle_seconds(self, session: Session) -> float:
        return max(0.0, self._clock.now() - session.used_at)

    async def used(self, session: Session) -> None:
        if self._clock.now() - session.used_at > FRESH_SECONDS:
            await self.find(session.owner, session.session_id)


def _session(found: BookedSession) -> Session:
    return Session(found.owner, found.session_id, found.opening, found.role, found.used_at, dict(found.conversations))
