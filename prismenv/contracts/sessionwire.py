"""What a sandbox's service and its clients say to each other of open sessions: shapes of JSON that both ends read here.

All paths are POST: `/sessions` opens one under a name that the client makes up, `/sessions/NAME/execute`, `/interrupt`,
`/put_files`, `/get_files` and `/close` work with it. Names are each token's own. Every question may be asked twice: the
name makes it so for opening, the number of a call for executing.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from prismenv.words.coderesult import CodeResult
from prismenv.words.judgecase import NAME_CHARACTERS
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel

SESSION_NAME = r"^[0-9A-Za-z_-]{16,64}$"  # whoever has no token of its own keeps others out by a name nobody guesses
MOST_CALLS = 2**53 - 1


def _decoded(value: Any) -> Any:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _coded(value: bytes) -> str:
    return base64.b64encode(value).decode()


# Pydantic's own passes over what is no base64, and breaks lines.
Content = Annotated[bytes, BeforeValidator(_decoded), PlainSerializer(_coded, when_used="json")]


class OpenQuestion(FrozenModel):
    """POST /sessions. One that is open already under this name is given again."""

    protocol: int
    session: str = Field(pattern=SESSION_NAME)
    language: str = Field(default="python", max_length=NAME_CHARACTERS)
    limits: Limits | None = None


class OpenAnswer(FrozenModel):
    """To POST /sessions: the limits that are in force."""

    protocol: Literal[1]
    limits: Limits


class CallQuestion(FrozenModel):
    """POST /sessions/NAME/execute. `call` numbers the calls of a session upwards; each is done at most once.

    What is None is the session's own.
    """

    protocol: int
    call: int = Field(ge=1, le=MOST_CALLS)
    code: str
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    output_bytes: int | None = None


class CallAnswer(FrozenModel):
    """To POST /sessions/NAME/execute. `ended`: why there are no more calls, None while it is open."""

    protocol: Literal[1]
    result: CodeResult
    ended: str | None = None


class InterruptQuestion(FrozenModel):
    """POST /sessions/NAME/interrupt: no call but this one is interrupted."""

    protocol: int
    call: int = Field(ge=1, le=MOST_CALLS)


class InterruptAnswer(FrozenModel):
    """To POST /sessions/NAME/interrupt: whether that call ran."""

    protocol: Literal[1]
    running: bool


class FilesQuestion(FrozenModel):
    """POST /sessions/NAME/put_files: contents in base64."""

    protocol: int
    files: Mapping[str, Content]


class PlainQuestion(FrozenModel):
    """POST /sessions/NAME/get_files and /close."""

    protocol: int


class PlainAnswer(FrozenModel):
    """To POST /sessions/NAME/put_files and /close."""

    protocol: Literal[1]


class FilesAnswer(FrozenModel):
    """To POST /sessions/NAME/get_files: contents in base64, and why others are not there."""

    protocol: Literal[1]
    files: Mapping[str, Content]
    skipped: Mapping[str, str] = {}
