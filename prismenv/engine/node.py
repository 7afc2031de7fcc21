"""One node: an environment made for it, run, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import anyio

from prismenv.contracts.archive import CallRecord, NodeRecord
from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.observer import NodeObserver
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.blocked import door
from prismenv.engine.outcomes import describe_error, fault_of_error, fault_of_result
from prismenv.engine.telling import attempt_told
from prismenv.words.chat import TokenWatcher
from prismenv.words.errors import BudgetException, DeadlineException
from prismenv.words.events import Event, EventSink
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import Fault

# An environment ends by itself at its timeout and hands back what it has. One that does not is cut off this much later.
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class NodeSetup:
    """What all nodes of a run share.

    `environment` is the one of nodes that name none; `configs` are by environment, validated once; `options` go to
    `execute_node` untouched.
    """

    run_id: str
    environment: str
    configs: Mapping[str, EnvironmentConfig]
    options: Mapping[str, Any]
    services: Services
    spend: Callable[[Usage], None]
    emit: EventSink
    keep_calls: bool  # False: what calls used is kept, their prompts and answers are not
    stream: bool = False  # True: tells of answers' text while it comes


class _Watcher(NodeObserver):
    """Gathers a node's calls for the store, and tells of them as they happen."""

    __slots__ = ("_setup", "_where", "attempts", "calls")

    def __init__(self, setup: NodeSetup, request: NodeRequest) -> None:
        self._setup = setup
        self._where = {"index": request.index, "node_id": request.node_id}
        self.calls: list[CallRecord] = []
        self.attempts = 0  # that were told

    def attempt_judged(self, record: TrailRecord) -> None:
        self.attempts += 1
        self._emit("attempt_judged", **attempt_told(record))

    def model_called(self, call: CallRecord) -> None:
        self._setup.spend(call.usage)
        self.calls.append(call if self._setup.keep_calls else replace(call, prompt="", answer=""))
        self._emit(
            "model_called",
            role=call.role,
            model=call.model,
            tokens=call.usage.tokens,
            cost_usd=call.usage.cost_usd,
            wall_seconds=call.wall_seconds,
            error=call.error,
        )

    def token_watcher(self, role: str) -> TokenWatcher | None:
        return partial(self._tell_tokens, role) if self._setup.stream else None

    def _tell_tokens(self, role: str, text: str) -> None:
        self._emit("model_tokens", role=role, text=text, begins=not text)

    def _emit(self, kind: Any, **data: Any) -> None:
        setup = self._setup
        setup.emit(Event(kind, setup.run_id, setup.services.clock.now(), {**self._where, **data}))


class NodeExecutor:
    """Executes the nodes of one run. Whatever an environment does, a node ends with a record."""

    def __init__(self, setup: NodeSetup) -> None:
        self._setup = setup

    async def execute(self, request: NodeRequest) -> NodeRecord:
        """Run one node. An environment that raises is data: `result` is None, `fault` and `error` say why.

        BudgetException where a call of it was not made for want of budget: then nothing was measured.
        """
        setup, clock = self._setup, self._setup.services.clock
        watcher = _Watcher(setup, request)
        started, started_at = clock.monotonic(), clock.now()
        result: ChallengeResults | None = None
        error: str | None = None
        fault: Fault
        try:
            result = await self._measure(request, watcher)
            fault = fault_of_result(result)
            if not watcher.attempts:  # an environment may hand over its trail at its end, without a word before
                for record in result.data_trail:
                    watcher.attempt_judged(record)
        except BudgetException:
            raise
        except (Exception, SystemExit) as caught:  # noqa: BLE001 - boundary: an environment's code, often somebody else's
            error, fault = describe_error(caught), fault_of_error(caught)
        outcome = NodeOutcome(request, result, fault, error, clock.monotonic() - started)
        where = {"node_id": request.node_id}
        events = (
            Event("node_started", setup.run_id, started_at, where),
            Event("node_finished", setup.run_id, clock.now(), {**where, "success": outcome.success, "fault": fault}),
        )
        return NodeRecord(outcome, watcher.calls, events)

    @door
    async def _measure(self, request: NodeRequest, watcher: NodeObserver) -> ChallengeResults:
        setup = self._setup
        name = request.environment or setup.environment
        config = setup.configs[name]
        environment = BaseEnvironment(name, config=config, services=setup.services, observer=watcher, seed=request.seed)
        concept = request.concepts[0] if len(request.concepts) == 1 else list(request.concepts)
        options = {**setup.options, **request.options}
        limit = _limit_seconds(config, options)
        with anyio.move_on_after(limit) as scope:
            async with environment:
                given = await environment.execute_node(concept=concept, difficulty_level=request.difficulty, **options)
                return cast(ChallengeResults, given)  # the engine's part around it has brought it into shape
        if scope.cancelled_caught:
            raise DeadlineException(
                f"{name} did not end within {limit:g} s, {GRACE_SECONDS:g} s more than its timeout",
                subject=request.node_id,
            )
        raise AssertionError("a block that returns was left without a value")


def _limit_seconds(config: EnvironmentConfig, options: Mapping[str, Any]) -> float:
    asked = options.get("timeout")
    longest = max(config.timeout, asked) if isinstance(asked, int | float) else None
    return (longest or config.timeout) + GRACE_SECONDS
