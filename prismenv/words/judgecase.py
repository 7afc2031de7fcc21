"""One judgement that is asked for, as a record: what a batch is made of."""

from pydantic import Field

from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel
from prismenv.words.verdict import VerdictMode

NAME_CHARACTERS = 200


class JudgeCase(FrozenModel):
    """The arguments of a sandbox's `judge`, with the same meaning: None is what the sandbox takes by itself."""

    solution: str | FileSet
    tests: str
    module: str | None = Field(default=None, max_length=NAME_CHARACTERS)
    language: str = Field(default="python", max_length=NAME_CHARACTERS)
    verdict: VerdictMode | None = None
    limits: Limits | None = None
