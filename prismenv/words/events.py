"""What happens in a run, for whoever watches: a bar, a log, a JSON stream, the store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

EventType = Literal[
    "run_started",
    "run_resumed",
    "node_started",
    "attempt_judged",
    "model_tokens",
    "model_called",
    "node_finished",
    "phase_ended",
    "budget_reached",
    "run_interrupted",
    "run_finished",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `at` is seconds since the epoch by the run's clock; `data` is plain JSON."""

    type: EventType
    run_id: str
    at: float
    data: Mapping[str, Any] = field(default_factory=dict)


EventSink = Callable[[Event], None]
