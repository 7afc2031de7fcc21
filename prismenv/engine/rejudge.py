"""Judges the stored solutions of a run again.

A run is a record of what was measured, so rejudging never alters it: a verdict that was replaced would stand in a run
whose search decided by the other one. What changed is reported, and whoever wants a run by the new judge makes one.

Theory of operation. One task reads nodes, a thread hop each, into a channel of no great size; as many tasks as the
sandbox is to have work for take attempts from it. Memory does not grow with the run but for the changes found.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from prismenv.contracts.archive import Store
from prismenv.contracts.jail import Sandbox
from prismenv.engine.summaries import find_run
from prismenv.words.nodes import NodeRequest
from prismenv.words.records import TrailRecord
from prismenv.words.verdict import Verdict

_SHOWN = ("outcome", "fault", "tests_passed_num", "tests_failed_num", "tests_errored_num")
_COMPARED = ("outcome", "tests_passed_num", "tests_failed_num", "tests_errored_num")


@dataclass(frozen=True, slots=True)
class Change:
    """An attempt whose outcome or counts are not what they were. `position` counts the attempts of the node."""

    node_index: int
    node_id: str
    position: int
    problem_index: int
    attempt_num: int
    before: Verdict
    after: Verdict

    def to_json(self) -> dict[str, Any]:
        """As plain JSON: where it is, and outcome, fault and counts before and after."""
        return {
            "node_index": self.node_index,
            "node_id": self.node_id,
            "position": self.position,
            "problem_index": self.problem_index,
            "attempt_num": self.attempt_num,
            "before": {key: self.before[key] for key in _SHOWN},
            "after": {key: self.after[key] for key in _SHOWN},
        }


@dataclass(slots=True)
class Rejudging:
    """What rejudging a run came to.

    `judged` attempts got a verdict again; `unjudged` ones the sandbox could not judge this time, which says nothing
    about them; `skipped` ones hold no solution, no tests or no verdict. `changes` is in the order of the run.
    """

    run_id: str
    judged: int = 0
    unjudged: int = 0
    skipped: int = 0
    changes: list[Change] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "run_id": self.run_id,
            "judged": self.judged,
            "unjudged": self.unjudged,
            "skipped": self.skipped,
            "changed": len(self.changes),
            "changes": [change.to_json() for change in self.changes],
        }


@dataclass(frozen=True, slots=True)
class _Attempt:
    request: NodeRequest
    position: int
    record: TrailRecord


OnProgress = Callable[[Rejudging], None]


async def rejudge_run(
    store: Store,
    run_id: str,
    sandbox: Sandbox,
    *,
    on_progress: OnProgress = lambda _: None,
    concurrency: int = 8,
) -> Rejudging:
    """Judge every stored attempt of a run again, at most `concurrency` at once, and say which verdicts changed.

    Each is judged in the mode that it was judged in. The sandbox decides the limits, so open it with the run's
    settings. `on_progress` is called after each attempt with the report so far. The store is only read. An unknown run
    is a StorageException.
    """
    run = await anyio.to_thread.run_sync(find_run, store, run_id)
    report = Rejudging(run.run_id)
    send, receive = anyio.create_memory_object_stream[_Attempt](concurrency)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, store, run.run_id, send, report)
        for _ in range(concurrency):
            tasks.start_soon(_judge_all, sandbox, receive.clone(), report, on_progress)
        receive.close()
    report.changes.sort(key=lambda change: (change.node_index, change.position))
    return report


async def _read(store: Store, run_id: str, out: MemoryObjectSendStream[_Attempt], report: Rejudging) -> None:
    async with out:
        nodes = await anyio.to_thread.run_sync(store.nodes, run_id)
        while (node := await anyio.to_thread.run_sync(partial(next, nodes, None))) is not None:
            result = node.outcome.result
            for position, record in enumerate(result.data_trail if result else ()):
                if record.solution is None or record.test_cases is None or record.verdict is None:
                    report.skipped += 1
                else:
                    await out.send(_Attempt(node.outcome.request, position, record))


async def _judge_all(
    sandbox: Sandbox,
    attempts: MemoryObjectReceiveStream[_Attempt],
    report: Rejudging,
    on_progress: OnProgress,
) -> None:
    async with attempts:
        async for attempt in attempts:
            record = attempt.record
            mode = record.verdict.verdict_mode if record.verdict else None
            language = str(record.get("language") or "python")
            after = await sandbox.judge(record.solution or "", record.test_cases or "", verdict=mode, language=language)
            _compare(attempt, after, report)
            on_progress(report)


def _compare(attempt: _Attempt, after: Verdict, report: Rejudging) -> None:
    record, before = attempt.record, attempt.record.verdict
    if after.outcome == "infrastructure_error":
        report.unjudged += 1
        return
    report.judged += 1
    if before is not None and any(before[key] != after[key] for key in _COMPARED):
        request = attempt.request
        change = Change(
            request.index, request.node_id, attempt.position, record.problem_index, record.attempt_num, before, after
        )
        report.changes.append(change)
