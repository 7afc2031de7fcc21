"""Puts what every run uses next to each other in memory: code, functions, names of functions that runs make.

Whoever calls a function counts its references, and so writes to it; each page that a child writes to is copied. Where a
module is loaded, what is used of it stands among much more that is not. So what runs gets a copy, one after the other
on pages that hold nothing else, and modules and classes are given the copy in its place.
"""

import gc
from types import CodeType, FunctionType, ModuleType
from typing import Any

from zygote_memory import filled_holes

HARNESS = "<prismenv"  # how the names of files begin whose annotations nobody looks at


def place(used: dict[int, CodeType], whole: frozenset[str]) -> None:
    """Move the functions whose code is in `used`, and all of the modules named in `whole`, which no rehearsal runs.

    Whatever else holds a function keeps it, with the copy of the code.
    """
    gc.unfreeze()
    objects = gc.get_objects()
    functions: dict[int, list[FunctionType]] = {}
    for each in objects:
        if type(each) is FunctionType:
            functions.setdefault(id(each.__code__), []).append(each)
            if each.__module__ in whole:
                _take_whole(each.__code__, used)
    owners = [each for each in objects if isinstance(each, (ModuleType, type))]
    del objects
    fillers = filled_holes()
    _move_code(used, functions)
    moved = {id(each): _moved(each) for number in used for each in functions.get(number, ())}
    for owner in owners:
        _replace(owner, moved)
    del fillers


def _take_whole(code: CodeType, used: dict[int, CodeType]) -> None:
    used.setdefault(id(code), code)
    for each in code.co_consts:
        if type(each) is CodeType:
            _take_whole(each, used)


def _move_code(used: dict[int, CodeType], functions: dict[int, list[FunctionType]]) -> None:
    for number, code in used.items():
        found = functions.get(number)
        if found:
            copied = _copied(code)
            for function in found:
                function.__code__ = copied


def _copied(code: CodeType) -> CodeType:
    """A copy with copies of all code in it: a function that is made while this runs takes its names from there."""
    inner = []
    for each in code.co_consts:
        if type(each) is CodeType:
            name = each.co_qualname
            each = _copied(each).replace(co_qualname=name[:1] + name[1:])  # noqa: PLW2901 - it takes its place
        inner.append(each)
    return code.replace(co_consts=tuple(inner))


def _moved(old: FunctionType) -> FunctionType:
    new = FunctionType(old.__code__, old.__globals__, old.__name__, old.__defaults__, old.__closure__)
    if new.__builtins__ is not old.__builtins__:  # type: ignore[attr-defined]  # not in every stub
        return old
    new.__kwdefaults__ = old.__kwdefaults__
    for name in ("__qualname__", "__module__", "__doc__"):
        if getattr(new, name) is not getattr(old, name):
            setattr(new, name, getattr(old, name))
    if old.__dict__:
        new.__dict__.update(old.__dict__)
    if not old.__code__.co_filename.startswith(HARNESS) and old.__annotations__:
        new.__annotations__ = old.__annotations__
    return new


def _replace(owner: Any, moved: dict[int, FunctionType]) -> None:
    held = {
        name: moved[id(value)]
        for name, value in vars(owner).items()
        if type(value) is FunctionType and moved.get(id(value), value) is not value
    }
    for name, value in held.items():
        setattr(owner, name, value)
    for name in held if isinstance(owner, type) else ():
        getattr(owner, name)  # so that the next one who looks it up finds it remembered
