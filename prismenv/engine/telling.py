"""What events say of nodes: the same whether a run is watched from within or read from the store."""

from typing import Any

from prismenv.engine.outcomes import own_keys
from prismenv.engine.progress import failure_kind
from prismenv.store.jsontext import dump, load
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import TrailRecord


def place_of(request: NodeRequest) -> dict[str, Any]:
    """Which node an event is about."""
    return {
        "index": request.index,
        "node_id": request.node_id,
        "concepts": list(request.concepts),
        "difficulty": request.difficulty,
        **({} if request.phase is None else {"phase": request.phase}),
    }


def attempt_told(record: TrailRecord) -> dict[str, Any]:
    """What `attempt_judged` says beside the node."""
    return {
        "problem_index": record.problem_index,
        "attempt_num": record.attempt_num,
        "success": record.success,
        "outcome": record.verdict.outcome if record.verdict is not None else None,
        "fault": record.fault,
        "fixed_by_problem_fixer": record.fixed_by_problem_fixer,
    }


def node_told(outcome: NodeOutcome, progress: dict[str, Any]) -> dict[str, Any]:
    """What `node_finished` says."""
    return {
        **place_of(outcome.request),
        "success": outcome.success,
        "fault": outcome.fault,
        "failure": failure_kind(outcome),
        "error": outcome.error,
        "wall_seconds": outcome.wall_seconds,
        "result": _plain_own_keys(outcome),
        "progress": progress,
    }


def _plain_own_keys(outcome: NodeOutcome) -> dict[str, Any] | None:
    """The own keys of a result as the store has them, in plain JSON; None where there is no result.

    Keys with a cycle are a StorageException, as they are in the store.
    """
    own = own_keys(outcome.result)
    if own:
        own = load(dump(own))
    return own
