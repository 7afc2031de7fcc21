"""Tasks of the older shape: a question whose answer is asked for later, once or many times.

A task outlives the request that made it. One that nobody asks for in `abandoned_seconds` has no client any more and is
cancelled; a finished one is kept for `kept_seconds`. One that ended without having reached the model, or was cut off,
lets go of its question's key: the same question may be asked again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from prismenv.server.limits import ServiceLimits
from prismenv.server.refusal import Refusal
from prismenv.words.outcome import Outcome


@dataclass(slots=True)
class Task:
    """`outcome` None and `refusal` None: it runs. `told`: its end was handed to somebody."""

    owner: str
    task_id: str
    key: tuple[str, str]  # session and the client's key for the question
    asked_at: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    done: anyio.Event = field(default_factory=anyio.Event)
    waiting: int = 0
    outcome: Outcome | None = None
    refusal: Refusal | None = None
    ended_at: float = 0.0
    told: bool = False


class TaskBoard:
    """The tasks by owner and id."""

    def __init__(self, limits: ServiceLimits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._tasks: dict[tuple[str, str], Task] = {}
        self._keys: dict[tuple[str, str, str], Task] = {}

    async def of_key(self, owner: str, session_id: str, key: str) -> Task | None:
        """The task that the same question began here already; None where it has no key or is new."""
        return self._keys.get((owner, session_id, key)) if key else None

    async def begin(self, owner: str, task_id: str, session_id: str, key: str) -> tuple[Task, bool]:
        """A task that begins, and true; or the one that the same question began elsewhere already, and false."""
        return self._add(owner, task_id, session_id, key), True

    async def get(self, owner: str, task_id: str) -> Task:
        """The task; Refusal where the owner has none of that name."""
        task = self._tasks.get((owner, task_id))
        if task is None:
            raise Refusal(404, "unknown_task", f"Task {task_id!r} not found")
        return task

    async def end(self, task: Task, outcome: Outcome | None, refusal: Refusal | None) -> None:
        """It is done; whoever waits is told."""
        self._end(task, outcome, refusal)

    async def wait(self, task: Task, seconds: float) -> Task:
        """The task as it is when it is done, or after `seconds`."""
        if seconds and not task.done.is_set():
            task.waiting += 1
            try:
                with anyio.move_on_after(seconds):
                    await task.done.wait()
            finally:
                task.waiting -= 1
        task.asked_at = self._now()
        task.told = task.done.is_set()
        return task

    async def untold(self) -> bool:
        """True while somebody may still come for a task: it runs, or its end was not handed over."""
        return any(not task.told for task in self._tasks.values())

    async def sweep(self) -> None:
        """Cancel the abandoned, forget the old and, of too many, the oldest."""
        now, ended = self._now(), 0
        for task in reversed(list(self._tasks.values())):
            if not task.done.is_set():
                if not task.waiting and now - task.asked_at > self._limits.abandoned_seconds:
                    task.scope.cancel()
                continue
            ended += 1
            if now - task.ended_at > self._limits.kept_seconds or ended > self._limits.tasks:
                self._forget(task)

    async def watch(self) -> None:
        """For ever: learn of the tasks that run elsewhere; here none do."""

    def _add(self, owner: str, task_id: str, session_id: str, key: str) -> Task:
        task = Task(owner, task_id, (session_id, key), self._now())
        self._tasks[owner, task_id] = task
        if key:
            self._keys[owner, session_id, key] = task
        return task

    def _end(self, task: Task, outcome: Outcome | None, refusal: Refusal | None) -> None:
        task.outcome, task.refusal, task.ended_at = outcome, refusal, self._now()
        if refusal is not None:
            self._let_go_of_key(task)
        task.done.set()

    def _forget(self, task: Task) -> None:
        self._tasks.pop((task.owner, task.task_id), None)
        self._let_go_of_key(task)

    def _let_go_of_key(self, task: Task) -> None:
        if self._keys.get((task.owner, *task.key)) is task:
            del self._keys[task.owner, *task.key]
