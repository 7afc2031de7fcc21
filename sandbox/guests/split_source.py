"""Lets the tests look at the solution's source: inspect finds none for what only stands for its objects."""

from _ast import AsyncFunctionDef, ClassDef, FunctionDef
from typing import Any

from python_suite import every
from split_remote import number_of


def show_source(text: str) -> None:
    """Have inspect.getsource and getsourcelines answer for the solution's objects, from its text."""
    import inspect  # noqa: PLC0415 - only suites that use it pay

    def wrapped(function: Any) -> Any:
        def asked(target: Any, *arguments: Any) -> Any:
            found = _lines_of(text, target) if number_of(target) else None
            if found is None:
                return function(target, *arguments)
            return "".join(found[0]) if function.__name__ == "getsource" else found

        return asked

    for name in ("getsource", "getsourcelines"):
        setattr(inspect, name, wrapped(getattr(inspect, name)))


def _lines_of(text: str, target: Any) -> tuple[list[str], int] | None:
    """The lines of the definition that has the object's name, and the number of the first."""
    import ast  # noqa: PLC0415 - as above

    path = str(getattr(target, "__qualname__", None) or getattr(target, "__name__", "")).split(".")
    place: Any = ast.parse(text)
    for part in path:
        inside = [each for each in every(place) if isinstance(each, (FunctionDef, AsyncFunctionDef, ClassDef))]
        place = next((each for each in inside if each.name == part and each is not place), None)
        if place is None:
            return None
    first = min([place.lineno, *(each.lineno for each in place.decorator_list)])
    return text.splitlines(keepends=True)[first - 1 : place.end_lineno], first
