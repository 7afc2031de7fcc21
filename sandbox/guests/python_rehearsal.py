"""Plays a small run through in a zygote before there is any, so that no child has to do the same things first.

Python adapts code while it runs and remembers what it looked up in classes. A child that begins with neither writes to
a hundred more pages than one that finds both, and each of them is then copied. So the harness judges a suite of its own
here a few times, with the other side's frames written down. Nothing of it is left but that: what it put in place is
taken away again, and it went wrong if one of its tests did not pass.
"""

import builtins
import gc
import sys
import warnings
from _socket import SHUT_WR, socketpair
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from __main__ import parts  # type: ignore[attr-defined]  # BOOT's

TIMES = 6
SOLUTION = """
def echo(value):
    if isinstance(value, int) and value < 0:
        raise ValueError("below zero")
    return value
"""
TESTS = """
import unittest

class TestEcho(unittest.TestCase):
    def test_a_number(self):
        self.assertEqual(echo(1), 1)
    def test_b_refusal(self):
        with self.assertRaises(ValueError):
            echo(-1)
    def test_c_list(self):
        self.assertEqual([echo(number) for number in (1, 2)], [1, 2])

def test_text():
    assert echo("a") == "a"

if __name__ == "__main__":
    unittest.main()
"""
REQUESTS = (b'["L",0,[]]', *(b'["C",0,2,[%s]]' % each for each in (b"1", b"-1", b"1", b"2", b'"a"')))
LOADED = b'[{"h":[1,"m","solution"]},["echo"],["echo"],["echo"],[{"h":[2,"f","echo","function","solution",false]}]]'
RAISED = (
    b'{"E":[{"q":"ValueError"},["below zero"],"below zero",[["solution.py",4,"echo",""]],null,false,0,[],null,'
    b'{"d":[],"v":[]}]}'
)
ANSWERS = (
    b'["r",0,%s]' % LOADED,
    b'["r",0,1]',
    b'["x",0,%s]' % RAISED,
    *(b'["r",0,%s]' % each for each in (b"1", b"2", b'"a"')),
)
PAYLOAD: dict[str, Any] = {
    "solution": SOLUTION,
    "tests": TESTS,
    "modules": ["solution"],
    "audit": False,
    "skip": [],
    "limits": {"memory_bytes": 2**61},  # as good as none: it stays for this process
}
STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")


class RehearsalError(Exception):
    """It did not go as it is written down."""


def rehearse(load: Callable[[str], ModuleType]) -> None:
    """Play the side through that this process has the parts of. RehearsalError."""
    # What was looked up while this process started would be replaced by children, one name at a time.
    sys._clear_type_cache()  # noqa: SLF001 - its public name
    _move_together(_used(lambda: _play(load)))
    for _ in range(TIMES):
        _play(load)
    if "python_split_judge" in parts:
        parts["python_split_judge"].renew()


def _play(load: Callable[[str], ModuleType]) -> None:
    if "python_split_judge" in parts:
        with _undone():
            _judge_split(load)
        with _undone():
            _judge(load, parts["python_world"].World)
    if "python_split_solution" in parts:
        with _undone():
            _serve_solution()


def _used(play: Callable[[], None]) -> dict[int, CodeType]:
    """The code that `play` runs, by its id, in the order in which it is first called."""
    used: dict[int, CodeType] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            used.setdefault(id(frame.f_code), frame.f_code)

    sys.setprofile(note)
    try:
        play()
    finally:
        sys.setprofile(None)
    return used


def _move_together(used: dict[int, CodeType]) -> None:
    """Give functions a copy of their code, made one after the other: every call writes to the code that it runs.

    Where a module is loaded, what is used of it stands among much more that is not.
    """
    functions: dict[int, list[FunctionType]] = {}
    gc.unfreeze()
    for each in gc.get_objects():
        if type(each) is FunctionType:
            functions.setdefault(id(each.__code__), []).append(each)
    for number, code in used.items():
        found = functions.get(number)
        if found:
            copied = _copied(code, used)
            for function in found:
                function.__code__ = copied


def _copied(code: CodeType, used: dict[int, CodeType]) -> CodeType:
    inner = (_copied(each, used) if type(each) is CodeType and id(each) in used else each for each in code.co_consts)
    return code.replace(co_consts=tuple(inner))


def _judge_split(load: Callable[[str], ModuleType]) -> None:
    link = parts["split_judge_link"].JudgeLink()

    def make_world(suite: Any, modules: list[str]) -> Any:
        return parts["split_world"].RemoteWorld(suite, modules, link)

    with _other_side(ANSWERS) as wire:
        link.attach(wire, _ended_early, 1, read_only=False)
        _judge(load, make_world)


def _judge(load: Callable[[str], ModuleType], make_world: Callable[[Any, list[str]], Any]) -> None:
    told: list[tuple[Any, ...]] = []
    parts["python_guest"].judge(PAYLOAD, lambda *fields, **_: told.append(fields), load, make_world)
    ends = [fields[2] for fields in told if fields[0] == "end"]
    if ends != ["passed"] * 4:
        raise RehearsalError(f"a suite of this harness' own came to {told[-1]}")


def _serve_solution() -> None:
    part = parts["python_split_solution"]
    link = part.SolutionLink()
    with _other_side(REQUESTS) as wire:
        link.attach(wire, part.operations(part.Candidate(SOLUTION, ["solution"]).load), lambda _: None)
        try:
            link.serve()
        except parts["split_wire"].ClosedError:
            return


def _ended_early(kind: str, why: str) -> Any:
    raise RehearsalError(f"the frames that are written down were taken for {kind}: {why}")


@contextmanager
def _other_side(frames: tuple[bytes, ...]) -> Iterator[Any]:
    """A wire on which all of `frames` have come already."""
    ours, theirs = socketpair()
    for body in frames:
        theirs.send(len(body).to_bytes(4, "big") + body)
    theirs.shutdown(SHUT_WR)
    try:
        yield parts["split_wire"].Wire(ours.fileno())
    finally:
        ours.close()
        theirs.close()


@contextmanager
def _undone() -> Iterator[None]:
    """Take away whatever a run puts in place."""
    modules, streams = dict(sys.modules), {name: getattr(sys, name) for name in STREAMS}
    shown, filters, asked = warnings.showwarning, list(warnings.filters), builtins.input
    case: Any = sys.modules.get("unittest.case")
    expecting = case._AssertRaisesContext if case else None  # noqa: SLF001 - no public word for it
    methods = dict(vars(expecting)) if expecting else {}
    try:
        yield
    finally:
        for name in sys.modules.keys() - modules.keys():
            if name in ("solution", "tests"):
                del sys.modules[name]
        sys.modules["__main__"] = modules["__main__"]
        for name, stream in streams.items():
            setattr(sys, name, stream)
        for stream in (sys.stdout, sys.stderr):
            vars(stream.buffer.raw).pop("write", None)  # type: ignore[attr-defined]
        warnings.showwarning, builtins.input = shown, asked
        warnings.filters[:] = filters  # type: ignore[index]
        for name in ("__enter__", "__exit__") if expecting else ():
            setattr(expecting, name, methods[name])
