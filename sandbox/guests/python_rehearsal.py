"""Plays a small run through in a zygote before there is any, so that no child has to do the same things first.

Python adapts code while it runs and remembers what it looked up in classes. A child that begins with neither writes to
a hundred more pages than one that finds both, and each of them is then copied. So the harness judges a suite of its own
here a few times, with the other side's frames written down. Nothing of it is left but that: what it put in place is
taken away again, and it went wrong if one of its tests did not pass.
"""

import gc
import marshal
import posix
import sys
import warnings
from _operator import is_
from _socket import SHUT_WR, socket, socketpair
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, ModuleType
from typing import Any

from python_placement import place

from __main__ import parts, take  # type: ignore[attr-defined]  # BOOT's

TIMES = 6
# What a run does before its payload is there, and what serves it: none of it can be played.
UNREHEARSED = frozenset({"guest_process", "zygote", "zygote_jail", "zygote_kernel", "zygote_landlock"})
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
SPLIT = (("python_split_judge", ANSWERS), ("python_split_solution", REQUESTS))
PAYLOAD: dict[str, Any] = {
    "solution": SOLUTION,
    "tests": TESTS,
    "modules": ["solution"],
    "files": {},
    "parts": {},
    "entry": "solution.py",
    "audit": False,
    "skip": [],
    "read_only": False,
    "limits": {  # memory as good as without one: it stays
        "memory_bytes": 2**61,
        "output_bytes": 2**20,
        "file_bytes": 2**20,
        "cpu_seconds": 60,
        "wall_seconds": 60,
    },
    "nonce": "0" * 32,
    "marker": 0,
}


class RehearsalError(Exception):
    """It did not go as it is written down."""


def rehearse(load: Callable[[str], ModuleType]) -> None:
    """Play the side through that this process has the parts of. RehearsalError."""
    # What was looked up while this process started would be replaced by children, one name at a time.
    sys._clear_type_cache()  # noqa: SLF001 - its public name
    before = Before()
    place(_used(lambda: _play(load, before)), UNREHEARSED)
    before = Before()
    for _ in range(TIMES):
        _play(load, before)
    _renew()
    gc.unfreeze()  # a run takes what it finds for lasting: now it is garbage


def dress(load: Callable[[str], ModuleType]) -> Callable[[], Callable[[], None]] | None:
    """What sets the scene for a forked child; that gives what plays the split side of this process to its end.

    None: it has no such side.
    """
    found = next((each for each in SPLIT if each[0] in parts), None)
    if found is None:
        return None
    name, frames = found

    def scene() -> Callable[[], None]:
        null = posix.open("/dev/null", posix.O_RDWR)
        ours, channel = socketpair()
        data = marshal.dumps(PAYLOAD)
        ours.send(len(data).to_bytes(8, "big") + data)
        bridge, theirs = _filled(frames)
        for number, each in enumerate((channel.detach(), null, null, bridge.detach())):
            posix.dup2(each, number)
        for each in (ours, theirs):
            each.detach()  # they stay open
        return lambda: parts[name].main(take(), load)

    return scene


def _play(load: Callable[[str], ModuleType], before: "Before") -> None:
    for name, play in (
        ("python_split_judge", _judge_split),
        ("python_guest", _judge),
        ("python_split_solution", _serve),
    ):
        if name in parts:
            _renew()
            try:
                play(parts[name], load)
            finally:
                before.restore()


def _renew() -> None:
    for name in ("python_split_judge", "python_split_solution"):
        if name in parts:
            parts[name].renew()


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


def _judge_split(part: Any, load: Callable[[str], ModuleType]) -> None:
    told: list[tuple[Any, ...]] = []
    with _other_side(ANSWERS) as bridge:
        part.Judge(PAYLOAD, lambda *fields, **_: told.append(fields), _left).run(load, bridge)
    _check(told)


def _judge(part: Any, load: Callable[[str], ModuleType]) -> None:
    told: list[tuple[Any, ...]] = []
    part.judge(PAYLOAD, lambda *fields, **_: told.append(fields), load)
    _check(told)


def _check(told: list[tuple[Any, ...]]) -> None:
    if [fields[2] for fields in told if fields[0] == "end"] != ["passed"] * 4:
        raise RehearsalError(f"a suite of this harness' own came to {told[-2:]}")


def _serve(part: Any, load: Callable[[str], ModuleType]) -> None:
    wire = parts["split_wire"]
    with _other_side(REQUESTS) as bridge:
        try:
            part.serve(PAYLOAD, load, wire.Wire(bridge), lambda _: None)
        except wire.ClosedError:
            return
    raise RehearsalError("a solution was served on although its judge had gone")


def _left(_: int) -> Any:
    raise RehearsalError("the frames that are written down were not taken for a solution's")


def _filled(frames: tuple[bytes, ...]) -> tuple[socket, socket]:
    """A pair of which the other one has sent all of `frames`."""
    ours, theirs = socketpair()
    for body in frames:
        theirs.send(len(body).to_bytes(4, "big") + body)
    theirs.shutdown(SHUT_WR)
    return ours, theirs


@contextmanager
def _other_side(frames: tuple[bytes, ...]) -> Iterator[int]:
    """A bridge over which all of `frames` have come already."""
    ours, theirs = _filled(frames)
    try:
        yield ours.fileno()
    finally:
        ours.close()
        theirs.close()


class Before:
    """What modules and their classes hold now. A run puts much in place of it, in a process that is all its own."""

    def __init__(self) -> None:
        self._modules = {name: module for name, module in sys.modules.items() if isinstance(module, ModuleType)}
        owners: dict[int, Any] = {id(module): module for module in self._modules.values()}
        for module in self._modules.values():
            owners.update({id(each): each for each in vars(module).values() if isinstance(each, type)})
        self._held = [(owner, dict(vars(owner))) for owner in owners.values()]
        lists: tuple[Any, ...] = (sys.path, sys.path_hooks, sys.meta_path, warnings.filters)
        self._lists = [(each, list(each)) for each in lists]

    def restore(self) -> None:
        """Put it back. Modules may have got more names: those of modules below them that were loaded."""
        for owner, held in self._held:
            now = vars(owner)
            if len(now) == len(held) and all(map(is_, now.values(), held.values())):
                continue
            for name, value in held.items():
                if now.get(name) is not value:
                    setattr(owner, name, value)
            for name in now.keys() - held.keys() if isinstance(owner, type) else ():
                delattr(owner, name)
        for each, content in self._lists:
            each[:] = content
        for name in ("solution", "tests"):
            sys.modules.pop(name, None)
        sys.modules["__main__"] = self._modules["__main__"]
        for stream in (sys.stdout, sys.stderr):
            vars(stream.buffer.raw).pop("write", None)  # type: ignore[attr-defined]  # of a process' own streams
