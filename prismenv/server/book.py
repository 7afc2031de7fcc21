"""The sessions of the service: who they belong to and what was said in them.

A session of PrismBench's holds a conversation for each role that was asked in it; each is a session of the LLM
interface. This is all that the service keeps between two requests, but for tasks in flight.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from prismenv.server.refusal import no_session, too_many
from prismenv.words.chat import Answer
from prismenv.words.errors import AgentCommunicationException


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an interaction that reached the model: an answer, or that the model gave none of use."""

    answer: Answer | None
    error: AgentCommunicationException | None = None

    @property
    def shown(self) -> str | None:
        """What a client without our extensions is given: the usable part, else the answer as it came; None: neither."""
        if self.answer is not None:
            return self.answer.text
        if self.error is not None and self.error.usage is not None and (self.error.raw or self.error.code in _EMPTY):
            return self.error.raw
        return None


_EMPTY = frozenset({"no_usable_answer"})  # an answer that says nothing is one


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that was answered."""

    inputs: Mapping[str, Any]
    response: str


@dataclass(slots=True)
class Conversation:
    """One role's part of a session. `inner_id` is its session of the LLM interface.

    `last` is the key that a client gave its latest question, and what became of it: who lost the answer asks again
    with the same key.
    """

    role: str
    inner_id: str
    exchanges: list[Exchange] = field(default_factory=list)
    last: tuple[str, Outcome] | None = None
    lock: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))


@dataclass(slots=True)
class Session:
    """`role` is the one that it was opened for in the older shape, None where it began with its first question."""

    owner: str
    session_id: str
    role: str | None
    used_at: float
    conversations: dict[str, Conversation] = field(default_factory=dict)
    busy: int = 0  # interactions that run or wait for their turn


class SessionBook:
    """Sessions by owner and id: another owner's is not there, for whoever asks."""

    def __init__(self, most: int, idle_seconds: float) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._sessions: dict[tuple[str, str], Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, owner: str, session_id: str, role: str | None, now: float) -> Session:
        """A new session; Refusal where there are too many."""
        if len(self._sessions) >= self._most:
            raise too_many("sessions", self._most)
        session = self._sessions[owner, session_id] = Session(owner, session_id, role, now)
        return session

    def find(self, owner: str, session_id: str) -> Session | None:
        """The session; None where the owner has none of that name."""
        return self._sessions.get((owner, session_id))

    def get(self, owner: str, session_id: str) -> Session:
        """The session; Refusal where the owner has none of that name."""
        session = self.find(owner, session_id)
        if session is None:
            raise no_session(session_id)
        return session

    def remove(self, session: Session) -> bool:
        """Forget it; False where it is forgotten already."""
        return self._sessions.pop((session.owner, session.session_id), None) is not None

    def of(self, owner: str) -> Iterator[Session]:
        """The owner's sessions, the oldest first."""
        return (session for (whose, _), session in list(self._sessions.items()) if whose == owner)

    def idle(self, now: float) -> list[Session]:
        """Those that nobody used for too long."""
        return [
            session
            for session in self._sessions.values()
            if not session.busy and now - session.used_at > self._idle_seconds
        ]
