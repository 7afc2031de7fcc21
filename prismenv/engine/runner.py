"""Runs what a search policy asks for.

Theory of operation. The policy always has `window` requests out: asked for and not yet told. They are told strictly in
index order, and after each telling the policy is asked for one more window's worth; so what it sees depends on the
window, which is part of the recipe, and never on concurrency or on which node ended first. Requests wait in `_waiting`
in index order, at most `concurrency` of them run, each in a task of its own, and those that ended early wait in
`_arrived`. All three are bounded by the window, so memory does not grow with the run.

What executes a request returns when its record is durable, and only then is it reported. A node that was reported is
therefore in the store, and one that is in the store is never run again: on resume the stored outcomes are fed through
`replay` in index order before anything starts, the policy asks the same requests again, and what is missing waits.

Stops: the gate names a spent budget before each start; the switch drains (nothing starts, what runs ends) or aborts
(the node tasks are cancelled; records already on their way are still written). Code that keeps the event loop may be
ended by CodeStopped, out of a policy or a node; what has ended by then counts, and CodeStopped is passed on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from prismenv.contracts.archive import RunStatus
from prismenv.contracts.policy import SearchPolicy
from prismenv.engine.switch import StopSwitch
from prismenv.engine.unmeasured import Unmeasured
from prismenv.words.codestopped import CodeStopped
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException
from prismenv.words.nodes import NodeOutcome, NodeRequest

# Returns when the outcome is durable; None where the node was left without one, for the budget that the gate names.
Execute = Callable[[NodeRequest], Awaitable[NodeOutcome | None]]

_Send = MemoryObjectSendStream[NodeOutcome | None]
_Receive = MemoryObjectReceiveStream[NodeOutcome | None]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run, or this sitting of it, ended. `note` says why where that is not plain."""

    status: RunStatus
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunnerHooks:
    """What the runner asks and tells its owner; all return at once.

    `gate` names the budget that keeps a further node from starting, None for none; `broken` says why the run cannot go
    on at all, None while it can. `told` comes in index order, `started` and `arrived` as it happens.
    """

    gate: Callable[[], str | None]
    broken: Callable[[], str | None]
    started: Callable[[NodeRequest], None]
    arrived: Callable[[NodeOutcome], None]
    told: Callable[[NodeOutcome], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How many nodes run at once, and how far results may run ahead of the one that is told next."""

    concurrency: int
    window: int


class Runner:
    """Drives one policy to its end, or to a stop."""

    def __init__(
        self,
        policy: SearchPolicy,
        execute: Execute,
        hooks: RunnerHooks,
        stop: StopSwitch,
        pace: Pace,
    ) -> None:
        self._policy = policy
        self._execute = execute
        self._hooks = hooks
        self._stop = stop
        self._pace = pace
        self._waiting: dict[int, NodeRequest] = {}
        self._arrived: dict[int, NodeOutcome] = {}
        self._begun = False
        self._asked = 0
        self._told = 0
        self._running = 0
        self._left_out = False  # a node was left without an outcome, for want of budget
        self._unmeasured = Unmeasured()

    def replay(self, outcome: NodeOutcome) -> None:
        """Take over an outcome of an earlier sitting; call it in index order, before `run`.

        Raises ConfigurationException when the policy asks for something else than what was measured.
        """
        self._ask_first()
        request = self._waiting.pop(outcome.request.index, None)
        if request is None or _identity(request) != _identity(outcome.request):
            asked = "nothing" if request is None else repr(request.node_id)
            raise ConfigurationException(
                f"cannot resume: node {outcome.request.index} is stored as {outcome.request.node_id!r}, and the "
                f"search now asks for {asked} there. The environment's nodes, its data or the policy's code have "
                "changed since; start a new run",
                code="run_diverged",
            )
        self._hooks.arrived(outcome)
        self._arrived[outcome.request.index] = outcome
        self._tell_in_order()

    async def run(self) -> Ending:
        """Run until the policy is finished, a budget is spent, the switch is used or the run is broken."""
        ending: Ending | None = None
        # Unbounded on paper; a task reports once, so it never holds more than `concurrency` outcomes.
        send, receive = anyio.create_memory_object_stream[NodeOutcome | None](float("inf"))
        with send, receive:
            try:
                with self._stop.watched():
                    async with anyio.create_task_group() as tasks:
                        ending = await self._drive(tasks, send, receive)
                return ending or self._collect_leftovers(receive)
            except* CodeStopped:
                self._keep_rest(receive)
                raise

    async def _drive(self, tasks: TaskGroup, send: _Send, receive: _Receive) -> Ending:
        self._ask_first()
        while True:
            obstacle = self._start(tasks, send)
            if not self._running:
                return self._measured(self._given_up() or obstacle) or self._end()
            self._take(await receive.receive())
            self._take_all(receive)

    def _start(self, tasks: TaskGroup, send: _Send) -> Ending | None:
        """Start what may start; the reason when something waits and must not start, else None."""
        while self._waiting:
            obstacle = self._obstacle()
            if obstacle is not None:
                return obstacle
            if self._running >= self._pace.concurrency:
                return None
            request = self._waiting.pop(next(iter(self._waiting)))
            self._running += 1
            self._hooks.started(request)
            tasks.start_soon(self._run_node, request, send)
        return None

    def _obstacle(self) -> Ending | None:
        broken = self._hooks.broken() or self._unmeasured.hopeless()
        if broken is not None:
            return Ending("failed", broken)
        if self._stop.draining:
            return Ending("interrupted", "stopped on request")
        spent = self._hooks.gate()
        return Ending("budget_reached", spent) if spent is not None else None

    async def _run_node(self, request: NodeRequest, send: _Send) -> None:
        send.send_nowait(await self._execute(request))

    def _take(self, outcome: NodeOutcome | None) -> None:
        self._running -= 1
        if outcome is None:
            self._left_out = True
            return
        self._hooks.arrived(outcome)
        self._arrived[outcome.request.index] = outcome
        self._tell_in_order()

    def _take_all(self, receive: _Receive) -> None:
        """Take what ended together, so that what follows it starts together."""
        while receive.statistics().current_buffer_used:
            self._take(receive.receive_nowait())

    def _ask_first(self) -> None:
        if not self._begun:
            self._begun = True
            self._ask()

    def _ask(self) -> None:
        """Fill the window, at the start and after each telling and at no other time.

        A policy may draw random numbers in vain when it has nothing to give; so how often it is asked has to depend on
        what it was told alone.
        """
        while (room := self._pace.window - (self._asked - self._told)) > 0 and not self._policy.finished:
            requests = self._policy.ask(room)
            for request in requests:
                if request.index != self._asked:
                    raise EnvironmentExecutionException(
                        f"the search policy gave request {request.index} where {self._asked} comes next: "
                        "indexes count on by 1",
                        code="policy_broken",
                    )
                self._waiting[request.index] = request
                self._asked += 1
            if not requests:
                return

    def _tell_in_order(self) -> None:
        while (outcome := self._arrived.get(self._told)) is not None:
            self._policy.tell(outcome)
            del self._arrived[self._told]  # not before: a policy that is ended in the midst leaves it to be counted
            self._told += 1
            self._unmeasured.add(outcome)
            self._hooks.told(outcome)
            self._ask()

    def _end(self) -> Ending:
        """Nothing runs and nothing waits."""
        if not self._policy.finished:
            raise EnvironmentExecutionException(
                "the search policy asks for nothing although every outcome was told and it is not finished",
                code="policy_broken",
            )
        broken = self._hooks.broken()
        if broken is not None:  # a short run ends before anything waits, and so before `_obstacle` asks
            return Ending("failed", f"all nodes were done, but {broken}")
        nothing = self._unmeasured.verdict()
        if nothing is not None:
            return Ending("failed", nothing)
        note = str(self._policy.state().get("note", ""))
        if not self._asked:
            return Ending("failed", f"the search asked for no node at all{f': {note}' if note else ''}")
        return Ending("finished", note)

    def _measured(self, ending: Ending | None) -> Ending | None:
        """A budget that was spent on nothing is a failure, and no end that more budget mends."""
        nothing = self._unmeasured.verdict() if ending is not None and ending.status == "budget_reached" else None
        return Ending("failed", f"{ending.note}; {nothing}") if ending is not None and nothing is not None else ending

    def _given_up(self) -> Ending | None:
        """How a run ends in which a node was left without an outcome; None where none was."""
        if not self._left_out:
            return None
        self._tell_rest()
        return Ending("budget_reached", self._hooks.gate() or "a budget was spent")

    def _tell_rest(self) -> None:
        """What ended counts, although outcomes before it are missing."""
        for index in sorted(self._arrived):
            self._hooks.told(self._arrived.pop(index))

    def _keep_rest(self, receive: _Receive) -> None:
        """Code of the search or of a node was ended where it was: what ended counts, and the policy is told no more."""
        while receive.statistics().current_buffer_used:
            outcome = receive.receive_nowait()
            if outcome is not None:
                self._hooks.arrived(outcome)
                self._arrived[outcome.request.index] = outcome
        self._tell_rest()

    def _collect_leftovers(self, receive: _Receive) -> Ending:
        """After an abort: what ended and was written counts, although outcomes before it are missing."""
        self._take_all(receive)
        self._tell_rest()
        if not self._waiting and not self._running:
            return self._measured(self._given_up()) or self._end()
        return Ending("interrupted", "stopped at once on request")


def _identity(request: NodeRequest) -> tuple[Any, ...]:
    return (
        request.node_id,
        tuple(request.concepts),
        request.difficulty,
        request.seed,
        request.phase,
        request.environment,
    )
