"""The sessions of the service: who they belong to, and which conversations they are.

A session of PrismBench's holds a conversation for each role that was asked in it; each is a session of the LLM
interface, which knows what was said. With tasks in flight this is all that the service keeps between two requests. It
is kept in this process; several processes keep it in a store (sharedbook.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from prismenv.contracts.clock import Clock
from prismenv.server.refusal import no_session, too_many


@dataclass(slots=True)
class Session:
    """`role` is the one that it was opened for in the older shape, None where it began with its first question.

    `opening` tells it from a later session of the same name. `conversations` are sessions of the LLM interface by role.
    """

    owner: str
    session_id: str
    opening: str
    role: str | None
    used_at: float
    conversations: dict[str, str] = field(default_factory=dict)
    busy: int = 0  # interactions that run or wait for their turn here


class SessionBook(ABC):
    """Sessions by owner and id: another owner's is not there, for whoever asks."""

    @abstractmethod
    async def open(self, owner: str, session_id: str, role: str | None) -> Session:
        """A new session, or the one of that name that began meanwhile; Refusal where there are too many."""

    @abstractmethod
    async def find(self, owner: str, session_id: str) -> Session | None:
        """The session; None where the owner has none of that name."""

    @abstractmethod
    async def join(self, session: Session, role: str, inner_id: str) -> str:
        """The session's conversation of `role`, which is `inner_id` where it has none yet; Refusal where it is gone."""

    @abstractmethod
    async def remove(self, session: Session) -> bool:
        """Forget it; False where it is forgotten already."""

    @abstractmethod
    async def of(self, owner: str) -> Sequence[Session]:
        """The owner's sessions, the oldest first."""

    @abstractmethod
    async def take_idle(self) -> Sequence[Session]:
        """Forget those that nobody used for too long, and say which."""

    @abstractmethod
    async def gone(self, running: Collection[Session]) -> Collection[str]:
        """The `opening` of those that were forgotten while a question runs in them here; the others are in use."""

    @abstractmethod
    async def count(self) -> int:
        """How many there are."""

    @abstractmethod
    def idle_seconds(self, session: Session) -> float:
        """For how long nobody has used it."""

    @abstractmethod
    async def used(self, session: Session) -> None:
        """A question has ended in it."""

    async def get(self, owner: str, session_id: str) -> Session:
        """The session; Refusal where the owner has none of that name."""
        session = await self.find(owner, session_id)
        if session is None:
            raise no_session(session_id)
        return session


class MemoryBook(SessionBook):
    """Sessions of this process alone."""

    def __init__(self, most: int, idle_seconds: float, clock: Clock) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(self, owner: str, session_id: str, role: str | None) -> Session:
        if (session := self._sessions.get((owner, session_id))) is not None:
            return session
        if len(self._sessions) >= self._most:
            raise too_many("sessions", self._most)
        now = self._clock.monotonic()
        session = self._sessions[owner, session_id] = Session(owner, session_id, session_id, role, now)
        return session

    async def find(self, owner: str, session_id: str) -> Session | None:
        return self._sessions.get((owner, session_id))

    async def join(self, session: Session, role: str, inner_id: str) -> str:
        return session.conversations.setdefault(role, inner_id)

    async def remove(self, session: Session) -> bool:
        if self._sessions.get((session.owner, session.session_id)) is not session:
            return False
        del self._sessions[session.owner, session.session_id]
        return True

    async def of(self, owner: str) -> Sequence[Session]:
        return [session for (whose, _), session in self._sessions.items() if whose == owner]

    async def take_idle(self) -> Sequence[Session]:
        idle = [
            session
            for session in self._sessions.values()
            if not session.busy and self.idle_seconds(session) > self._idle_seconds
        ]
        for session in idle:
            await self.remove(session)
        return idle

    async def gone(self, running: Collection[Session]) -> Collection[str]:  # noqa: ARG002 - nobody else forgets one
        return ()

    async def count(self) -> int:
        return len(self._sessions)

    def idle_seconds(self, session: Session) -> float:
        return 0.0 if session.busy else self._clock.monotonic() - session.used_at

    async def used(self, session: Session) -> None:
        session.used_at = self._clock.monotonic()
