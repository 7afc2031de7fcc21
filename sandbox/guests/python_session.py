"""Keeps an interpreter: runs one piece of code after the other with the same names, and says what became of each.

Requests are triples of a number, a path that is no file's, and code; each is answered by one frame. All that a frame
says may have been made up by the code: it lives in this very process. So nothing here protects anything: the parent
holds time, memory and output, stops this process between calls, and ends it when it says what it may not. What is
here is for code that means no harm: its last expression's value, its errors with its own lines, Ctrl-C that arrives.
"""

import linecache
import marshal
import sys
import traceback
from _ast import Expr, Expression, Module
from _json import encode_basestring_ascii as quoted
from _signal import SIGINT, SIGKILL, signal  # type: ignore[import-not-found]  # no stubs; signal itself imports enum
from collections.abc import Callable
from posix import O_RDWR, WNOHANG, _exit, close, dup2, getpid, kill, read, waitpid, write
from posix import open as open_file
from resource import RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE
from types import FrameType, ModuleType, TracebackType
from typing import Any

from guest_process import OPEN_FILES, die_with_parent, limit_memory, lower, move_out_of_reach, offer_exit
from python_output import Flush

try:
    from resource import RLIMIT_RTTIME
except ImportError:  # not on every system: nothing is found by it there
    RLIMIT_RTTIME = -1

ONLY_TREE = 0x400  # ast.PyCF_ONLY_AST
HARNESS = "<prismenv"
RESULT_CHARACTERS = 100_000
MESSAGE_CHARACTERS = 4000
TRACE_CHARACTERS = 20_000
PREFIX_BYTES = 8
LIFELINE = 3  # where the parent's end is seen, where no zygote sees to it
FIRST_PROCESS = 1

Told = tuple[str, "str | None", "list[Any] | None"]


class Session:
    """Serves calls on `channel` until the parent is gone."""

    def __init__(self, channel: int, nonce: str, *, alone: bool) -> None:
        self._channel = channel
        self._alone = alone  # whether all other processes that it sees are of its own making
        self._nonce = nonce
        self._owner = getpid()
        self._running = False
        self._flush = Flush()
        self._main = ModuleType("__main__")
        self._main.__dict__["__builtins__"] = sys.modules["builtins"]
        sys.modules["__main__"] = self._main

    def serve(self) -> None:
        """Answer one request after the other; leaves the process at the end."""
        self._say("ready")
        while True:
            number, name, code = marshal.loads(self._take(int.from_bytes(self._take(PREFIX_BYTES), "big")))
            outcome, result, error = self._run(name, code)
            if getpid() != self._owner:
                _exit(0)  # a process that the code forked came back here: it has nothing to say
            self._flush()
            if self._alone:
                end_children()
            self._say("done", number, outcome, result, error)

    def _run(self, name: str, code: str) -> Told:
        """What became of the code: an outcome, the value of its last expression, what it raised."""
        signal(SIGINT, self._interrupted)
        told: Told = ("interrupted", None, ["KeyboardInterrupt", "", "", None])
        try:
            self._running = True
            try:
                value = self._evaluate(name, code)
                told = ("finished", None if value is None else clipped(repr(value), RESULT_CHARACTERS), None)
            except BaseException as error:
                told = told_of(error)
        except BaseException:  # a second one came while the first was told of
            return told
        finally:
            self._running = False
        return told

    def _evaluate(self, name: str, code: str) -> Any:
        text = code if code.endswith("\n") else f"{code}\n"  # where the last line has no end, carets are a place off
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        names = self._main.__dict__
        tree = compile(code, name, "exec", ONLY_TREE, dont_inherit=True)
        last = tree.body.pop() if tree.body and type(tree.body[-1]) is Expr else None
        if tree.body:
            exec(compile(Module(tree.body, []), name, "exec", dont_inherit=True), names)
        if last is None:
            return None
        return eval(compile(Expression(last.value), name, "eval", dont_inherit=True), names)

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if self._running:
            raise KeyboardInterrupt

    def _take(self, size: int) -> bytes:
        parts = []
        while size:
            part = read(self._channel, min(size, 1 << 20))
            if not part:
                _exit(0)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _say(self, *fields: Any) -> None:
        body = (self._nonce + encoded(fields)).encode("ascii")
        data = len(body).to_bytes(4, "big") + body
        while data:
            data = data[write(self._channel, data) :]


def told_of(error: BaseException) -> Told:
    """What is said of what code raised: outcome, no value, and (name, message, traceback, exit code)."""
    kind = type(error)
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        text = "" if error.code is None else clipped(str(error.code), MESSAGE_CHARACTERS)
        return "exited", None, ["SystemExit", text, "", code & 0xFF]
    outcome = "interrupted" if kind is KeyboardInterrupt else "raised"
    try:
        message = clipped(str(error), MESSAGE_CHARACTERS)
    except BaseException as failed:
        message = f"(its text cannot be had: {type(failed).__name__})"
    try:
        lines = traceback.format_exception(kind, error, _own(error.__traceback__))
        trace = clipped("".join(lines), TRACE_CHARACTERS)
    except BaseException as failed:
        trace = f"(its traceback cannot be had: {type(failed).__name__})"
    return outcome, None, [clipped(kind.__name__, MESSAGE_CHARACTERS), message, trace, None]


def _own(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from where it leaves the harness."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(HARNESS):
        trace = trace.tb_next
    return trace


def clipped(text: Any, most: int) -> str:
    """An exact string, its middle left out where it is long."""
    plain = str.__str__(text)
    return plain if len(plain) <= most else f"{plain[: most // 2]}\n... (left out) ...\n{plain[-(most // 2) :]}"


def encoded(value: Any) -> str:
    """JSON of numbers, strings, None and lists of them."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([encoded(item) for item in value]) + "]"
    return repr(value)


def end_children() -> None:
    """End every other process of this namespace, which all have to be of this session's making."""
    try:
        waitpid(-1, WNOHANG)
        kill(-1, SIGKILL)
        while True:
            waitpid(-1, 0)
    except OSError:  # there is none, or none any more
        return


def main(payload: dict[str, Any], _load: Callable[[str], ModuleType]) -> None:
    """Never returns before the parent is gone."""
    limits = payload["limits"]
    channel = move_out_of_reach(0)
    null = move_out_of_reach(open_file("/dev/null", O_RDWR))  # it stood where it belongs, but no program would get it
    dup2(null, 0)
    close(null)
    if payload["marker"]:
        die_with_parent(move_out_of_reach(LIFELINE))
        if RLIMIT_RTTIME >= 0:
            lower(RLIMIT_RTTIME, payload["marker"])
    lower(RLIMIT_CORE, 0)
    lower(RLIMIT_FSIZE, limits["file_bytes"])
    lower(RLIMIT_NOFILE, OPEN_FILES)
    limit_memory(limits["memory_bytes"])
    offer_exit()
    alone = getpid() == FIRST_PROCESS or payload.get("alone", False)
    Session(channel, payload["nonce"], alone=alone).serve()
