"""The problems of a data file: HumanEval's format and our own, line by line. What is wrong is said with its line."""

import difflib
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prismenv import ConfigurationException, FileSet, extract_files, read_json_lines

HUMANEVAL = ("task_id", "prompt", "entry_point", "test")
OURS = ("id", "statement", "tests")
EXPECTED = 'expected {"task_id", "prompt", "entry_point", "test"} or {"id", "statement", "tests", …}'
ASK_TO_COMPLETE = "Complete this Python program. Answer with the whole of it, imports and helpers included."
ASK_FOR_FILES = (
    "Answer with the file `{entry}`. Where other files are to be added or changed, give each in a block of its own, "
    "with its path in the line above."
)
_CHECK = re.compile(r"^def[ \t]+check[ \t]*\(", re.MULTILINE)
_TEST = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+test|\bTestCase\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One problem. `tests` is what programs are judged by.

    `prompt` is the beginning of the program, None where the answer is the whole of it; then `entry_point` may be None.
    `files` are there beside every answer, by path; `entry` is the file whose names the tests find, where the program of
    an answer of one text goes. None: the solution is one text, or its answer says.
    """

    id: str
    concepts: tuple[str, ...]
    difficulty: str
    statement: str
    tests: str
    entry_point: str | None = None
    prompt: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    entry: str | None = None

    def solution(self, answer: str, program: str | None) -> str | FileSet | None:
        """What is judged of an answer that holds `program`; None where it holds nothing."""
        if self.prompt is not None:
            return program
        found = extract_files(answer, entry=self.entry, given=self.files)
        if found is not None or program is None or self.entry is None:
            return found or program
        return FileSet(files={**self.files, self.entry: program}, entry=self.entry)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a problem is taken to be about where its line does not say."""

    concepts: tuple[str, ...]
    difficulty: str


def load_problems(path: Path, defaults: Defaults) -> Mapping[str, DataProblem]:
    """The problems of a file by id, in its order. Read once as long as the file does not change.

    ConfigurationException names the file, the line, and what is wrong with it.
    """
    try:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
    except OSError:
        stamp = (0, 0)  # reading it will say what is wrong
    return _load(path, stamp, defaults)


@lru_cache(maxsize=4)
def _load(path: Path, _stamp: tuple[int, int], defaults: Defaults) -> Mapping[str, DataProblem]:
    problems: dict[str, DataProblem] = {}
    lines: dict[str, int] = {}
    for number, row in read_json_lines(path, EXPECTED):
        try:
            problem = _problem(row, defaults)
        except ValueError as error:
            raise _bad(f"{path}:{number}: {error}", path) from error
        if problem.id in problems:
            raise _bad(f"{path}:{number}: the id {problem.id!r} is that of line {lines[problem.id]} already", path)
        problems[problem.id] = problem
        lines[problem.id] = number
    if not problems:
        raise _bad(f"{path}: there are no problems in it; {EXPECTED} on each line", path)
    return problems


def _problem(row: Mapping[str, Any], defaults: Defaults) -> DataProblem:
    """The problem of one line; ValueError says what is wrong with it."""
    theirs = "prompt" in row or "task_id" in row
    _require(row, HUMANEVAL if theirs else OURS)
    problem_id = row["task_id" if theirs else "id"]
    if isinstance(problem_id, bool) or not isinstance(problem_id, str | int) or problem_id == "":
        raise ValueError(f"the id must be text or a number, found {problem_id!r:.80}")
    entry_point = _entry_point(row.get("entry_point"))
    concepts = row.get("concepts", defaults.concepts)
    statement = _text(row, "prompt" if theirs else "statement")
    files, entry = _files(row, theirs=theirs)
    stated = f"{ASK_TO_COMPLETE}\n\n{statement}" if theirs else _stated(statement, entry_point)
    return DataProblem(
        id=str(problem_id),
        concepts=_names((concepts,) if isinstance(concepts, str) else concepts),
        difficulty=_text(row, "difficulty") if "difficulty" in row else defaults.difficulty,
        statement=_with_files(stated, files, entry),
        tests=_suite(_text(row, "test" if theirs else "tests"), entry_point),
        entry_point=entry_point,
        prompt=statement if theirs else None,
        files=files,
        entry=entry,
    )


def _files(row: Mapping[str, Any], *, theirs: bool) -> tuple[dict[str, str], str | None]:
    """The files of a line and the entry among them; ValueError where they can be no part of a solution."""
    files, entry = row.get("files") or {}, row.get("entry")
    if not files and entry is None:
        return {}, None
    if theirs:
        raise ValueError("'files' and 'entry' are for problems with a 'statement': a prompt is one text")
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise ValueError(f"'files' must be an object of paths with their texts, found {files!r:.80}")
    if not isinstance(entry, str):
        raise ValueError(f"'entry' must name the file that the answer is, found {entry!r:.80}")  # noqa: TRY004 - of a line
    try:
        FileSet(files={**files, entry: ""}, entry=entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"'files' and 'entry': {first['msg'].removeprefix('Value error, ')}") from error
    return dict(files), entry


def _with_files(statement: str, files: Mapping[str, str], entry: str | None) -> str:
    """The statement, which says what the program is a part of."""
    if entry is None:
        return statement
    asked = f"{statement.rstrip()}\n\n{ASK_FOR_FILES.format(entry=entry)}"
    if not files:
        return asked
    listing = FileSet(files={entry: "# to be written", **files}, entry=entry).listing()
    return f"{asked}\n\nThese files are there:\n\n{listing}"


def _require(row: Mapping[str, Any], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in row]
    if missing:
        near = difflib.get_close_matches(missing[0], [str(key) for key in row if key not in keys], n=1)
        also = f" (is {near[0]!r} meant to be it?)" if near else ""
        raise ValueError(f"{missing[0]!r} is missing{also}; found {', '.join(map(str, row)) or 'nothing'}; {EXPECTED}")


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key!r} must be text, found {value!r:.80}")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f"'concepts' must be a list of names, found {value!r:.80}")
    return tuple(value)


def _entry_point(value: Any) -> str | None:
    """The name that is written into a suite, so it has to be one."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.isidentifier() or keyword.iskeyword(value):
        raise ValueError(f"'entry_point' must be the name of a function, found {value!r:.80}")
    return value


def _stated(statement: str, entry_point: str | None) -> str:
    """The statement, which says how the function is to be called."""
    if entry_point is None or re.search(rf"\b{entry_point}\b", statement):
        return statement
    return f"{statement.rstrip()}\n\nThe function is to be called `{entry_point}`."


def _suite(tests: str, entry_point: str | None) -> str:
    """The suite as it is judged: one that only defines `check(candidate)` is given a test that calls it."""
    if not _CHECK.search(tests) or _TEST.search(tests):
        return tests
    if entry_point is None:
        raise ValueError("a suite with check(candidate) needs an 'entry_point' to be called with")
    return f"{tests.rstrip()}\n\n\ndef test_check():\n    check({entry_point})\n"


def _bad(message: str, path: Path) -> ConfigurationException:
    return ConfigurationException(message, code="data_invalid", subject=str(path))
