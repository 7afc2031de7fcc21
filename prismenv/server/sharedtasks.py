"""The tasks of a service that several processes offer: any worker can be asked for what another runs.

The worker that runs a task tells those who wait there at once. Who waits at another learns it from the store, which is
asked every POLL_SECONDS, in one query for all that are waited for. A task whose worker is no longer at work (roll.py)
has ended for everybody, whatever that worker still does: the first end that the store is told of counts.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import anyio.to_thread
from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.servicebook import BookedTask, TaskRegister
from prismenv.server.limits import ServiceLimits
from prismenv.server.refusal import Refusal
from prismenv.server.tasks import Task, TaskBoard
from prismenv.sessions.full import kept_outcome, write_outcome
from prismenv.words.errors import StorageException
from prismenv.words.outcome import Outcome

POLL_SECONDS = 0.1
SEEN_SECONDS = 5.0  # so often a worker is told that somebody waits elsewhere for what it runs


class SharedTasks(TaskBoard):
    """The tasks that `worker` runs, and those of all others over one register.

    `at_work` sees to it that others know this worker before it begins a task: else they would take it for lost.
    """

    def __init__(
        self,
        register: TaskRegister,
        worker: str,
        limits: ServiceLimits,
        clock: Clock,
        at_work: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(limits, clock.monotonic)
        self._register = register
        self._worker = worker
        self._clock = clock
        self._at_work = at_work
        self._watched: dict[str, Task] = {}
        self._watching = anyio.Event()

    async def begin(self, owner: str, task_id: str, session_id: str, key: str) -> tuple[Task, bool]:
        await self._at_work()
        wanted = BookedTask(owner, task_id, session_id, key, self._worker, self._clock.now())
        booked = await anyio.to_thread.run_sync(self._register.begin, wanted)
        if booked.task_id != task_id:
            return self._elsewhere(booked), False
        return self._add(owner, task_id, session_id, key), True

    async def get(self, owner: str, task_id: str) -> Task:
        task = self._tasks.get((owner, task_id)) or self._watched.get(task_id)
        if task is not None and task.owner == owner:
            return task
        booked = await anyio.to_thread.run_sync(self._register.task, owner, task_id)
        return await super().get(owner, task_id) if booked is None else self._elsewhere(booked)

    async def end(self, task: Task, outcome: Outcome | None, refusal: Refusal | None) -> None:
        ending = ending_text(outcome, refusal)
        tell = partial(self._register.end, task.task_id, ending, self._clock.now(), again=refusal is not None)
        try:
            with anyio.CancelScope(shield=True):
                if not await anyio.to_thread.run_sync(tell):  # others were told that it was lost; so is its client
                    for booked in await anyio.to_thread.run_sync(self._register.tasks, [task.task_id]):
                        outcome, refusal = ending_of(booked)
        except StorageException as error:
            logger.error("the end of a task could not be kept: {}", error)
        self._end(task, outcome, refusal)

    async def wait(self, task: Task, seconds: float) -> Task:
        if (task.owner, task.task_id) in self._tasks:
            return await super().wait(task, seconds)
        await self._seen([task])
        if task.done.is_set():
            return task
        task = self._watched.setdefault(task.task_id, task)  # all that wait for it wait for one
        self._watching.set()
        try:
            return await super().wait(task, seconds)
        finally:
            if not task.waiting:
                self._watched.pop(task.task_id, None)

    async def untold(self) -> bool:
        mine = {task.task_id: task for task in self._tasks.values() if not task.told}
        if not mine or any(not task.done.is_set() for task in mine.values()):
            return bool(mine)
        for booked in await anyio.to_thread.run_sync(self._register.tasks, list(mine)):
            if booked.ended_at is not None and booked.asked_at >= booked.ended_at:  # told elsewhere
                mine[booked.task_id].told = True
        return await super().untold()

    async def sweep(self) -> None:
        running = {task.task_id: task for task in self._tasks.values() if not task.done.is_set()}
        if running:
            found = {each.task_id: each for each in await anyio.to_thread.run_sync(self._register.tasks, list(running))}
            ago = self._clock.monotonic() - self._clock.now()
            for task_id, task in running.items():
                booked = found.get(task_id)
                if booked is None or booked.ended_at is not None:
                    task.scope.cancel()  # taken for lost: nobody can be given its answer
                else:
                    task.asked_at = max(task.asked_at, booked.asked_at + ago)
        await super().sweep()
        await anyio.to_thread.run_sync(self._register.forget_tasks, self._clock.now() - self._limits.kept_seconds)

    async def watch(self) -> None:
        """For ever: learn the ends of what is waited for here and runs elsewhere."""
        seen_at = self._clock.monotonic()
        while True:
            await self._watching.wait()
            if not self._watched:
                self._watching = anyio.Event()
                continue
            try:
                await self._look()
                if self._clock.monotonic() - seen_at >= min(SEEN_SECONDS, self._limits.abandoned_seconds / 4):
                    seen_at = self._clock.monotonic()
                    await self._seen(list(self._watched.values()))
            except StorageException as error:
                logger.warning("tasks could not be looked for: {}", error)
            await self._clock.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        watched = dict(self._watched)
        found = {each.task_id: each for each in await anyio.to_thread.run_sync(self._register.tasks, list(watched))}
        for task_id, task in watched.items():
            if (booked := found.get(task_id)) is None:
                self._end(task, None, Refusal(404, "unknown_task", f"Task {task_id!r} not found"))
            elif booked.ended_at is not None:
                self._end(task, *ending_of(booked))

    async def _seen(self, tasks: list[Task]) -> None:
        """Their clients came, for the worker that runs them to know."""
        now = self._clock.now()
        await anyio.to_thread.run_sync(self._register.asked, [task.task_id for task in tasks], now)

    def _elsewhere(self, booked: BookedTask) -> Task:
        task = self._watched.get(booked.task_id) or Task(
            booked.owner, booked.task_id, (booked.session_id, booked.key), self._clock.monotonic()
        )
        if booked.ended_at is not None and not task.done.is_set():
            self._end(task, *ending_of(booked))
        return task


def ending_text(outcome: Outcome | None, refusal: Refusal | None) -> str:
    """How a task ended, as it is kept."""
    if outcome is not None:
        return json.dumps({"outcome": write_outcome(outcome)})
    assert refusal is not None  # noqa: S101 - a task ends with either
    return json.dumps({"refusal": [refusal.status, refusal.code, refusal.message]})


def ending_of(booked: BookedTask) -> tuple[Outcome | None, Refusal | None]:
    """How a task that has ended did so."""
    ending = json.loads(booked.ending or "{}")
    if "outcome" in ending:
        return kept_outcome(ending["outcome"], f"the task {booked.task_id}"), None
    return None, Refusal(*ending.get("refusal", (500, "internal", "how it ended was not kept")))
