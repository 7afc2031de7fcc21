"""Sessions in memory, by id; those that nobody used for long enough are let go of."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from prismenv.contracts.clock import Clock
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

Session = TypeVar("Session")


@dataclass(slots=True)
class _Entry(Generic[Session]):
    session: Session
    used: float


class SessionTable(Generic[Session]):
    """Sessions by id, the one that was used longest ago first.

    A session that was idle for `idle_seconds` (None: for ever) is gone at the next use of the table; one that is `busy`
    is not idle, however long it takes. Every use costs the same however many there are.
    """

    def __init__(self, clock: Clock, idle_seconds: float | None, busy: Callable[[Session], bool]) -> None:
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._busy = busy
        self._entries: OrderedDict[str, _Entry[Session]] = OrderedDict()

    def add(self, session_id: str, session: Session) -> None:
        """Take in a new session."""
        self.reap()
        self._entries[session_id] = _Entry(session, self._clock.monotonic())

    def use(self, session_id: str) -> Session | None:
        """The session, which is in use now; None where there is none."""
        self.reap()
        entry = self._entries.get(session_id)
        if entry is None:
            return None
        entry.used = self._clock.monotonic()
        self._entries.move_to_end(session_id)
        return entry.session

    def find(self, session_id: str) -> Session | None:
        """The session, which is looked at and not used by that; None where there is none."""
        entry = self._entries.get(session_id)
        return None if entry is None else entry.session

    def pop(self, session_id: str) -> None:
        """Let go of the session; one that is not there is no error."""
        self._entries.pop(session_id, None)

    def reap(self) -> int:
        """Let go of all that are idle; how many those were."""
        if self._idle_seconds is None:
            return 0
        now, reaped = self._clock.monotonic(), 0
        while self._entries:
            session_id, entry = next(iter(self._entries.items()))
            if now - entry.used < self._idle_seconds:
                break
            if self._busy(entry.session):
                entry.used = now
                self._entries.move_to_end(session_id)
            else:
                del self._entries[session_id]
                reaped += 1
        return reaped

    def clear(self) -> None:
        """Let go of all."""
        self._entries.clear()

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


def session_exists(session_id: str) -> ConfigurationException:
    """What to say of an id that is taken."""
    return ConfigurationException(
        f"there is a session {session_id!r} already", code="session_exists", subject=session_id
    )


def unknown_session(session_id: str, role: str) -> AgentCommunicationException:
    """What to say of a session that is not there."""
    return AgentCommunicationException(
        f"{role}: there is no session {session_id!r}; it was never opened, is closed, or was idle for too long",
        code="unknown_session",
        subject=session_id,
    )


def not_its_role(session_id: str, own: str, role: str) -> ConfigurationException:
    """What to say of a session that is another role's."""
    return ConfigurationException(f"the session {session_id!r} was opened for {own!r}, not for {role!r}", subject=role)
