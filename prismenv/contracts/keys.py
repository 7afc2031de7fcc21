"""Where a provider's key is: a key itself stands in no recipe and no agent file."""

import re
from typing import ClassVar, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from prismenv.words.mapping import FrozenModel

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

NO_VARIABLE = "expected the name of an environment variable that holds the key; the key itself does not belong here"


def names_variable(text: str) -> bool:
    """True for what can be an environment variable's name; most keys cannot."""
    return _VARIABLE.fullmatch(text) is not None


class KeySource(FrozenModel):
    """An environment variable or a file, one of both. Only its owner may be able to read the file.

    Whatever stands here wrongly is not shown: it may be the key itself.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)

    variable: str | None = Field(default=None, min_length=1)  # name of the environment variable
    file: str | None = Field(default=None, min_length=1)  # a path; a relative one is within the project folder

    @field_validator("variable")
    @classmethod
    def _is_name(cls, variable: str | None) -> str | None:
        if variable is not None and not names_variable(variable):
            raise ValueError(NO_VARIABLE)
        return variable

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.variable is None) == (self.file is None):
            raise ValueError("name either a variable or a file")
        return self

    def __str__(self) -> str:
        return f"the environment variable {self.variable}" if self.variable else f"the file {self.file}"
