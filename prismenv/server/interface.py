"""The LLM interface as many clients use it at once: sessions of owners, tasks, limits, and an end in good order.

Who asks is an owner (see tokens.py); what crosses the network is somebody else's business (application.py). Every
interaction runs in a scope of its own, so that it ends when its client goes away, its session is deleted or the service
stops; the last two tell the client why.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.interface import ServedInterface
from prismenv.contracts.servicebook import ServiceBook
from prismenv.server.asking import DEFAULT_ROLE, Ask
from prismenv.server.book import MemoryBook, Session, SessionBook
from prismenv.server.limits import ServiceLimits
from prismenv.server.meter import SESSIONS, Meter
from prismenv.server.refusal import Refusal, no_session, of_budget, of_configuration, stopping, too_many
from prismenv.server.roll import Roll
from prismenv.server.sharedbook import SharedBook
from prismenv.server.sharedtasks import SharedTasks
from prismenv.server.tasks import Task, TaskBoard
from prismenv.words.chat import TokenWatcher
from prismenv.words.errors import (
    AgentCommunicationException,
    BudgetException,
    ConfigurationException,
    EnvironmentException,
    StorageException,
)
from prismenv.words.outcome import Outcome

SWEEP_SECONDS = 1.0
HANDOVER_SECONDS = 2.0  # for clients that poll, to come for what is finished
_TICK_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class _Run:
    """An interaction that runs. `refusal` is what its client is told where somebody else ended it."""

    session: Session
    scope: anyio.CancelScope
    refusal: Refusal | None = None

    def end(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.scope.cancel()


class InterfaceService:
    """Serves `interface`. Tasks run in `group`, which the caller opens and cancels after `drain`.

    With a `book` other processes serve the same sessions; `interface` then keeps its own where those have theirs.
    """

    def __init__(
        self,
        interface: ServedInterface,
        clock: Clock,
        group: anyio.abc.TaskGroup,
        limits: ServiceLimits | None = None,
        book: ServiceBook | None = None,
    ) -> None:
        self.limits = limits or ServiceLimits()
        self.meter = Meter()
        self.stopping = False
        self._interface = interface
        self._clock = clock
        self._group = group
        self._runs: set[_Run] = set()
        self._roll: Roll | None = None
        self._book: SessionBook
        self._board: TaskBoard
        self.meter.gauge("running", "Questions that run or wait for their turn.", lambda: len(self._runs))
        if book is None:
            memory = self._book = MemoryBook(self.limits.sessions, self.limits.idle_seconds, clock)
            self._board = TaskBoard(self.limits, clock.monotonic)
            self.meter.gauge("sessions", SESSIONS, lambda: len(memory))
        else:
            self._roll = Roll(book, clock, self.meter, lambda: self.state, self.limits.lease_seconds)
            self._book = SharedBook(book, self.limits.sessions, self.limits.idle_seconds, clock)
            self._board = SharedTasks(book, self._roll.worker, self.limits, clock, self._roll.keep)

    @property
    def state(self) -> str:
        """`serving`, or `stopping`."""
        return "stopping" if self.stopping else "serving"

    async def initialize(self, owner: str, role: str) -> str:
        """Open a session of the older shape and say its id."""
        self._admit()
        try:
            self._interface.templates(role)
        except ConfigurationException as error:
            raise of_configuration(error) from error
        return (await self._book.open(owner, self._clock.new_id("session"), role)).session_id

    async def session(self, owner: str, session_id: str) -> Session | None:
        """The session, None where there is none. One with a `role` has its questions answered with a task."""
        return await self._book.find(owner, session_id)

    async def interact(
        self, owner: str, ask: Ask, session: Session | None = None, watch: TokenWatcher | None = None
    ) -> Outcome:
        """Ask and wait. Raises Refusal for what did not reach the model; cancelling it cancels the model's call.

        `session` is the one that was found, None: there is none, and one begins.
        """
        self._admit()
        role, session, inner_id = await self._conversation(owner, ask, session)
        began = self._clock.monotonic()
        with anyio.CancelScope() as scope:
            run = _Run(session, scope)
            self._runs.add(run)
            session.busy += 1
            try:
                outcome = await self._asked(session, role, inner_id, ask, watch)
            except anyio.get_cancelled_exc_class():
                self.meter.given_up(role, run.refusal.code if run.refusal else "client_gone")
                raise
            else:
                self.meter.asked(role, outcome, self._clock.monotonic() - began)
                return outcome
            finally:
                self._runs.discard(run)
                session.busy -= 1
                await self._book.used(session)
        raise run.refusal or stopping()  # only `end` cancels this scope by itself

    async def begin(self, owner: str, ask: Ask, session: Session) -> Task:
        """Begin a task; the same question again is the same task."""
        task = await self._board.of_key(owner, ask.session_id, ask.key)
        if task is None:
            self._admit()
            task, new = await self._board.begin(owner, self._clock.new_id("task"), ask.session_id, ask.key)
            if new:
                self._group.start_soon(self._work, task, ask, session)
        return task

    async def task(self, owner: str, task_id: str, wait_seconds: float) -> Task:
        """The task, once it is done or `wait_seconds` are over."""
        return await self.waited(await self._board.get(owner, task_id), wait_seconds)

    async def waited(self, task: Task, wait_seconds: float) -> Task:
        """The same, of a task that was found."""
        return await self._board.wait(task, wait_seconds)

    async def delete(self, owner: str, session_id: str) -> None:
        """Forget a session and end what runs in it."""
        session = await self._book.get(owner, session_id)
        if await self._book.remove(session):
            await self._forget(session, _deleted())

    async def history(self, owner: str, session_id: str) -> dict[str, Any]:
        """What was said in a session, by role, as PrismBench shows it."""
        found: dict[str, Any] = {}
        for role, inner_id in (await self._book.get(owner, session_id)).conversations.items():
            said = await self._interface.exchanges(inner_id)
            found[role] = {"role": role, "history": [{**each.inputs, "response": each.response} for each in said]}
        return found

    async def sessions(self, owner: str) -> dict[str, dict[str, Any]]:
        """The owner's sessions by id."""
        sessions = await self._book.of(owner)
        counts = await self._interface.exchange_counts(
            [inner_id for session in sessions for inner_id in session.conversations.values()]
        )
        return {
            session.session_id: {
                "roles": list(session.conversations) or [session.role],
                "exchanges": sum(counts.get(inner_id, 0) for inner_id in session.conversations.values()),
                "idle_seconds": round(self._book.idle_seconds(session), 3),
            }
            for session in sessions
        }

    async def workers(self) -> dict[str, dict[str, Any]]:
        """Who is at work on these sessions, this worker among them; nobody where they are this process's own."""
        roll = self._roll
        if roll is None:
            return {}
        return {
            each.worker: {"state": each.state, "silent_seconds": round(roll.silent_seconds(each), 1)}
            for each in await roll.all()
        }

    async def metrics(self) -> bytes:
        """What Prometheus is told, of all workers."""
        if self._roll is None:
            return self.meter.page()
        said = {each.worker: json.loads(each.samples) for each in await self._roll.all()}
        return self.meter.page(await self._book.count(), said | {self._roll.worker: self.meter.samples()})

    async def begin_work(self) -> None:
        """Say that this worker is there, where others are, and keep saying so; forget what is old, for ever."""
        if self._roll is not None:
            await self._roll.beat()
            self._group.start_soon(self._roll.run)
            self._group.start_soon(self._board.watch)
        self._group.start_soon(self._sweep)

    async def end_work(self) -> None:
        """Say that this worker is not there any more."""
        if self._roll is not None:
            await self._roll.leave()

    async def drain(self) -> None:
        """Take nothing new; return when all that runs has ended and was handed over, at the latest after the grace."""
        self.stopping = True
        with anyio.move_on_after(self.limits.grace_seconds):
            while self._runs:
                await self._clock.sleep(_TICK_SECONDS)
        self.abort()
        with anyio.move_on_after(min(HANDOVER_SECONDS, self.limits.grace_seconds)):
            while self._runs or await self._board.untold():
                await self._clock.sleep(_TICK_SECONDS)

    def abort(self) -> None:
        """Take nothing new, and hand back what runs."""
        self.stopping = True
        for run in list(self._runs):
            run.end(stopping())

    def _admit(self) -> None:
        if self.stopping:
            raise stopping()
        if len(self._runs) >= self.limits.tasks:
            raise too_many("questions", self.limits.tasks)

    async def _conversation(self, owner: str, ask: Ask, session: Session | None) -> tuple[str, Session, str]:
        """Where the question belongs: the role, the session and its conversation; both begin with the first one."""
        role = ask.role or (session and session.role) or DEFAULT_ROLE
        if session is not None and session.role not in (None, role):
            raise Refusal(422, "wrong_role", f"the session was opened for {session.role!r}, not for {role!r}")
        if session is not None and role in session.conversations:
            return role, session, session.conversations[role]
        if ask.continues:
            raise no_session(ask.session_id)
        try:
            inner_id = await self._interface.initialize_session(role, seed=ask.seed, labels=ask.labels)
        except ConfigurationException as error:
            raise of_configuration(error) from error
        chosen = ""
        try:
            session = session or await self._book.open(owner, ask.session_id, None)
            chosen = await self._book.join(session, role, inner_id)
        finally:
            if chosen != inner_id:  # another question began it meanwhile, or there is no room
                with anyio.CancelScope(shield=True):
                    await self._interface.cleanup_session(inner_id)
        return role, session, chosen

    async def _asked(self, session: Session, role: str, inner_id: str, ask: Ask, watch: TokenWatcher | None) -> Outcome:
        try:
            return await self._interface.interact_once(inner_id, role, ask.inputs, key=ask.key, watch=watch)
        except AgentCommunicationException as error:
            if error.code != "unknown_session":
                return Outcome(None, error.with_traceback(None))
            if await self._book.remove(session):  # what was said in it is gone: it cannot go on without
                await self._forget(session, _expired())
                raise no_session(session.session_id) from error
            raise _deleted() from error
        except ConfigurationException as error:
            raise of_configuration(error) from error
        except BudgetException as error:
            raise of_budget(error) from error

    async def _work(self, task: Task, ask: Ask, session: Session) -> None:
        outcome: Outcome | None = None
        refusal: Refusal | None = Refusal(410, "abandoned", "nobody asked for the task, so it was cancelled")
        with task.scope:
            try:
                outcome, refusal = await self.interact(task.owner, ask, session), None
            except Refusal as error:
                refusal = error
            except EnvironmentException as error:  # of a kind that the interface's contract does not name
                refusal = Refusal(500, error.code, str(error))
        await self._board.end(task, outcome, refusal)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            try:
                await self._board.sweep()
                gone = await self._book.gone([run.session for run in self._runs])
                for run in [run for run in self._runs if run.session.opening in gone]:
                    run.end(_deleted())
                for session in await self._book.take_idle():
                    await self._forget(session, _expired())
            except StorageException as error:  # it may pass
                logger.warning("what is old could not be forgotten: {}", error)

    async def _forget(self, session: Session, why: Refusal) -> None:
        """End what runs in a session that the book has no more, and what was said in it."""
        for run in [run for run in self._runs if run.session.opening == session.opening]:
            if run.session.owner == session.owner:
                run.end(why)
        for inner_id in session.conversations.values():
            with suppress(EnvironmentException):  # forgotten here in any case
                await self._interface.cleanup_session(inner_id)


def _deleted() -> Refusal:
    return Refusal(410, "session_deleted", "the session was deleted")


def _expired() -> Refusal:
    return Refusal(410, "session_expired", "the session was idle for too long")
