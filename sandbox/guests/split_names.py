"""Names of the data model, as both processes speak of them."""

from collections.abc import Callable
from typing import Any


def specials(words: str) -> frozenset[str]:
    """`eq ne` as `__eq__`, `__ne__`."""
    return frozenset(f"__{word}__" for word in words.split())


def arithmetic(*prefixes: str) -> frozenset[str]:
    """The arithmetic operations with each of the prefixes: empty, `r` for reflected, `i` for in place."""
    words = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor"
    return frozenset(f"__{prefix}{word}__" for word in words.split() for prefix in prefixes)


ORDERING = specials("lt le gt ge")
COMPARING = specials("eq ne hash contains")
NUMERIC = specials("int float complex index round trunc floor ceil neg pos abs invert")
# What shows nothing of an expected value and makes no number of an object.
FREE = specials(
    "len length_hint bool iter next reversed getitem setitem delitem missing call enter exit aenter aexit aiter anext "
    "await str repr format bytes dir fspath"
)
BINARY = ORDERING | arithmetic("", "r", "i")
OPERATIONS = BINARY | NUMERIC | FREE | COMPARING
# What data decides by itself, whatever its class says.
OF_DATA = ORDERING | COMPARING | specials("len iter getitem int float complex index bool round bytes reversed")
# Attributes of this form that are read like others.
READABLE = specials(
    "name qualname doc wrapped annotations defaults kwdefaults version all members isabstractmethod abstractmethods "
    "match_args author slots"
)
# What the solution may ask of objects of the tests, where their classes define it.
ASKED_OF_TESTS = (
    ORDERING
    | COMPARING
    | arithmetic("", "r")
    | specials("iadd isub imul bool len iter next reversed getitem setitem delitem call enter exit aenter aexit")
    | specials("str repr format int float complex index round neg pos abs invert")
)
# Operations that a builtin asks for: it checks the answer, too.
BY_BUILTIN: dict[str, Callable[..., Any]] = {
    "__len__": len,
    "__iter__": iter,
    "__next__": next,
    "__hash__": hash,
    "__bool__": bool,
    "__str__": str,
    "__repr__": repr,
    "__format__": format,
}
