"""Sessions that are kept outside of the process: they survive it, and several processes may speak in them by turns.

Methods are synchronous; the LLM interface calls them in a thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from prismenv.words.chat import ChatMessage
from prismenv.words.outcome import Exchange


@dataclass(frozen=True, slots=True)
class KeptOutcome:
    """What became of the latest question: the key that its client gave it, and the outcome as JSON text."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class KeptSession:
    """A session as it is kept. `messages` begin with the system prompt, where there is one.

    `calls` counts the questions that were asked of the model, `used_at` is when that last happened, in seconds since
    the epoch. `labels` are plain JSON. `exchanges` counts those that were logged for a service, `last` is the
    outcome of the latest of them, None where there was none.
    """

    session_id: str
    role: str
    seed: int | None
    used_at: float
    labels: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[ChatMessage] = ()
    calls: int = 0
    exchanges: int = 0
    last: KeptOutcome | None = None


class SessionArchive(ABC):
    """Keeps sessions. Every failure is a StorageException."""

    @abstractmethod
    def add(self, session: KeptSession) -> None:
        """Keep a new session; StorageException (`session_exists`) where its id is taken."""

    @abstractmethod
    def load(self, session_id: str) -> KeptSession | None:
        """The session, None where there is none."""

    @abstractmethod
    def save(self, session: KeptSession, known: int, exchange: Exchange | None = None) -> bool:
        """Keep what an exchange added: the messages after the first `known`, in one transaction with the rest.

        `exchange`, where it is given, becomes the last in the session's log. False: the session was deleted in the
        meantime, and stays deleted.
        """

    @abstractmethod
    def log(self, session_id: str) -> Sequence[Exchange]:
        """The exchanges that were logged, in their order; none for a session that there is not."""

    @abstractmethod
    def hold(self, session_id: str) -> AbstractContextManager[None]:
        """Be the one writer of the session while the context is open, in all processes.

        Does not wait: StorageException (`session_busy`) while somebody else is. It ends with its holder, however that
        ends.
        """

    @abstractmethod
    def sessions(self) -> Sequence[KeptSession]:
        """All sessions without their messages and outcomes, the one that was used longest ago first."""

    @abstractmethod
    def delete(self, session_id: str) -> None:
        """Forget the session; one that is not there is no error."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""
