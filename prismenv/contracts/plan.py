"""The nodes that an environment knows by itself, such as the problems of a data set."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """A node that an environment proposes: `options` travel to `execute_node` untouched."""

    node_id: str
    concepts: tuple[str, ...]
    difficulty: str
    options: dict[str, Any] = field(default_factory=dict)
