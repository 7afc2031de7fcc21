"""What an environment is to the registry: a class of this kind, and a set of method names that are known."""

from abc import ABC

# Every method that the engine calls by name. The awaited ones must be coroutine functions; the rest may be either, and
# run in a thread where they are plain.
AWAITED_METHODS = ("execute_node", "health_check", "initialize")
KNOWN_METHODS = (
    "close",
    "compute_reward",
    "execute_node",
    "health_check",
    "initialize",
    "reset",
    "state",
    "step",
    "system_prompt",
    "validate_config",
)
# Functions that agents call carry this attribute; its value is the kind of mark.
MARK = "__prismenv_mark__"
MARKS = ("function", "health", "reward", "tool")


class Environment(ABC):  # noqa: B024 - a marker: which methods there are decides which faces it has
    """The root of every environment class. Authors derive from `prismenv.BaseEnvironment`, which derives from this."""
