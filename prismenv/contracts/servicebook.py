"""What the workers of an LLM service share: whose sessions there are, the tasks, and who is at work.

The conversations themselves are sessions of the LLM interface (see sessions.py). Methods are synchronous; the service
calls them in a thread. Times are seconds since the epoch. Every failure is a StorageException.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BookedSession:
    """A session of an owner. `opening` tells it from a later one of the same name.

    `role` is the one that it was opened for, None where it began with its first question. `conversations` are sessions
    of the LLM interface by role, in the order in which they began.
    """

    owner: str
    session_id: str
    opening: str
    role: str | None
    used_at: float
    conversations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BookedTask:
    """A task of an owner, which `worker` runs. `ended_at` and `ending` (JSON text) None: it has not ended.

    `key` is the client's name for the question, empty: it has none. `asked_at`: when its client was last seen.
    """

    owner: str
    task_id: str
    session_id: str
    key: str
    worker: str
    asked_at: float
    ended_at: float | None = None
    ending: str | None = None


@dataclass(frozen=True, slots=True)
class BookedWorker:
    """A worker: what it says of itself, until when it counts as alive, and its counters as JSON text."""

    worker: str
    state: str
    lease_until: float
    samples: str = "[]"


class SessionRegister(ABC):
    """Sessions by owner and id."""

    @abstractmethod
    def open(self, session: BookedSession, most: int) -> BookedSession | None:
        """The new session, or the one of that name that there is already; None where there are `most` already."""

    @abstractmethod
    def use(self, owner: str, session_id: str, now: float) -> BookedSession | None:
        """The session, which is in use now, to a second; None where the owner has none of that name."""

    @abstractmethod
    def join(self, opening: str, role: str, inner_id: str) -> str | None:
        """Give the session a conversation of `role`: its id, or of the one that it has already. None: it is gone."""

    @abstractmethod
    def of(self, owner: str | None, used_before: float | None = None) -> Sequence[BookedSession]:
        """The owner's sessions (None: everybody's), the oldest first; those alone that were not used since."""

    @abstractmethod
    def remove(self, opening: str, used_before: float | None = None) -> bool:
        """Forget the session; False where it is gone already, or was used since `used_before`."""

    @abstractmethod
    def present(self, openings: Collection[str]) -> frozenset[str]:
        """Which of these there still are."""

    @abstractmethod
    def count_sessions(self) -> int:
        """How many there are."""


class TaskRegister(ABC):
    """Tasks by owner and id."""

    @abstractmethod
    def begin(self, task: BookedTask) -> BookedTask:
        """The new task, or the one that its owner's same question in the session (by its key) began already."""

    @abstractmethod
    def task(self, owner: str, task_id: str) -> BookedTask | None:
        """The task; None where the owner has none of that name."""

    @abstractmethod
    def tasks(self, task_ids: Collection[str]) -> Sequence[BookedTask]:
        """Those of these that there are."""

    @abstractmethod
    def asked(self, task_ids: Collection[str], now: float) -> None:
        """Their clients were seen."""

    @abstractmethod
    def end(self, task_id: str, ending: str, now: float, *, again: bool) -> bool:
        """The task has ended; False where it had already, or is gone. `again`: its question may be asked anew."""

    @abstractmethod
    def forget_tasks(self, ended_before: float) -> int:
        """Forget those that ended before; how many those were."""


class WorkerRegister(ABC):
    """Who is at work."""

    @abstractmethod
    def beat(self, worker: BookedWorker) -> None:
        """The worker is alive, as it says."""

    @abstractmethod
    def workers(self) -> Sequence[BookedWorker]:
        """All that there are, in the order of their names; also one whose lease has ended and whom nobody buried."""

    @abstractmethod
    def leave(self, worker: str) -> None:
        """The worker has ended; one that is not there is no error."""

    @abstractmethod
    def bury(self, ending: str, now: float) -> int:
        """Forget the workers whose lease has ended, and end with `ending` what those ran that are not at work.

        Their questions may be asked anew. How many tasks those were.
        """


class ServiceBook(SessionRegister, TaskRegister, WorkerRegister):
    """All three, in one place."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""
