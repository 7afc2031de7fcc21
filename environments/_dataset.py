"""The problems of a data file: HumanEval's format and our own, line by line. What is wrong is said with its line."""

import difflib
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from prismenv import ConfigurationException, read_json_lines

HUMANEVAL = ("task_id", "prompt", "entry_point", "test")
OURS = ("id", "statement", "tests")
EXPECTED = 'expected {"task_id", "prompt", "entry_point", "test"} or {"id", "statement", "tests", …}'
ASK_TO_COMPLETE = "Complete this Python program. Answer with the whole of it, imports and helpers included."
_CHECK = re.compile(r"^def[ \t]+check[ \t]*\(", re.MULTILINE)
_TEST = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+test|\bTestCase\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One problem. `tests` is what programs are judged by.

    `prompt` is the beginning of the program, None where the answer is the whole of it; then `entry_point` may be None.
    """

    id: str
    concepts: tuple[str, ...]
    difficulty: str
    statement: str
    tests: str
    entry_point: str | None = None
    prompt: str | None = None


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
    return DataProblem(
        id=str(problem_id),
        concepts=_names((concepts,) if isinstance(concepts, str) else concepts),
        difficulty=_text(row, "difficulty") if "difficulty" in row else defaults.difficulty,
        statement=f"{ASK_TO_COMPLETE}\n\n{statement}" if theirs else _stated(statement, entry_point),
        tests=_suite(_text(row, "test" if theirs else "tests"), entry_point),
        entry_point=entry_point,
        prompt=statement if theirs else None,
    )


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
