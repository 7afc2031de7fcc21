"""Sessions that outlive this process: every exchange reads the session from its archive and writes it back.

Whoever speaks in a session holds it, in all processes that use the archive; who comes meanwhile waits for its turn. An
exchange that ends, however it ends, is written before the session is let go of; a process that is killed in the middle
leaves the session as it was before.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import anyio
import anyio.to_thread

from prismenv.contracts.clock import Clock
from prismenv.contracts.sessions import KeptSession, SessionArchive
from prismenv.sessions.sessiontable import session_exists
from prismenv.words.errors import AgentCommunicationException, StorageException
from prismenv.words.outcome import Exchange

FIRST_POLL_SECONDS = 0.005
LONGEST_POLL_SECONDS = 0.1
REAP_EVERY_SECONDS = 60.0


class SessionKeeper:
    """Sessions of an archive, for the event loop.

    A session is waited for `wait_seconds`. One that nobody used for `idle_seconds` (None: for ever) is deleted, at the
    latest a minute after; it is unknown from then on.
    """

    def __init__(
        self, archive: SessionArchive, clock: Clock, *, wait_seconds: float = 300.0, idle_seconds: float | None = None
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._idle_seconds = idle_seconds
        self._reaped_at = float("-inf")

    async def add(self, session: KeptSession) -> None:
        """Keep a new session, as used now; ConfigurationException (`session_exists`) where its id is taken."""
        await self._reap_sometimes()
        try:
            await anyio.to_thread.run_sync(self._archive.add, replace(session, used_at=self._clock.now()))
        except StorageException as error:
            if error.code != "session_exists":
                raise
            raise session_exists(session.session_id) from error

    @asynccontextmanager
    async def held(self, session_id: str) -> AsyncIterator[KeptSession | None]:
        """The session as it is now, with nobody else in it while the context is open; None where there is none.

        AgentCommunicationException (`session_busy`) where it does not come free in time.
        """
        await self._reap_sometimes()
        with ExitStack() as stack:
            await self._hold(stack, session_id)
            kept = await self.load(session_id)
            if kept is not None and self._is_idle(kept):
                await self.delete(session_id)
                kept = None
            yield kept

    async def save(self, session: KeptSession, known: int, exchange: Exchange | None = None) -> bool:
        """Write back a session that is held; its first `known` messages are there already. False: it was deleted."""
        used = replace(session, used_at=self._clock.now())
        saved = False
        with anyio.CancelScope(shield=True):  # what was paid for is kept
            saved = await anyio.to_thread.run_sync(self._archive.save, used, known, exchange)
        return saved  # noqa: RET504 - inside, the checker takes the scope for one that may end it early

    async def log(self, session_id: str) -> Sequence[Exchange]:
        """What was logged in the session."""
        return await anyio.to_thread.run_sync(self._archive.log, session_id)

    async def counts(self, session_ids: Sequence[str]) -> dict[str, int]:
        """How much was logged in each of the sessions that there are."""
        asked = frozenset(session_ids)
        found = await anyio.to_thread.run_sync(self._archive.sessions)
        return {session.session_id: session.exchanges for session in found if session.session_id in asked}

    async def load(self, session_id: str) -> KeptSession | None:
        """The session as it was last written, also while somebody speaks in it."""
        return await anyio.to_thread.run_sync(self._archive.load, session_id)

    async def delete(self, session_id: str) -> None:
        """Forget the session."""
        await anyio.to_thread.run_sync(self._archive.delete, session_id)

    async def reap(self) -> int:
        """Delete what is idle and held by nobody; how many those were."""
        self._reaped_at = self._clock.monotonic()
        if self._idle_seconds is None:
            return 0
        return await anyio.to_thread.run_sync(self._reap, self._clock.now())

    def _reap(self, now: float) -> int:
        reaped = 0
        for session in self._archive.sessions():
            if not self._is_idle(session, now):
                break  # they come by age
            try:
                with self._archive.hold(session.session_id):
                    current = self._archive.load(session.session_id)
                    if current is not None and self._is_idle(current, now):
                        self._archive.delete(session.session_id)
                        reaped += 1
            except StorageException as error:
                if error.code != "session_busy":
                    raise
        return reaped

    def _is_idle(self, session: KeptSession, now: float | None = None) -> bool:
        now = self._clock.now() if now is None else now
        return self._idle_seconds is not None and now - session.used_at >= self._idle_seconds

    async def _reap_sometimes(self) -> None:
        if self._clock.monotonic() - self._reaped_at >= REAP_EVERY_SECONDS:
            await self.reap()

    async def _hold(self, stack: ExitStack, session_id: str) -> None:
        deadline = self._clock.monotonic() + self._wait_seconds
        wait = FIRST_POLL_SECONDS
        while True:
            try:
                stack.enter_context(self._archive.hold(session_id))
            except StorageException as error:
                if error.code != "session_busy":
                    raise
                if self._clock.monotonic() + wait > deadline:
                    raise AgentCommunicationException(
                        f"the session {session_id!r} was spoken in by somebody else for {self._wait_seconds:g} s",
                        code="session_busy",
                        subject=session_id,
                    ) from error
            else:
                return
            await self._clock.sleep(wait)
            wait = min(2 * wait, LONGEST_POLL_SECONDS)
