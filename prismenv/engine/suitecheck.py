"""Tries the suites of a stored run with stubs, solutions that solve nothing: a suite that one passes measures nothing.

Theory of operation. As in rejudging, one task reads nodes, a thread hop each, into a channel of no great size, and as
many tasks as the sandbox is to have work for take suites from it. Each suite is tried once, whatever number of attempts
it judged, and only until a stub passes. The store is only read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from prismenv.answers.suites import stubs_for
from prismenv.contracts.archive import Store
from prismenv.contracts.jail import Sandbox
from prismenv.engine.survey import Survey
from prismenv.scoring.problems import Score, scores_of
from prismenv.scoring.suspects import title_of
from prismenv.words.nodes import NodeOutcome
from prismenv.words.records import TrailRecord


@dataclass(slots=True)
class SuiteCheck:
    """`tried` suites were judged with stubs, `passed` by one; the sandbox could not judge `unjudged` of them."""

    tried: int = 0
    passed: int = 0
    unjudged: int = 0


_Suite = tuple[Score, TrailRecord]
OnProgress = Callable[[SuiteCheck], None]


async def try_stubs(
    store: Store,
    survey: Survey,
    sandbox: Sandbox,
    *,
    on_progress: OnProgress = lambda _: None,
    concurrency: int = 8,
) -> SuiteCheck:
    """Try every suite of the survey's runs; those that a stub passes are added to the survey's suspects.

    Each is judged in the mode in which its solutions were. `on_progress` is called after each suite.
    """
    check = SuiteCheck()
    send, receive = anyio.create_memory_object_stream[_Suite](concurrency)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, store, survey, send)
        for _ in range(concurrency):
            tasks.start_soon(_try_all, sandbox, receive.clone(), survey, check, on_progress)
        receive.close()
    return check


async def _read(store: Store, survey: Survey, out: MemoryObjectSendStream[_Suite]) -> None:
    seen: set[bytes] = set()
    async with out:
        for run in survey.runs:
            nodes = await anyio.to_thread.run_sync(store.nodes, run.run_id)
            while (node := await anyio.to_thread.run_sync(partial(next, nodes, None))) is not None:
                for score, record in _suites(node.outcome):
                    digest = blake2b((record.test_cases or "").encode("utf-8", "replace"), digest_size=16).digest()
                    if digest not in seen:
                        seen.add(digest)
                        await out.send((score, record))


def _suites(outcome: NodeOutcome) -> list[_Suite]:
    """The last suite of each problem that a solution was judged by."""
    result = outcome.result
    if result is None:
        return []
    found = []
    for place, score in enumerate(scores_of(outcome)):
        index = result.problems[place].problem_index if result.problems else None
        judged = [
            record
            for record in result.data_trail
            if record.verdict is not None
            and record.test_cases
            and index in (None, record.problem_index)
            and not record.get("language")  # stubs are Python's
        ]
        if judged and score.measured:
            found.append((score, judged[-1]))
    return found


async def _try_all(
    sandbox: Sandbox,
    suites: MemoryObjectReceiveStream[_Suite],
    survey: Survey,
    check: SuiteCheck,
    on_progress: OnProgress,
) -> None:
    async with suites:
        async for score, record in suites:
            await _try(sandbox, score, record, survey, check)
            on_progress(check)


async def _try(sandbox: Sandbox, score: Score, record: TrailRecord, survey: Survey, check: SuiteCheck) -> None:
    tests, mode = record.test_cases or "", record.verdict.verdict_mode if record.verdict else None
    broken = False
    for stub in stubs_for(tests):
        verdict = await sandbox.judge(stub.program, tests, verdict=mode)
        broken = broken or verdict.outcome == "infrastructure_error"
        if verdict.success:
            survey.signs.tell_stub(score, title_of(record), f"a stub that {stub.does} passes it")
            check.passed += 1
            break
    check.tried += 1
    check.unjudged += broken
