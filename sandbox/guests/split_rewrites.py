"""Arguments that the solution changed in place: where the suite handed them over, and whether it reads them again.

`x[:] = [9]; return [9]` would pass `assertEqual(f(x), sorted(x))` in every judge that runs both in one process. So a
test that passed is looked at again when an argument was changed that no later statement reads; and when an attribute
of a record of the tests was set by a call that answered with data.
"""

import sys
from _ast import AST, Attribute, Load, Name, stmt
from collections.abc import Callable
from itertools import islice
from typing import Any

from python_suite import FUNCTIONS, children, every
from split_remote import number_of

Place = tuple[int, int]  # line and column


def reads_later(tree: AST, place: Place, names: frozenset[str]) -> bool:
    """Whether one of `names` is read in a statement after the one at `place`.

    A variable is looked for in the same function; an attribute also in fixtures and helpers, which run later.
    """
    inner = _innermost(tree, place, stmt)
    if inner is None:
        return True
    last = (inner.end_lineno, inner.end_col_offset)
    own = _function_at(tree, place)
    if any(_begin(node) > last and _reads(node, names) for node in every(own)):
        return True
    others = [
        node for node in every(tree) if isinstance(node, FUNCTIONS) and node is not own and _runs_later(node.name)
    ]
    return any(isinstance(node, Attribute) and _reads(node, names) for each in others for node in every(each))


def _runs_later(function: str) -> bool:
    return not function.startswith(("test", "__init__", "setUp", "setup"))


def _reads(node: AST, names: frozenset[str]) -> bool:
    if isinstance(node, Name):
        return node.id in names and isinstance(node.ctx, Load)
    return isinstance(node, Attribute) and node.attr in names and isinstance(node.ctx, Load)


def _begin(node: Any) -> Place:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _holds(node: Any, place: Place) -> bool:
    return _begin(node) <= place < (getattr(node, "end_lineno", 0) or 0, getattr(node, "end_col_offset", 0) or 0)


def _innermost(tree: AST, place: Place, kind: Any) -> Any:
    """The innermost node of a kind that holds the place."""
    found = None
    for node in every(tree):
        if isinstance(node, kind) and _holds(node, place):
            found = node
    return found


def _function_at(tree: AST, place: Place) -> AST:
    """The outermost function that holds the place, or the whole tree."""
    waiting = [tree]
    for node in waiting:
        if isinstance(node, FUNCTIONS) and _holds(node, place):
            return node
        waiting += children(node)
    return tree


Rewrite = tuple[Place, frozenset[str]]  # where in the suite, and under which names


def _running() -> Any:
    """The innermost frame of the suite; None where none of it runs."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 - no public word for it
    while frame is not None and frame.f_code.co_filename != "tests.py":
        frame = frame.f_back
    return frame


def _place_in(frame: Any) -> Place:
    position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    return position[0] or frame.f_lineno, position[2] or 0


def place_of_records(is_record: Callable[[type], bool]) -> Rewrite:
    """The place in the suite that is running, and the names of all records there: what is changed may hang on any."""
    frame = _running()
    if frame is None:
        return (0, 0), frozenset()
    return _place_in(frame), frozenset(name for name, value in frame.f_locals.items() if is_record(type(value)))


def place_of(container: Any) -> Rewrite:
    """The place in the suite that is running, and the names by which it knows a container there."""
    frame = _running()
    if frame is None:
        return (0, 0), frozenset()
    found: set[str] = set()
    for name, value in frame.f_locals.items():
        if number_of(value):
            continue
        if value is container or (type(value) in (list, tuple) and any(item is container for item in value)):
            found.add(name)
        found.update(attribute for attribute, held in getattr(value, "__dict__", {}).items() if held is container)
    return _place_in(frame), frozenset(found)
