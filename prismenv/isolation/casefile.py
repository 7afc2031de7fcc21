"""A suite of input and output: the cases of a program, as YAML or JSON."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from prismenv.finding.yamlfile import YamlDocument, validate
from prismenv.finding.yamltext import parse_yaml
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel

MOST_CASES = 10_000
NAME_CHARACTERS = 200
ARGUMENT_BYTES = 100_000  # of a case together; a kernel starts no program with much more
SOURCE = "tests"  # how messages call the text
Comparison = Literal["whitespace", "exact", "float"]

_FIRST_KEY = re.compile(r"\A(?:[ \t]*(?:#[^\n]*)?\n|---[ \t]*\n)*[A-Za-z_]\w*:(?:\s|\Z)")
_CASES = re.compile(r"^cases:[ \t]*(?:#[^\n]*)?$", re.MULTILINE)


class ProgramCase(FrozenModel):
    """One run of the program. `name` None: the case is called by its place; `args` are the program's arguments."""

    name: str | None = Field(default=None, min_length=1, max_length=NAME_CHARACTERS)
    stdin: str = ""
    stdout: str
    args: tuple[str, ...] = Field(default=(), max_length=100)

    @field_validator("args")
    @classmethod
    def _can_be_arguments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("\0" in argument for argument in value):
            raise ValueError("an argument cannot hold a null character")
        if sum(len(argument.encode()) for argument in value) > ARGUMENT_BYTES:
            raise ValueError(f"the arguments of a case have at most {ARGUMENT_BYTES:,} bytes together")
        return value


class ProgramSuite(FrozenModel):
    """Cases and how their output is compared.

    `whitespace`: white space at the ends of lines and at the end of the output does not count. `exact`: every character
    does. `float`: the output's words, numbers within `tolerance`, relative or absolute.
    """

    cases: tuple[ProgramCase, ...] = Field(min_length=1, max_length=MOST_CASES)
    compare: Comparison = "whitespace"
    tolerance: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_one_piece(self) -> Self:
        if self.tolerance is not None and self.compare != "float":
            raise ValueError("tolerance belongs to compare: float")
        names = self.names()
        for place, name in enumerate(names):
            if name in names[:place]:
                raise ValueError(f"two cases have the name {name!r}")
        return self

    def names(self) -> list[str]:
        """What the cases are called, in their order."""
        return [case.name or f"case {number}" for number, case in enumerate(self.cases, 1)]


def holds_cases(text: str) -> bool:
    """Whether a suite is one of input and output: JSON that begins with a brace, or YAML with a line `cases:`.

    The first line of such YAML that is neither blank nor a comment begins with a key; no Python has a line `cases:`.
    """
    if text.lstrip()[:1] == "{":
        return True
    return "cases:" in text and _FIRST_KEY.match(text) is not None and _CASES.search(text) is not None


def read_cases(text: str) -> ProgramSuite:
    """The suite that `text` holds. ConfigurationException with line, place and reason when it is not right."""
    data, lines = parse_yaml(text, SOURCE)
    if not isinstance(data, dict):
        raise ConfigurationException(f"{SOURCE}:1: a suite of cases is a mapping with the key 'cases'", subject=SOURCE)
    return validate(ProgramSuite, YamlDocument(Path(SOURCE), data, lines))
