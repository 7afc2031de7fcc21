"""What becomes of code that runs in an open session."""

from collections.abc import Mapping
from typing import Literal

from prismenv.words.mapping import FrozenModel

CallOutcome = Literal[
    "finished",
    "raised",
    "exited",
    "interrupted",
    "timed_out",
    "output_limit",
    "out_of_memory",
    "process_limit",
    "crashed",
    "infrastructure_error",
]


class CodeError(FrozenModel):
    """What kept code from finishing: an exception of its own, or what ended it, in words."""

    name: str
    message: str = ""
    traceback: str = ""


class CodeResult(FrozenModel):
    """One call of a session. All that it says of output, value and error was made by the code, and proves nothing.

    `result` is the repr of the last statement's value, None where there is none or it is None. `error` is None for the
    outcome `finished` only. `exit_code` is what the code left with, by `sys.exit` or by ending its process; None: it
    did not. `duration` is in seconds of wall time. `output_cut`: there was more output than is here. `session_ended`:
    this was the session's last call.
    """

    outcome: CallOutcome
    stdout: str = ""
    stderr: str = ""
    result: str | None = None
    error: CodeError | None = None
    exit_code: int | None = None
    duration: float = 0.0
    cpu_seconds: float = 0.0
    limits_hit: tuple[str, ...] = ()
    output_cut: bool = False
    session_ended: bool = False


class SessionFiles(FrozenModel):
    """The files of a session by their relative paths. `skipped` says of others why they are not here, by path."""

    files: Mapping[str, bytes]
    skipped: Mapping[str, str] = {}
