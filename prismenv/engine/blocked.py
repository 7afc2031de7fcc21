"""Code that keeps the event loop, and how it is ended where it is.

Theory of operation. Policies, phases and environments are code of others, and their synchronous parts run on the event
loop: one that loops for ever or waits keeps everything else from running, also what would stop it. Whoever owns the
process's signals (the command line) can still act: a handler of Python's runs in the midst of that code. It looks with
`blocked_code` whether the code was called through a *door*, a function of ours that is marked and beyond which nothing
of ours can be left half done, and raises CodeStopped there. It passes every `except Exception`, ends that code, and
the sitting stores the run as interrupted.
"""

import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DOORS: set[CodeType] = set()
_PACKAGE = f"{Path(__file__).parents[1]}/"
_WORKSPACE = f"{_PACKAGE}_workspace/"  # of an installed prismenv: built-in environments
_LIBRARY = f"{sysconfig.get_path('stdlib')}/"
_SITE = f"{sysconfig.get_path('purelib')}/"


def door(function: _Function) -> _Function:
    """A decorator: what is called from this function may be ended where it is."""
    _DOORS.add(function.__code__)
    return function


def blocked_code(frame: FrameType | None) -> str | None:
    """Which code runs behind a door, as `FILE:LINE, NAME`; `frame` is the innermost. None where there is no door.

    That of others is named before ours, and of theirs what was called first: what it calls is seldom to blame.
    """
    inner: list[FrameType] = []
    while frame is not None and frame.f_code not in _DOORS:
        inner.append(frame)
        frame = frame.f_back
    if frame is None:
        return None
    named = next((each for each in reversed(inner) if _is_foreign(each.f_code.co_filename)), [*inner, frame][0])
    return f"{named.f_code.co_filename}:{named.f_lineno}, {named.f_code.co_name}"


def _is_foreign(file: str) -> bool:
    if file.startswith(_PACKAGE):
        return file.startswith(_WORKSPACE)
    return not file.startswith("<") and (file.startswith(_SITE) or not file.startswith(_LIBRARY))
