"""The exception tree of prismenv.

    EnvironmentException                    anything that prismenv raises on purpose
    ├── EnvironmentExecutionException       an environment's own code failed               (RuntimeError)
    │   └── DeadlineException               a deadline passed                              (TimeoutError)
    ├── AgentCommunicationException         a model or the LLM interface did not answer    (ConnectionError)
    ├── ConfigurationException              a file, key or value is wrong                  (ValueError)
    ├── RegistryException                   a name or a registration is wrong              (LookupError)
    ├── SandboxException                    the judge or the jail broke                    (RuntimeError)
    ├── StorageException                    the store cannot be read or written            (OSError)
    ├── ProtocolException                   a peer sent what the protocol does not allow   (ValueError)
    │   └── ActionException                 an action that an environment refuses          (ValueError)
    ├── HostException                       a host of environments cannot be used now      (ConnectionError)
    └── BudgetException                     a budget is spent                              (RuntimeError)

Each takes one message that says what failed, which one, what was expected and what to do. `code` (a machine key),
`subject` (what is spoken of; `object` says the same) and `hint` are optional keywords; a class has its own default
code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from prismenv.words.usage import Usage


class EnvironmentException(Exception):
    """Root of everything that prismenv raises on purpose.

    `code` is a stable machine key, `subject` names the object concerned (None: no single one) and `hint` says what
    to do next (None: the message already does).
    """

    default_code: ClassVar[str] = "environment_error"

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        subject: str | None = None,
        hint: str | None = None,
        object: str | None = None,  # noqa: A002 - the plugin contract's name for `subject`
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.subject = subject if subject is not None else object
        self.hint = hint

    @property
    def object(self) -> str | None:
        """What the exception speaks of: `subject` by the plugin contract's name."""
        return self.subject

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class EnvironmentExecutionException(EnvironmentException, RuntimeError):
    """An environment's own code failed, or what it returned has not the agreed shape."""

    default_code = "environment_execution_failed"


class DeadlineException(EnvironmentExecutionException, TimeoutError):
    """A deadline passed before the work was done."""

    default_code = "deadline_passed"


class AgentCommunicationException(EnvironmentException, ConnectionError):
    """A model, its provider or the LLM interface gave no usable answer.

    Where a model did answer (code `no_usable_answer`, `answer_too_large`) the call was paid for: `usage`, `prompt` and
    `raw` then tell of it. `usage` None: no answer came. `raw` is empty where the answer was too large to keep.
    `retry_after_seconds` is how long the other side asks to wait before the call is made again, None: it does not say.
    """

    default_code = "agent_communication_failed"
    usage: Usage | None = None
    prompt: str = ""
    raw: str = ""
    retry_after_seconds: float | None = None


class ConfigurationException(EnvironmentException, ValueError):
    """A file, key or value of the configuration is wrong. The message names file, line, key path, found, allowed.

    `key` is the path in the recipe where it is found by somebody who does not know the file; empty: it is told already.
    `place` is the `FILE:LINE` that the message begins with, empty where it names none: who is on another machine is not
    told it.
    """

    default_code = "configuration_invalid"
    key: tuple[str | int, ...] = ()
    place: str = ""

    def at(self, *key: str | int) -> Self:
        """This exception, of the value at `key` in the recipe."""
        self.key = self.key or key
        return self


class RegistryException(EnvironmentException, LookupError):
    """A name is unknown or a registration is refused. The message gives the nearest right name."""

    default_code = "registry_error"


class SandboxException(EnvironmentException, RuntimeError):
    """The sandbox itself failed: never the candidate's fault."""

    default_code = "sandbox_failed"


class StorageException(EnvironmentException, OSError):
    """The store cannot be opened, read or written."""

    default_code = "storage_failed"


class ProtocolException(EnvironmentException, ValueError):
    """A peer sent something that the protocol does not allow."""

    default_code = "protocol_violated"


class ActionException(ProtocolException):
    """An action that an environment refuses: nothing happened, and the episode goes on.

    `errors` are the fields that are wrong, where it is so: `{"loc", "msg", "type"}` each.
    """

    default_code = "bad_action"
    errors: Sequence[Mapping[str, Any]] = ()


class HostException(EnvironmentException, ConnectionError):
    """A host of environments has no room, is stopping, or cannot be reached."""

    default_code = "host_unavailable"


class BudgetException(EnvironmentException, RuntimeError):
    """A budget of nodes, time, tokens or money is spent."""

    default_code = "budget_spent"
