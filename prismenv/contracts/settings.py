"""What an environment is configured with."""

from typing import Any

from pydantic import ConfigDict, Field

from prismenv.words.mapping import MappingModel, PlainNumbers
from prismenv.words.verdict import VerdictMode

# What a single request may ask for at most, whatever the configuration says.
HOST_TIMEOUT_SECONDS = 3600.0
HOST_MAX_ATTEMPTS = 100


class EnvironmentConfig(PlainNumbers, MappingModel):
    """The keys that every environment has; unknown ones are kept, unless they look like a slip of a known one.

    A config class of an environment derives from this one and forbids what it does not name.
    """

    agents: list[str] = Field(default_factory=list)  # roles, each an agent file
    max_attempts: int = Field(default=3, ge=1)  # programs of the solver for each problem
    timeout: float = Field(default=300.0, gt=0)  # seconds, for a whole execute_node
    num_problems: int = Field(default=1, ge=1)  # problems in one execute_node
    batch_size: int = Field(default=1, ge=1)  # how many of num_problems are worked on at the same time
    verdict: VerdictMode | None = None  # how solutions are judged; null: as the recipe says
    custom_parameters: dict[str, Any] = Field(default_factory=dict)  # passed through to the environment


class StrictEnvironmentConfig(EnvironmentConfig):
    """The base for a config class: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
