"""The LLM interface as many clients use it at once: sessions of owners, tasks, limits, and an end in good order.

Who asks is an owner (see tokens.py); what crosses the network is somebody else's business (application.py). Every
interaction runs in a scope of its own, so that it ends when its client goes away, its session is deleted or the service
stops; the last two tell the client why.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc

from prismenv.contracts.clock import Clock
from prismenv.contracts.interface import InterfaceClient
from prismenv.server.asking import DEFAULT_ROLE, Ask
from prismenv.server.book import Conversation, Exchange, Outcome, Session, SessionBook
from prismenv.server.limits import ServiceLimits
from prismenv.server.meter import Meter
from prismenv.server.refusal import Refusal, no_session, of_configuration, stopping, too_many
from prismenv.server.tasks import Task, TaskBoard
from prismenv.words.chat import TokenWatcher
from prismenv.words.errors import AgentCommunicationException, ConfigurationException, EnvironmentException

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
    """Serves `interface`. Tasks run in `group`, which the caller opens and cancels after `drain`."""

    def __init__(
        self,
        interface: InterfaceClient,
        clock: Clock,
        group: anyio.abc.TaskGroup,
        limits: ServiceLimits | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.limits = limits or ServiceLimits()
        self.meter = meter or Meter()
        self.stopping = False
        self._interface = interface
        self._clock = clock
        self._group = group
        self._book = SessionBook(self.limits.sessions, self.limits.idle_seconds)
        self._board = TaskBoard(self.limits, clock.monotonic)
        self._runs: set[_Run] = set()
        self.meter.gauge("sessions", "Sessions that are open.", lambda: len(self._book))
        self.meter.gauge("running", "Questions that run or wait for their turn.", lambda: len(self._runs))

    async def initialize(self, owner: str, role: str) -> str:
        """Open a session of the older shape and say its id."""
        self._admit()
        try:
            self._interface.templates(role)
        except ConfigurationException as error:
            raise of_configuration(error) from error
        return self._book.open(owner, self._clock.new_id("session"), role, self._clock.monotonic()).session_id

    def is_task(self, owner: str, session_id: str) -> bool:
        """True for a session whose questions are answered with a task."""
        session = self._book.find(owner, session_id)
        return session is not None and session.role is not None

    async def interact(self, owner: str, ask: Ask, watch: TokenWatcher | None = None) -> Outcome:
        """Ask and wait. Raises Refusal for what did not reach the model; cancelling it cancels the model's call."""
        self._admit()
        session, conversation = await self._conversation(owner, ask)
        began = self._clock.monotonic()
        with anyio.CancelScope() as scope:
            run = _Run(session, scope)
            self._runs.add(run)
            session.busy += 1
            try:
                async with conversation.lock:  # the log of exchanges has one order, as the conversation has
                    outcome = await self._asked(conversation, ask, watch)
            except anyio.get_cancelled_exc_class():
                self.meter.given_up(conversation.role, run.refusal.code if run.refusal else "client_gone")
                raise
            else:
                self.meter.asked(conversation.role, outcome, self._clock.monotonic() - began)
                return outcome
            finally:
                self._runs.discard(run)
                session.busy -= 1
                session.used_at = self._clock.monotonic()
        raise run.refusal or stopping()  # only `end` cancels this scope by itself

    def begin(self, owner: str, ask: Ask) -> Task:
        """Begin a task; the same question again is the same task."""
        task = self._board.of_key(owner, ask.session_id, ask.key)
        if task is None:
            self._admit()
            self._book.get(owner, ask.session_id)
            task = self._board.add(owner, self._clock.new_id("task"), ask.session_id, ask.key)
            self._group.start_soon(self._work, task, ask)
        return task

    async def task(self, owner: str, task_id: str, wait_seconds: float) -> Task:
        """The task, once it is done or `wait_seconds` are over."""
        task = self._board.get(owner, task_id)
        await self._board.wait(task, wait_seconds)
        return task

    async def delete(self, owner: str, session_id: str) -> None:
        """Forget a session and end what runs in it."""
        await self._forget(
            self._book.get(owner, session_id), Refusal(410, "session_deleted", "the session was deleted")
        )

    def history(self, owner: str, session_id: str) -> dict[str, Any]:
        """What was said in a session, by role, as PrismBench shows it."""
        return {
            role: {"role": role, "history": [{**each.inputs, "response": each.response} for each in talk.exchanges]}
            for role, talk in self._book.get(owner, session_id).conversations.items()
        }

    def sessions(self, owner: str) -> dict[str, dict[str, Any]]:
        """The owner's sessions by id."""
        now = self._clock.monotonic()
        return {
            session.session_id: {
                "roles": list(session.conversations) or [session.role],
                "exchanges": sum(len(talk.exchanges) for talk in session.conversations.values()),
                "idle_seconds": 0.0 if session.busy else round(now - session.used_at, 3),
            }
            for session in self._book.of(owner)
        }

    async def sweep(self) -> None:
        """For ever: forget what is old, and cancel what nobody waits for."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            self._board.sweep()
            for session in self._book.idle(self._clock.monotonic()):
                await self._forget(session, Refusal(410, "session_expired", "the session was idle for too long"))

    async def drain(self) -> None:
        """Take nothing new; return when all that runs has ended and was handed over, at the latest after the grace."""
        self.stopping = True
        with anyio.move_on_after(self.limits.grace_seconds):
            while self._runs:
                await self._clock.sleep(_TICK_SECONDS)
        self.abort()
        with anyio.move_on_after(min(HANDOVER_SECONDS, self.limits.grace_seconds)):
            while self._runs or self._board.untold:
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

    async def _conversation(self, owner: str, ask: Ask) -> tuple[Session, Conversation]:
        """Where the question belongs; a session begins with its first one."""
        session = self._book.find(owner, ask.session_id)
        role = ask.role or (session and session.role) or DEFAULT_ROLE
        if session is not None and session.role not in (None, role):
            raise Refusal(422, "wrong_role", f"the session was opened for {session.role!r}, not for {role!r}")
        if session is not None and role in session.conversations:
            return session, session.conversations[role]
        if ask.continues:
            raise no_session(ask.session_id)
        try:
            inner = await self._interface.initialize_session(role, seed=ask.seed, labels=ask.labels)
        except ConfigurationException as error:
            raise of_configuration(error) from error
        try:
            session = self._book.find(owner, ask.session_id) or self._book.open(
                owner, ask.session_id, None, self._clock.monotonic()
            )
        except Refusal:
            await self._interface.cleanup_session(inner)
            raise
        conversation = session.conversations.setdefault(role, Conversation(role, inner))
        if conversation.inner_id != inner:  # another question began it meanwhile
            await self._interface.cleanup_session(inner)
        return session, conversation

    async def _asked(self, conversation: Conversation, ask: Ask, watch: TokenWatcher | None) -> Outcome:
        if ask.key and conversation.last is not None and conversation.last[0] == ask.key:
            return conversation.last[1]
        try:
            outcome = Outcome(
                await self._interface.interact(conversation.inner_id, conversation.role, ask.inputs, watch=watch)
            )
        except AgentCommunicationException as error:
            outcome = Outcome(None, error.with_traceback(None))
        except ConfigurationException as error:
            raise of_configuration(error) from error
        if (shown := outcome.shown) is not None:
            conversation.exchanges.append(Exchange(ask.inputs, shown))
            conversation.last = (ask.key, outcome)
        return outcome

    async def _work(self, task: Task, ask: Ask) -> None:
        outcome: Outcome | None = None
        refusal: Refusal | None = Refusal(410, "abandoned", "nobody asked for the task, so it was cancelled")
        with task.scope:
            try:
                outcome, refusal = await self.interact(task.owner, ask), None
            except Refusal as error:
                refusal = error
            except EnvironmentException as error:  # of a kind that the interface's contract does not name
                refusal = Refusal(500, error.code, str(error))
        self._board.end(task, outcome, refusal)

    async def _forget(self, session: Session, why: Refusal) -> None:
        if not self._book.remove(session):
            return
        for run in [run for run in self._runs if run.session is session]:
            run.end(why)
        for conversation in session.conversations.values():
            with suppress(EnvironmentException):  # forgotten here in any case
                await self._interface.cleanup_session(conversation.inner_id)


def outcome_document(outcome: Outcome) -> Mapping[str, Any]:
    """All that there is to know of an outcome, for clients with our extensions."""
    if outcome.answer is not None:
        answer = outcome.answer
        return {
            "raw": None if answer.raw == answer.text else answer.raw,
            "usage": answer.usage.model_dump(mode="json"),
            "prompt": answer.prompt,
            "template": answer.template,
            "remaining": answer.remaining,
            "appended": answer.appended,
            "finish_reason": answer.finish_reason,
            "details": answer.details,
        }
    error = outcome.error
    assert error is not None  # noqa: S101 - an outcome has either
    return {
        "code": error.code,
        "message": error.message,
        "subject": error.subject,
        "hint": error.hint,
        "usage": error.usage.model_dump(mode="json") if error.usage else None,
        "prompt": error.prompt,
        "raw": error.raw,
        "retry_after_seconds": error.retry_after_seconds,
    }
