"""One process's work on one run.

However a sitting ends, also by an error or by cancellation, the run's status and the reason are stored. Only a kill
leaves `running`.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import anyio
import anyio.to_thread
from loguru import logger

from prismenv.contracts.abilitymap import MAP
from prismenv.contracts.archive import NodeRecord, RunRecord
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.services import Services
from prismenv.engine.budget import Budget
from prismenv.engine.node import NodeExecutor, NodeSetup
from prismenv.engine.outcomes import describe_error, unwrap
from prismenv.engine.phases import PhaseWatch
from prismenv.engine.preparing import Prepared
from prismenv.engine.progress import Progress
from prismenv.engine.recorder import open_recorder
from prismenv.engine.report import SIMULATED, RunReport, Tally
from prismenv.engine.runner import Ending, Pace, Runner, RunnerHooks
from prismenv.engine.switch import StopSwitch
from prismenv.engine.telling import node_told, place_of
from prismenv.words.codestopped import CodeStopped, code_stopped
from prismenv.words.errors import BudgetException, EnvironmentException
from prismenv.words.events import Event, EventSink, EventType
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.usage import Usage

REPLAY_PAGE = 100
_UNKEPT = "unkept_usage"  # of a run's last event: what nodes used that were left without a result
_STOP_EVENTS: dict[str, EventType] = {"budget_reached": "budget_reached", "interrupted": "run_interrupted"}


class Sitting:
    """Works on a run until it ends, or until this process stops working on it."""

    def __init__(self, recipe: Recipe, services: Services, prepared: Prepared, run: RunRecord, emit: EventSink) -> None:
        self._recipe = recipe
        self._services = services
        self._policy = prepared.policy
        self._planned = prepared.planned
        self._run = run
        self._emit = emit
        self._finished_before = run.status == "finished"
        self._phases = PhaseWatch()
        self._budget = Budget(recipe.budget, services.clock, services.ledger)
        self._progress = Progress(prepared.policy.total)
        self._tally = Tally(
            self._progress,
            self._budget,
            own_problems=prepared.own_problems,
            simulated=_is_simulated(recipe, prepared.roles),
        )
        self._executor = NodeExecutor(
            NodeSetup(
                run_id=run.run_id,
                environment=recipe.environment,
                configs=prepared.configs,
                options=recipe.options,
                services=services,
                spend=self._tally.spend,
                emit=emit,
                keep_calls=recipe.output.keep_calls,
                stream=recipe.output.stream,
            )
        )

    async def work(self, stop: StopSwitch, *, resumed: bool) -> RunReport:
        """Work, and report as things then stand. Errors of the engine are raised alone, not in a group."""
        ending = Ending("interrupted", "cancelled")
        failure: Exception | None = None
        try:
            ending = await self._run_nodes(stop, resumed=resumed)
        except Exception as error:  # noqa: BLE001 - boundary: stored as the run's reason, and raised
            failure = unwrap(error)
            ending = Ending("failed", describe_error(failure))
            raise failure from failure.__cause__
        except (CodeStopped, BaseExceptionGroup) as error:
            stopped = code_stopped(error)
            if stopped is None:
                raise
            ending = Ending("interrupted", str(stopped))
        finally:
            with anyio.CancelScope(shield=True):
                await self._close(ending, failure)
        return self._tally.report(self._run, self._services.store.location if self._services.store else None)

    async def _run_nodes(self, stop: StopSwitch, *, resumed: bool) -> Ending:
        before = self._run
        async with open_recorder(self._services.store, self._run.run_id) as recorder:

            async def execute(request: NodeRequest) -> NodeOutcome | None:
                try:
                    record = await self._executor.execute(request)
                except BudgetException:
                    self._budget.give_up_node()
                    return None
                await recorder.save(record)
                self._budget.end_node([call.usage for call in record.calls])
                return record.outcome

            hooks = RunnerHooks(
                gate=self._budget.reached,
                broken=self._budget.unenforceable,
                started=self._started,
                arrived=self._arrived,
                told=self._told,
            )
            pace = Pace(self._recipe.concurrency.nodes, self._recipe.search.window)
            runner = Runner(self._policy, execute, hooks, stop, pace)
            if resumed:
                await self._replay(runner)
            await self._open(resumed=resumed)
            ending = await runner.run()
            if resumed and before.status == "failed" and self._progress.done == self._progress.replayed:
                return Ending("failed", before.note)  # nothing was left to run, so nothing was mended either
            return ending

    async def _replay(self, runner: Runner) -> None:
        if self._services.store is None:
            return
        records = self._services.store.nodes(self._run.run_id)

        def page() -> list[NodeRecord]:
            return list(islice(records, REPLAY_PAGE))

        for event in await anyio.to_thread.run_sync(self._services.store.events, self._run.run_id):
            if (unkept := event.data.get(_UNKEPT)) is not None:
                self._tally.take_over([Usage.model_validate(unkept)], nodes=0)
        while batch := await anyio.to_thread.run_sync(page):
            for record in batch:
                self._tally.take_over([call.usage for call in record.calls], nodes=1)
                runner.replay(replace(record.outcome, replayed=True))

    async def _open(self, *, resumed: bool) -> None:
        event = self._event(
            "run_resumed" if resumed else "run_started",
            name=self._run.name,
            environment=self._run.environment,
            seed=self._run.seed,
            concurrency=self._recipe.concurrency.nodes,
            simulated=self._tally.simulated,
            store=self._services.store.location if self._services.store else None,
            progress=self._snapshot(),
            plan=[list(place) for place in self._planned],
        )
        if not self._finished_before:
            await self._save(replace(self._run, status="running", ended_at=None, note=""), [event])
        self._emit(event)

    async def _close(self, ending: Ending, failure: Exception | None) -> None:
        """Store and tell how it ended; where it ended by an error, a second error is only logged."""
        note = ending.note
        if self._finished_before and ending.status == "finished":
            note = "the run was finished already; nothing was left to do"
        events = [self._event(kind, note=note) for kind in (_STOP_EVENTS.get(ending.status),) if kind is not None]
        unkept = self._budget.unkept()
        left: dict[str, Any] = {_UNKEPT: unkept.model_dump(mode="json")} if unkept.calls else {}
        left |= self._own_map()
        events.append(self._event("run_finished", status=ending.status, note=note, progress=self._snapshot(), **left))
        run = replace(self._run, status=ending.status, note=note, ended_at=self._services.clock.now())
        try:
            if self._finished_before:
                self._run = replace(run, ended_at=self._run.ended_at)
            else:
                await self._save(run, events)
        except EnvironmentException as error:
            if failure is None:
                raise
            logger.warning("the end of run {} could not be stored: {}", run.run_id, error)
        if ending.status == "finished" and not self._finished_before and (ended := self._phases.end()) is not None:
            self._emit(self._event("phase_ended", **ended))
        for event in events:
            self._emit(event)

    def _own_map(self) -> dict[str, Any]:
        """The map that the policy itself has, for reports; nothing where it has none, or cannot say."""
        try:
            found = self._policy.state().get(MAP)
        except EnvironmentException as error:
            logger.warning("the search's own map of run {} is not kept: {}", self._run.run_id, error)
            return {}
        return {} if found is None else {MAP: found}

    async def _save(self, run: RunRecord, events: Sequence[Event]) -> None:
        self._run = run
        if self._services.store is not None:
            await anyio.to_thread.run_sync(self._services.store.save_run, run, events)

    def _started(self, request: NodeRequest) -> None:
        self._budget.start_node()
        self._emit(self._event("node_started", **place_of(request)))

    def _arrived(self, outcome: NodeOutcome) -> None:
        self._progress.add(outcome)
        if outcome.replayed:
            return
        self._emit(self._event("node_finished", **node_told(outcome, self._snapshot())))

    def _told(self, outcome: NodeOutcome) -> None:
        self._tally.told(outcome)
        ended = self._phases.told(outcome)
        if ended is not None and not outcome.replayed:
            self._emit(self._event("phase_ended", **ended))

    def _snapshot(self) -> dict[str, Any]:
        return self._progress.snapshot(self._budget.elapsed_seconds)

    def _event(self, kind: EventType, **data: Any) -> Event:
        return Event(kind, self._run.run_id, self._services.clock.now(), data)


def _is_simulated(recipe: Recipe, roles: Sequence[str]) -> bool:
    """True where a simulated model will answer one of the roles; a service chooses its own models."""
    if recipe.interface.type != "local":
        return False
    models = (recipe.models.get(role, recipe.models.get("default", "")) for role in roles)
    return any(model.startswith(SIMULATED) for model in models)
