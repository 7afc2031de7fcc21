"""The store contract: runs and what was measured in them.

Methods are synchronous; the engine calls them in a thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome
from prismenv.words.usage import Usage

# `killed` is stored nowhere: it is how a run is shown that is stored as running, and that nobody works on.
RunStatus = Literal["running", "interrupted", "budget_reached", "finished", "failed", "damaged", "killed"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is stored. `recipe` is the resolved recipe as plain JSON: it can be run again as it is.

    Times are seconds since the epoch; `ended_at` None means that it has not ended (or was killed). A run whose row
    cannot be read back is `damaged`: `note` says why, what is left of it stands, and it can be removed but not resumed.
    """

    run_id: str
    name: str
    environment: str
    status: RunStatus
    seed: int
    recipe: Mapping[str, Any]
    started_at: float
    ended_at: float | None = None
    nodes_done: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One model call of a node, for the store."""

    role: str
    model: str
    prompt: str
    answer: str
    usage: Usage
    wall_seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A finished node with everything that belongs to it, written in one transaction."""

    outcome: NodeOutcome
    calls: Sequence[CallRecord] = ()
    events: Sequence[Event] = field(default_factory=tuple)


class AnswerCache(ABC):
    """Answers of models, by a name that says everything they depend on. Methods may be called from any thread."""

    @abstractmethod
    def find(self, key: str) -> str | None:
        """The answer that is kept under `key`, None where there is none."""

    @abstractmethod
    def keep(self, key: str, model: str, answer: str, at: float) -> None:
        """Keep an answer; one that is there already is replaced. `at` is in seconds since the epoch."""

    @abstractmethod
    def count(self, before: float) -> int:
        """How many answers were kept before that time, in seconds since the epoch."""

    @abstractmethod
    def remove(self, before: float) -> int:
        """Remove the answers that were kept before that time; how many there were."""


class Store(ABC):
    """Keeps runs. Every failure is a StorageException that names the file or URL."""

    location: str  # the file or URL, without passwords
    answers: AnswerCache  # of models, where a recipe asks for a cache

    @abstractmethod
    def save_run(self, run: RunRecord, events: Sequence[Event] = ()) -> None:
        """Insert the run, or update it where its id is there already, and add the run's own events.

        Secrets in the recipe are masked. `nodes_done` is not stored: it is counted when the run is read.
        """

    @abstractmethod
    def save_nodes(self, run_id: str, nodes: Sequence[NodeRecord]) -> None:
        """Write finished nodes in one transaction, all of them or none.

        An index that is there already is a StorageException.
        """

    @abstractmethod
    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        """Hold the run for this process while the context is open; the run need not be stored yet.

        A run that another process (or another holder in this one) works on is a StorageException (`run_locked`). The
        lock dies with its holder, however that ends.
        """

    @abstractmethod
    def is_locked(self, run_id: str) -> bool:
        """Whether somebody holds the run now. It may be no longer so when the answer is read."""

    @abstractmethod
    def runs(self) -> Sequence[RunRecord]:
        """All runs, newest first. `nodes_done` counts the finished nodes that are in the store.

        A row that cannot be read back hides no other: it is a run with the status `damaged`.
        """

    @abstractmethod
    def nodes(self, run_id: str, *, after: int = -1) -> Iterator[NodeRecord]:
        """The finished nodes of a run in index order, those with an index above `after`.

        An unknown run is a StorageException with the nearest id.

        Outcomes are equal to the ones that were saved, as far as JSON can say them.
        """

    @abstractmethod
    def events(self, run_id: str) -> Sequence[Event]:
        """The run's own events (not its nodes'), in the order in which they were saved."""

    @abstractmethod
    def delete_run(self, run_id: str) -> None:
        """Remove a run and all of it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or the connections."""
