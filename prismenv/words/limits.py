"""What one execution may use."""

from typing import Self

from pydantic import Field

from prismenv.words.mapping import FrozenModel, PlainNumbers


class Limits(PlainNumbers, FrozenModel):
    """Limits of one judged or plain run. Seconds and bytes; each is enforced by the sandbox, none is a wish."""

    wall_seconds: float = Field(default=10.0, gt=0)  # of the whole run
    test_wall_seconds: float | None = Field(default=None, gt=0)  # None: the run's own limit is the only one
    cpu_seconds: float = Field(default=10.0, gt=0)  # CPU time of all its processes
    memory_bytes: int = Field(default=512 * 2**20, ge=16 * 2**20)  # of all its processes
    output_bytes: int = Field(default=2**20, ge=1024)  # printed; the rest is cut
    file_bytes: int = Field(default=64 * 2**20, ge=0)  # written to files
    processes: int = Field(default=16, ge=1)  # and threads, at once

    def within(self, ceiling: Self) -> Self:
        """These limits, none of them above `ceiling`: a request may ask for less than the host allows, never more."""
        mine, other = self.model_dump(), ceiling.model_dump()
        lower = {
            key: value if other[key] is None else other[key] if value is None else min(value, other[key])
            for key, value in mine.items()
        }
        return type(self)(**lower)

    def over(self, usual: Self) -> Self:
        """The limits that were given here, and `usual` ones for those that were left to their defaults."""
        return usual.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})
