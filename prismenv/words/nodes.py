"""What a search asks for, and what it is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prismenv.words.records import ChallengeResults
from prismenv.words.verdict import Fault

OWN_OPTIONS = ("concept", "concepts", "difficulty_level")  # of `execute_node`: the node says them itself


def wrong_option(options: Mapping[Any, Any]) -> str | None:
    """What is wrong with options of `execute_node`, as the end of a sentence; None for nothing."""
    for name in options:
        if not isinstance(name, str):
            return f"the option {name!r:.80}; the name of an option is text"
        if name in OWN_OPTIONS:
            return f"the option {name!r}, which the node itself says"
    return None


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """One measurement that a search policy wants.

    `index` counts the requests of a run from 0: results are told in this order. `node_id` names the node for people
    and for the store: equal ids are the same node measured again. `seed` is derived from the run's seed and `index`.
    `phase` names the phase of the search that asks, None where it has none; `environment` None is the recipe's.
    """

    index: int
    node_id: str
    concepts: tuple[str, ...]
    difficulty: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    phase: str | None = None
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """What became of a request. `result` is None only if the environment raised; `error` then says what."""

    request: NodeRequest
    result: ChallengeResults | None
    fault: Fault = "none"
    error: str | None = None
    wall_seconds: float = 0.0
    replayed: bool = False  # True: read from the store on resume, not run again

    @property
    def measured(self) -> bool:
        """True when this outcome says something about the candidate."""
        return self.fault in ("none", "candidate")

    @property
    def success(self) -> bool:
        """True when every problem of the node was solved."""
        return self.result is not None and self.result.success
