"""Between records and rows.

Columns that are asked for by value stand beside JSON that holds everything; reading uses the JSON. The rows of a node,
its trail, calls and events go to the driver as they are made here: every free text in them is made encodable here too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError
from sqlalchemy import Row

from prismenv.contracts.archive import CallRecord, NodeRecord, RunRecord, RunStatus
from prismenv.store.jsontext import dump, encodable, load
from prismenv.words.errors import StorageException
from prismenv.words.events import Event
from prismenv.words.masking import mask_secrets
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults
from prismenv.words.usage import Usage

_Values = dict[str, Any]
_LARGEST = 2**63 - 1
_TRAIL = {"data_trail"}
_STATUSES = tuple(each for each in get_args(RunStatus) if each != "killed")  # which is stored nowhere
_LAST_SECOND = 253_402_300_800 - 86_400  # of the year 9999, wherever the clock stands


def run_values(run: RunRecord) -> _Values:
    """The row of a run. Its recipe is stripped of secrets; `nodes_done` is counted, not stored."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "environment": run.environment,
        "status": run.status,
        "seed": str(run.seed),
        "recipe": dump(mask_secrets(dict(run.recipe))),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "note": run.note,
    }


def run_of(row: Row[Any]) -> RunRecord:
    """The run of a row that has `nodes_done` beside the columns of the table; `damaged` where it cannot be read."""
    try:
        return _sound_run(row)
    except (ValueError, TypeError) as error:
        return RunRecord(
            run_id=str(row.run_id),
            name=str(row.name),
            environment=str(row.environment),
            status="damaged",
            seed=0,
            recipe={},
            started_at=row.started_at if _is_time(row.started_at) else 0.0,
            nodes_done=row.nodes_done,
            note=f"The row of this run cannot be read back: {error}. It was changed by hand or by another program.",
        )


def _sound_run(row: Row[Any]) -> RunRecord:
    """ValueError or TypeError, which says the column, for what this module never wrote."""
    for column in ("run_id", "name", "environment", "note", "seed", "recipe"):
        if not isinstance(getattr(row, column), str):
            raise TypeError(f"{column} is no text")
    if row.status not in _STATUSES:
        raise ValueError(f"status is {row.status!r:.40}")
    if not _is_time(row.started_at) or not (row.ended_at is None or _is_time(row.ended_at)):
        raise ValueError("started_at or ended_at is no time")
    recipe = load(row.recipe)
    if not isinstance(recipe, dict):
        raise TypeError("recipe is no mapping")
    return RunRecord(
        run_id=row.run_id,
        name=row.name,
        environment=row.environment,
        status=row.status,
        seed=int(row.seed),
        recipe=recipe,
        started_at=row.started_at,
        ended_at=row.ended_at,
        nodes_done=row.nodes_done,
        note=row.note,
    )


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0 <= seconds < _LAST_SECOND


def node_values(run_id: str, outcome: NodeOutcome) -> _Values:
    """The row of a node, without its trail."""
    request, result = outcome.request, outcome.result
    return {
        "run_id": encodable(run_id),
        "node_index": request.index,
        "node_id": encodable(request.node_id),
        "concepts": dump(request.concepts),
        "difficulty": encodable(request.difficulty),
        "seed": str(request.seed),
        "options": dump(request.options) if request.options else "{}",
        "success": outcome.success,
        "fault": outcome.fault,
        "error": _text(outcome.error),
        "attempts": len(result.data_trail) if result is not None else 0,
        "success_rate": result.success_rate if result is not None else None,
        "wall_seconds": outcome.wall_seconds,
        "result": dump(result, exclude=_TRAIL) if result is not None else None,
        "phase": _text(request.phase),
        "environment": _text(request.environment),
    }


def attempt_values(run_id: str, outcome: NodeOutcome) -> list[_Values]:
    """The rows of a node's trail."""
    return [
        {
            "run_id": encodable(run_id),
            "node_index": outcome.request.index,
            "position": position,
            "problem_index": _bounded(record.problem_index),
            "attempt_num": _bounded(record.attempt_num),
            "success": record.success,
            "fault": record.fault,
            "outcome": record.verdict.outcome if record.verdict is not None else None,
            "tests_passed_num": _bounded(record.tests_passed_num),
            "tests_failed_num": _bounded(record.tests_failed_num),
            "tests_errored_num": _bounded(record.tests_errored_num),
            "fixed_by_problem_fixer": record.fixed_by_problem_fixer,
            "wall_seconds": record.wall_seconds,
            "cpu_seconds": record.cpu_seconds,
            "record": dump(record),
        }
        for position, record in enumerate(outcome.result.data_trail if outcome.result is not None else ())
    ]


def call_values(run_id: str, index: int, calls: Sequence[CallRecord]) -> list[_Values]:
    """The rows of a node's model calls."""
    return [
        {
            "run_id": encodable(run_id),
            "node_index": index,
            "position": position,
            "role": encodable(call.role),
            "model": encodable(call.model),
            "prompt": encodable(call.prompt),
            "answer": encodable(call.answer),
            "error": _text(call.error),
            "wall_seconds": call.wall_seconds,
            "usage_model": _text(call.usage.model),
            "calls": _bounded(call.usage.calls),
            "prompt_tokens": _bounded(call.usage.prompt_tokens),
            "completion_tokens": _bounded(call.usage.completion_tokens),
            "cost_usd": call.usage.cost_usd,
            "estimated": call.usage.estimated,
            "cached": _bounded(call.usage.cached),
        }
        for position, call in enumerate(calls)
    ]


def event_values(run_id: str, index: int, events: Sequence[Event], first: int = 0) -> list[_Values]:
    """The rows of events, counted from `first`; `index` is RUN_EVENTS for the run's own."""
    return [
        {
            "run_id": encodable(run_id),
            "node_index": index,
            "position": position,
            "type": event.type,
            "at": event.at,
            "data": dump(dict(event.data)) if event.data else "{}",
        }
        for position, event in enumerate(events, first)
    ]


def _text(value: str | None) -> str | None:
    return None if value is None else encodable(value)


def _bounded(number: int) -> int:
    """A column's integers end at 64 bits; a service may claim more tokens than that."""
    return min(number, _LARGEST)


def node_of(
    row: Row[Any], trail: Sequence[Row[Any]], calls: Sequence[Row[Any]], events: Sequence[Row[Any]]
) -> NodeRecord:
    """The node of its rows. A row that cannot be read is a StorageException that names run and node."""
    try:
        return NodeRecord(
            outcome=_outcome_of(row, trail),
            calls=tuple(_call_of(call) for call in calls),
            events=tuple(event_of(event) for event in events),
        )
    except (ValidationError, ValueError, TypeError) as error:
        raise _unreadable(f"Node {row.node_index} of run {row.run_id}", row.run_id, error) from error


def _outcome_of(row: Row[Any], trail: Sequence[Row[Any]]) -> NodeOutcome:
    request = NodeRequest(
        index=row.node_index,
        node_id=row.node_id,
        concepts=tuple(load(row.concepts)),
        difficulty=row.difficulty,
        seed=int(row.seed),
        options=load(row.options),
        phase=row.phase,
        environment=row.environment,
    )
    result = None
    if row.result is not None:
        parts: Mapping[str, Any] = load(row.result)
        result = ChallengeResults.model_validate({**parts, "data_trail": [load(attempt.record) for attempt in trail]})
    return NodeOutcome(
        request=request, result=result, fault=row.fault, error=row.error, wall_seconds=row.wall_seconds or 0.0
    )


def _call_of(row: Row[Any]) -> CallRecord:
    usage = Usage(
        model=row.usage_model,
        calls=row.calls,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cost_usd=row.cost_usd,
        estimated=row.estimated,
        cached=row.cached,
    )
    return CallRecord(
        role=row.role,
        model=row.model,
        prompt=row.prompt,
        answer=row.answer,
        usage=usage,
        wall_seconds=row.wall_seconds or 0.0,
        error=row.error,
    )


def event_of(row: Row[Any]) -> Event:
    """The event of a row."""
    return Event(type=row.type, run_id=row.run_id, at=row.at, data=load(row.data))


def run_events_of(run_id: str, rows: Iterable[Row[Any]]) -> list[Event]:
    """The run's own events. A row that cannot be read is a StorageException."""
    try:
        return [event_of(row) for row in rows]
    except (ValueError, TypeError) as error:
        raise _unreadable(f"The events of run {run_id}", run_id, error) from error


def _unreadable(what: str, run_id: str, error: Exception) -> StorageException:
    return StorageException(
        f"{what} cannot be read back: {error}.",
        code="store_corrupt",
        subject=run_id,
        hint="The row was changed by hand or by another program; delete the run or restore the file.",
    )
