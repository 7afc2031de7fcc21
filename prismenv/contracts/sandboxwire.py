"""What a sandbox's service and its clients say to each other: JSON over HTTP, in shapes that both ends read here.

`PROTOCOL` counts what one end would misunderstand of the other. It is in every question and every answer, so that a
service that is replaced while a client works is found out at the next call. The paths are `POST /judge`, `POST /run`
and `POST /batch`; `GET /` gives the card.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from prismenv.words.judgecase import NAME_CHARACTERS, JudgeCase
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel
from prismenv.words.verdict import Execution, Isolation, Verdict, VerdictMode

SERVICE = "sandbox"
PROTOCOL = 1
MOST_CASES = 256  # of one batch


class JudgeQuestion(JudgeCase):
    """POST /judge."""

    protocol: int


class RunQuestion(FrozenModel):
    """POST /run: the arguments of a sandbox's `run`."""

    protocol: int
    program: str
    stdin: str = ""
    language: str = Field(default="python", max_length=NAME_CHARACTERS)
    limits: Limits | None = None


class BatchQuestion(FrozenModel):
    """POST /batch: judged together, answered together, in their order."""

    protocol: int
    cases: tuple[JudgeCase, ...] = Field(min_length=1, max_length=MOST_CASES)


class VerdictAnswer(FrozenModel):
    """To POST /judge."""

    protocol: Literal[1]
    verdict: Verdict


class ExecutionAnswer(FrozenModel):
    """To POST /run."""

    protocol: Literal[1]
    execution: Execution


class CaseRefusal(FrozenModel):
    """Why one case of a batch was not judged: what POST /judge would have been refused for."""

    code: str
    detail: str


class CaseAnswer(FrozenModel):
    """One of the two."""

    verdict: Verdict | None = None
    refusal: CaseRefusal | None = None


class BatchAnswer(FrozenModel):
    """To POST /batch."""

    protocol: Literal[1]
    answers: tuple[CaseAnswer, ...]


class ServiceCard(BaseModel):
    """GET /: what is served. Keys that a later version adds are no matter.

    `workers` is how many runs go on at once. `queue_seconds` is how long a call waits for its turn before it is
    refused. `packages` can be imported by solutions and tests.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)

    service: Literal["sandbox"]
    protocol: Literal[1]
    version: str = Field(max_length=NAME_CHARACTERS)
    isolation: Isolation
    verdict: VerdictMode
    workers: int = Field(ge=1)
    ceiling: Limits
    packages: tuple[str, ...] = ()
    queue_seconds: float = Field(gt=0)
    body_bytes: int = Field(ge=1)


def limits_document(limits: Limits | None) -> dict[str, Any] | None:
    """Those limits that somebody set: the language's own hold for the others, and only the service knows them."""
    return None if limits is None else limits.model_dump(exclude_unset=True)


def case_document(case: JudgeCase) -> dict[str, Any]:
    """A case as it is sent, without what it leaves open."""
    solution = case.solution if isinstance(case.solution, str) else _plain(case.solution.model_dump())
    told = {name: getattr(case, name) for name in ("tests", "module", "language", "verdict")}
    told |= {"solution": solution, "limits": limits_document(case.limits)}
    return _plain(told)


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}
