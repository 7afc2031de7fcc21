"""Judging without a run: a pair of files, or a stream of cases.

Theory of operation of a batch: one feeder task reads lines in a worker thread, because a pipe may have nothing to read
for a while, and starts a task for each; at most `2 * workers` lines are between the reader and whoever takes results,
so neither a long file nor a slow reader fills memory. Each line has a slot; slots are handed out in input order, and
taking one waits until its verdict is there.
"""

import json
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any, TextIO

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from prismenv.contracts.jail import Sandbox
from prismenv.engine.solutionfiles import checked_files, read_files, read_folder
from prismenv.words.errors import ConfigurationException, EnvironmentException
from prismenv.words.fileset import FileSet
from prismenv.words.jsonkind import json_kind
from prismenv.words.limits import Limits
from prismenv.words.nearness import nearest
from prismenv.words.verdict import Verdict, VerdictMode

LINE_CHARACTERS = 64 * 2**20  # a longer line is an error of that line
FILE_BYTES = 64 * 2**20
# A case has a `solution` or `files`; `module`, `entry` and `language` may be missing; other keys are the caller's own.
CASE_KEYS = ("id", "solution", "tests", "module", "files", "entry", "language")
_REQUIRED = CASE_KEYS[:3]

NumberedLine = tuple[int, str | None]  # the line's number from 1, and its text; None: longer than is allowed


@dataclass(frozen=True, slots=True)
class JudgedLine:
    """One line of a batch: a verdict, or what is wrong with the line. `case_id` None: the line has none to show."""

    number: int
    case_id: str | int | None
    verdict: Verdict | None
    error: str | None = None


@dataclass(slots=True)
class _Slot:
    number: int
    text: str | None
    done: anyio.Event = field(default_factory=anyio.Event)
    judged: JudgedLine | None = None


def verdict_line(case_id: str | int | None, verdict: Verdict) -> dict[str, Any]:
    """A verdict as `prismenv judge --json` prints it: plain JSON with exactly these keys."""
    return {
        "id": case_id,
        "outcome": verdict.outcome,
        "success": verdict.success,
        "fault": verdict.fault,
        "tests_passed_num": verdict.tests_passed_num,
        "tests_failed_num": verdict.tests_failed_num,
        "tests_errored_num": verdict.tests_errored_num,
        "cases": [
            {
                "name": case.name,
                "outcome": case.outcome,
                "message": case.message,
                "wall_seconds": case.wall_seconds,
            }
            for case in verdict.cases
        ],
        "cpu_seconds": verdict.cpu_seconds,
        "wall_seconds": verdict.wall_seconds,
        "isolation": verdict.isolation,
        "verdict_mode": verdict.verdict_mode,
    }


def error_line(judged: JudgedLine) -> dict[str, Any]:
    """A line that could not be judged, as `prismenv judge --batch --json` prints it."""
    return {"id": judged.case_id, "line": judged.number, "error": judged.error}


async def judge_files(  # noqa: PLR0913 - what a command line says
    sandbox: Sandbox,
    solution: Path,
    tests: Path,
    *,
    limits: Limits | None = None,
    module: str | None = None,
    entry: str | None = None,
    others: Sequence[Path] = (),
    language: str = "python",
    verdict: VerdictMode | None = None,
) -> Verdict:
    """Judge the solution in one file against the tests in another; the solution is found under its file's stem too.

    `solution` may be a folder, of which `entry` is the file whose names the tests find; `others` are more files of the
    solution, in or below the folder of its first. `module` None: a stem that cannot be a module's name is left alone.
    Raises ConfigurationException when a file cannot be read. One that is no UTF-8 is judged as it is: the sandbox says
    what is wrong with it.
    """
    source = await anyio.to_thread.run_sync(_read_solution, solution, tests, entry, others)
    suite = await anyio.to_thread.run_sync(read_source, tests)
    usual = solution.stem if isinstance(source, str) and _refusal(solution.stem) is None else None
    return await sandbox.judge(source, suite, limits=limits, module=module or usual, language=language, verdict=verdict)


def _read_solution(solution: Path, tests: Path, entry: str | None, others: Sequence[Path]) -> str | FileSet:
    if solution.is_dir():
        if others:
            raise ConfigurationException(f"{solution} is a folder: all of its files are judged, --file names none more")
        return read_folder(solution, entry=entry, tests=tests)
    if entry is not None:
        raise ConfigurationException(f"--entry is a file of a folder, and {solution} is none", subject=entry)
    return read_files(solution, others) if others else read_source(solution)


def check_module(name: str) -> None:
    """ConfigurationException when a solution cannot be found under the module name `name`."""
    refusal = _refusal(name)
    if refusal is not None:
        raise ConfigurationException(f"{name!r} cannot be the module of a solution: {refusal}", subject=name[:80])


def _refusal(name: str) -> str | None:
    if not name.isidentifier() or iskeyword(name):
        return "it is no identifier"
    if name in sys.stdlib_module_names:
        return "the standard library has a module of that name"
    return "it is the module of the tests" if name == "tests" else None


def read_source(path: Path) -> str:
    """The text of a source file, bytes that are no UTF-8 kept as surrogates."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except FileNotFoundError as error:
        near = nearest(path.name, _names_beside(path))
        hint = f"Did you mean {path.with_name(near)}?" if near else None
        raise ConfigurationException(f"there is no file {path}", subject=str(path), hint=hint) from error
    except OSError as error:
        raise ConfigurationException(f"{path} cannot be read: {error.strerror or error}", subject=str(path)) from error
    if len(data) > FILE_BYTES:
        raise ConfigurationException(
            f"{path} is longer than {FILE_BYTES} bytes, the most that is judged", subject=str(path)
        )
    return data.decode("utf-8-sig", errors="surrogateescape")


def _names_beside(path: Path) -> list[str]:
    folder = path.parent
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def numbered_lines(stream: TextIO) -> Iterator[NumberedLine]:
    """The lines of `stream` that are not blank, with their numbers; one that is too long comes as None."""
    number = 0
    while text := stream.readline(LINE_CHARACTERS + 1):
        number += 1
        too_long = len(text) > LINE_CHARACTERS
        while too_long and text and not text.endswith("\n"):
            text = stream.readline(LINE_CHARACTERS)
        if too_long:
            yield number, None
        elif not text.isspace():
            yield number, text


class JudgedLines:
    """The results of a batch in input order: an async iterator. Made by `judged_lines`."""

    def __init__(self, slots: MemoryObjectReceiveStream[_Slot], room: anyio.Semaphore) -> None:
        self._slots = slots
        self._room = room

    def __aiter__(self) -> AsyncIterator[JudgedLine]:
        return self

    async def __anext__(self) -> JudgedLine:
        slot = await self._slots.__anext__()
        await slot.done.wait()
        self._room.release()
        if slot.judged is None:
            raise AssertionError("a slot is done when it is judged")
        return slot.judged


@asynccontextmanager
async def judged_lines(
    sandbox: Sandbox,
    lines: Iterable[NumberedLine],
    *,
    workers: int,
    limits: Limits | None = None,
    language: str = "python",
) -> AsyncIterator[JudgedLines]:
    """Judge lines `{"id", "solution" or "files", "tests"}` at most `workers` at once; iterate over what it gives.

    `language` is that of lines that name none. A line that is no case is a JudgedLine with an error, and the others go
    on.
    """
    window = 2 * workers
    send, receive = anyio.create_memory_object_stream[_Slot](window)
    room = anyio.Semaphore(window)
    async with receive, anyio.create_task_group() as tasks:
        bench = _Bench(sandbox, limits, anyio.CapacityLimiter(workers), language)
        tasks.start_soon(_feed, tasks, bench, iter(lines), send, room)
        yield JudgedLines(receive, room)
        tasks.cancel_scope.cancel()


async def _feed(
    tasks: TaskGroup,
    bench: "_Bench",
    lines: Iterator[NumberedLine],
    send: MemoryObjectSendStream[_Slot],
    room: anyio.Semaphore,
) -> None:
    async with send:
        while True:
            await room.acquire()
            line = await anyio.to_thread.run_sync(next, lines, None, abandon_on_cancel=True)
            if line is None:
                return
            slot = _Slot(*line)
            send.send_nowait(slot)
            tasks.start_soon(bench.judge, slot)


@dataclass(frozen=True, slots=True)
class _Bench:
    """Judges one line."""

    sandbox: Sandbox
    limits: Limits | None
    limiter: anyio.CapacityLimiter
    language: str

    async def judge(self, slot: _Slot) -> None:
        async with self.limiter:
            case_id: str | int | None = None
            try:
                given = _read(slot.text)
                case_id = _shown_id(given)
                case = _checked(given)
                source = case["solution"]
                if "files" in case:
                    source = checked_files(case["files"], case.get("entry"))
                verdict = await self.sandbox.judge(
                    source,
                    case["tests"],
                    limits=self.limits,
                    module=case.get("module"),
                    language=case.get("language") or self.language,
                )
                slot.judged = JudgedLine(slot.number, case_id, verdict)
            except EnvironmentException as error:
                slot.judged = JudgedLine(slot.number, case_id, None, f"line {slot.number}: {error}")
        slot.done.set()


def _read(text: str | None) -> Any:
    """What the line says, whatever it is; ConfigurationException when it is no JSON or too long."""
    if text is None:
        raise ConfigurationException(f"it has more than {LINE_CHARACTERS} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationException(f"it is no JSON: {error}") from error


def _shown_id(given: Any) -> str | int | None:
    """The id by which a line is answered, also where the rest of it is wrong; None: it has none that can be one."""
    case_id = given.get("id") if isinstance(given, dict) else None
    return case_id if _is_id(case_id) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _checked(given: Any) -> dict[str, Any]:
    """One case; ConfigurationException when what the line says is none."""
    if not isinstance(given, dict):
        raise ConfigurationException(f"it is {json_kind(given)} and no object with {', '.join(_REQUIRED)}")
    case: dict[str, Any] = given
    if "files" in case:
        case = _with_files(case)
    missing = [key for key in _REQUIRED if key not in case]
    if missing:
        near = nearest(missing[0], case)
        hint = f" (did you mean {near!r} to be it?)" if near else ""
        raise ConfigurationException(f"the key {missing[0]!r} is missing{hint}; needed are {', '.join(_REQUIRED)}")
    if not _is_id(case["id"]):
        raise ConfigurationException(f"'id' must be a string or an integer, not {json_kind(case['id'])}")
    for key in ("solution", "tests", "module", "entry", "language"):
        if not isinstance(case.get(key, ""), str):
            raise ConfigurationException(f"{key!r} must be a string, not {json_kind(case[key])}")
    return case


def _with_files(case: dict[str, Any]) -> dict[str, Any]:
    """A case of several files; its `solution` is then empty."""
    if case.get("solution") is not None:
        raise ConfigurationException("it has both 'solution' and 'files': a solution is one text or several files")
    files = case["files"]
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise ConfigurationException("'files' must be an object of paths with their texts")
    return {**{key: value for key, value in case.items() if key != "entry" or value is not None}, "solution": ""}
