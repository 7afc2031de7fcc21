"""A table of what plugins register by name, and who registered what.

A *scope* is whoever registers: the plugin file that is being loaded, else the file that calls.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Generic, TypeVar

from prismenv.words.errors import RegistryException
from prismenv.words.nearness import did_you_mean

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was registered."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def caller_of(frame: FrameType | None) -> Place:
    """Where the caller of the function that `frame` runs stands."""
    caller = frame.f_back if frame is not None else None
    if caller is None:
        return Place("<unknown>", 0)
    return Place(caller.f_code.co_filename, caller.f_lineno)


class ScopedTable(Generic[_Entry]):
    """Entries by name. What registers raises RegistryException and then changes nothing."""

    def __init__(self) -> None:
        self._table: dict[str, _Entry] = {}
        self._scope: str | None = None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def table(self) -> Mapping[str, _Entry]:
        """A copy of the table as it is now."""
        return dict(self._table)

    def assume(self, table: Mapping[str, _Entry]) -> None:
        """Hold exactly these. For whoever loads plugins: a module that was imported does not register again."""
        self._table = dict(table)

    @contextmanager
    def loading(self, scope: str) -> Iterator[dict[str, _Entry]]:
        """Everything registered inside belongs to `scope`; if the body raises, none of it stays.

        Gives a dict that holds, once the context is left in peace, what the body registered.
        """
        before, outer = dict(self._table), self._scope
        changes: dict[str, _Entry] = {}
        self._scope = scope
        try:
            yield changes
        except BaseException:
            self._table = before
            raise
        finally:
            self._scope = outer
        changes.update({name: entry for name, entry in self._table.items() if before.get(name) is not entry})

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """A test switch: what is registered or overridden inside is forgotten at the end."""
        before = dict(self._table)
        try:
            yield
        finally:
            self._table = before

    def nothing_to_override(self, name: str, place: Place) -> RegistryException:
        """The error for `overrides=True` where there is nothing of that name."""
        return RegistryException(
            f"{place}: {name!r} says overrides=True, but there is nothing to override{did_you_mean(name, self._table)}",
            code="nothing_to_override",
            subject=name,
            hint="Leave overrides=True away for something new.",
        )


def duplicate(what: str, first: str, second: Place) -> RegistryException:
    """The error for a name that is taken."""
    return RegistryException(
        f"{what!r} is registered twice: {first} and {second}",
        code="duplicate",
        subject=what,
        hint="Rename one of them, or say overrides=True in the one that is to take the other's place.",
    )
