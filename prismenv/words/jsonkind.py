"""What a value of JSON is called, for messages: nobody who writes a file has to know Python's names."""

from collections.abc import Mapping
from typing import Any


def json_kind(value: Any) -> str:
    """The kind of a value with its article: `an object`, `a list`, `a string`, `a number`, `true or false`, `null`.

    What no JSON holds is called by its type.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for kinds, name in (((Mapping,), "an object"), ((list, tuple), "a list"), ((str,), "a string")):
        if isinstance(value, kinds):
            return name
    return "a number" if isinstance(value, int | float) else type(value).__name__
