"""Where a provider's key is: a key itself stands in no recipe and no agent file."""

from typing import Self

from pydantic import Field, model_validator

from prismenv.words.mapping import FrozenModel


class KeySource(FrozenModel):
    """An environment variable or a file, one of both. Only its owner may be able to read the file."""

    variable: str | None = Field(default=None, min_length=1)  # name of the environment variable
    file: str | None = Field(default=None, min_length=1)  # a path; a relative one is within the project folder

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.variable is None) == (self.file is None):
            raise ValueError("name either a variable or a file")
        return self

    def __str__(self) -> str:
        return f"the environment variable {self.variable}" if self.variable else f"the file {self.file}"
