"""The open sessions of a sandbox's service: whose each is, which call of it runs, and what became of its last one.

A session belongs to the token that opened it, under the name that its client made up; somebody else's looks like none.
One that has ended is remembered, so that its client is told why, until it is closed or many others have ended.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio

from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.sessionwire import CallAnswer
from prismenv.server.refusal import Refusal
from prismenv.words.errors import SandboxException

MOST_ENDED = 1024  # that are remembered


class KeptSession:
    """One of them. `last` is the highest number of a call that was begun, `answer` what it gave, None: nobody knows."""

    def __init__(self) -> None:
        self.session: SandboxSession | None = None  # None: it is being started
        self.busy = False
        self.running: int | None = None
        self.last = 0
        self.answer: CallAnswer | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is, or is about to be."""
        return self.session is None or self.session.ended is None


class KeptSessions:
    """All of them. `per_token`: how many may be open for one token, None: as many as the sandbox has."""

    def __init__(self, per_token: int | None = None) -> None:
        self._per_token = per_token
        self._kept: dict[tuple[str, str], KeptSession] = {}

    @property
    def open_sessions(self) -> int:
        """How many are open now."""
        return sum(each.is_open for each in self._kept.values())

    async def open(self, owner: str, name: str, start: Callable[[], Awaitable[SandboxSession]]) -> SandboxSession:
        """The owner's session of that name, made by `start` where there is none.

        Refusal where it has too many, or it is being started; and what `start` raises.
        """
        found = self._kept.get((owner, name))
        if found is not None:
            if found.session is None:
                raise _busy("it is being started")
            return found.session
        mine = sum(each.is_open for (whose, _), each in self._kept.items() if whose == owner)
        if self._per_token is not None and mine >= self._per_token:
            message = f"{mine} sessions of this token are open, and there may be {self._per_token}"
            raise Refusal(409, "sessions_full", message)
        self._forget_ended()
        kept = self._kept[owner, name] = KeptSession()
        try:
            kept.session = await start()
        except BaseException:
            del self._kept[owner, name]
            raise
        return kept.session

    @contextmanager
    def using(self, owner: str, name: str) -> Iterator[tuple[KeptSession, SandboxSession]]:
        """The owner's session, for one request alone. Refusal: there is none, it has ended, or it is in use.

        What it raises because it has ended meanwhile is a Refusal too.
        """
        kept, session = self._find(owner, name)
        if kept.busy:
            raise _busy("a call of it is not done")
        kept.busy = True
        try:
            yield kept, session
        except SandboxException as error:
            if error.code == "session_ended":
                raise _ended(session) from error
            raise
        finally:
            kept.busy = False

    def known_answer(self, kept: KeptSession, call: int) -> CallAnswer | None:
        """What the call gave, where it was made before; None: it was not.

        Refusal where it was, and nobody knows what it gave.
        """
        if call > kept.last:
            return None
        if call == kept.last and kept.answer is not None:
            return kept.answer
        message = f"call {call} was begun, and its client left before it was done: it was interrupted"
        raise Refusal(409, "call_lost", message)

    def require_open(self, session: SandboxSession) -> None:
        """Refusal where it has ended."""
        if session.ended is not None:
            raise _ended(session)

    def interrupt(self, owner: str, name: str, call: int) -> bool:
        """Interrupt that call; False where it does not run. Refusal: there is no such session."""
        kept, session = self._find(owner, name)
        if kept.running != call:
            return False
        session.interrupt()
        return True

    async def close(self, owner: str, name: str) -> None:
        """End it, and know it no more; nothing where there is none."""
        kept = self._kept.get((owner, name))
        if kept is None:
            return
        if kept.session is None:
            raise _busy("it is being started")
        del self._kept[owner, name]
        await kept.session.close()

    async def close_all(self) -> None:
        """End all of them."""
        sessions = [each.session for each in self._kept.values() if each.session is not None]
        self._kept.clear()
        async with anyio.create_task_group() as group:
            for session in sessions:
                group.start_soon(session.close)

    def _find(self, owner: str, name: str) -> tuple[KeptSession, SandboxSession]:
        kept = self._kept.get((owner, name))
        if kept is None:
            raise Refusal(404, "unknown_session", "there is no such session")
        if kept.session is None:
            raise _busy("it is being started")
        return kept, kept.session

    def _forget_ended(self) -> None:
        ended = [key for key, each in self._kept.items() if not each.is_open and not each.busy]
        for key in ended[: max(0, len(ended) - MOST_ENDED + 1)]:  # the oldest first
            del self._kept[key]


def _busy(why: str) -> Refusal:
    return Refusal(429, "session_busy", f"the session is in use: {why}; ask again")


def _ended(session: SandboxSession) -> Refusal:
    return Refusal(410, "session_ended", session.ended or "nobody knows why")
