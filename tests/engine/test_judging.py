"""Judging files and batches, with a sandbox that answers by a function."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.jail import Sandbox
from prismenv.engine import judging
from prismenv.engine.judging import JudgedLine, NumberedLine, error_line, judge_files, judged_lines, numbered_lines
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.verdict import CaseResult, Execution, Verdict, VerdictMode


class EchoSandbox(Sandbox):
    """Judges at different speeds and remembers how much it did at once."""

    isolation = "portable"
    ceiling = Limits()

    def __init__(self, verdict: Callable[[Any, str, str | None], Verdict] | None = None) -> None:
        self.verdict = verdict or (lambda solution, tests, module: Verdict(outcome="passed", output=solution))
        self.running = self.most = 0

    async def judge(  # noqa: PLR0913 - the contract
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,
        module: str | None = None,
        language: str = "python",
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        self.running += 1
        self.most = max(self.most, self.running)
        text = solution if isinstance(solution, str) else solution.text
        for _ in range(sum(map(ord, text)) % 7):
            await anyio.lowlevel.checkpoint()
        self.running -= 1
        return self.verdict(solution, tests, module)

    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        raise NotImplementedError

    async def probe(self) -> Mapping[str, str]:
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


def batch(lines: Iterable[NumberedLine], *, workers: int = 3, sandbox: Sandbox | None = None) -> list[JudgedLine]:
    async def main() -> list[JudgedLine]:
        async with judged_lines(sandbox or EchoSandbox(), lines, workers=workers) as results:
            return [result async for result in results]

    return anyio.run(main)


def case(case_id: Any, **changes: Any) -> str:
    return json.dumps({"id": case_id, "solution": f"solution {case_id}", "tests": "tests", **changes})


@given(st.integers(0, 40), st.integers(1, 8))
def test_results_come_in_input_order_whatever_ends_first(count: int, workers: int) -> None:
    sandbox = EchoSandbox()
    results = batch(((number + 1, case(number)) for number in range(count)), workers=workers, sandbox=sandbox)
    assert [result.case_id for result in results] == list(range(count))
    assert [result.verdict.output for result in results if result.verdict] == [f"solution {n}" for n in range(count)]
    assert sandbox.most <= workers


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: it is no JSON"),
        ("[" * 100_000, "line 2: it is no JSON"),
        ("[1]", "line 2: it is a list and no object with id, solution, tests"),
        (json.dumps({"id": "a", "solution": "x", "test": "y"}), "the key 'tests' is missing (did you mean 'test'"),
        (json.dumps({"solution": "x", "tests": "y"}), "the key 'id' is missing"),
        (case(True), "'id' must be a string or an integer, not true or false"),
        (case(None), "'id' must be a string or an integer, not null"),
        (case("a", tests=["x"]), "'tests' must be a string, not a list"),
        (case("a", module=3), "'module' must be a string, not a number"),
        (case("a", files={"a.py": ""}), "it has both 'solution' and 'files'"),
        (case("a", solution=None, files=["a.py"]), "'files' must be an object of paths with their texts"),
        (case("a", solution=None, files={"a.py": 1}), "'files' must be an object of paths with their texts"),
        (case("a", solution=None, files={"../a.py": ""}), "line 2: the path '../a.py' cannot be a file of a solution"),
        (case("a", solution=None, files={"a.py": ""}, entry=3), "'entry' must be a string, not a number"),
        (case("a", solution=None, files={"a.py": ""}, entry="b.py"), "the entry 'b.py' is none of its files"),
        (None, "line 2: it has more than"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number_and_the_others_are_judged(line: str | None, words: str) -> None:
    results = batch([(1, case("first")), (2, line), (3, case("third"))])
    assert [result.error is None for result in results] == [True, False, True]
    assert words in str(results[1].error)
    assert error_line(results[1])["line"] == 2


@pytest.mark.parametrize(
    ("line", "case_id"),
    [
        (json.dumps({"id": "a", "solution": "x"}), "a"),
        (json.dumps({"id": 0}), 0),
        (case("a", tests=["x"]), "a"),
        (json.dumps({"solution": "x", "tests": "y"}), None),
        (case(True), None),
        (case(["a"]), None),
        ("[1]", None),
        ("{", None),
    ],
)
def test_a_bad_line_is_answered_with_its_id_where_that_can_be_read(line: str, case_id: str | int | None) -> None:
    (judged,) = batch([(1, line)])
    answer = error_line(judged)["id"]
    assert (answer, type(answer)) == (case_id, type(case_id))
    assert judged.error


def test_a_line_may_have_several_files_and_an_entry() -> None:
    def told(solution: str | FileSet, tests: str, module: str | None) -> Verdict:
        assert isinstance(solution, FileSet)
        return Verdict(outcome="passed", output=f"{solution.main} of {len(solution.files)}")

    files = {"a.py": "1", "b.py": "2"}
    line = json.dumps({"id": 1, "files": files, "entry": "b.py", "tests": "t"})
    usual = json.dumps({"id": 2, "files": {"main.py": "", **files}, "entry": None, "tests": "t"})
    results = batch([(1, line), (2, usual)], sandbox=EchoSandbox(told))
    assert [result.error for result in results] == [None, None]
    assert [result.verdict.output for result in results if result.verdict] == ["b.py of 2", "main.py of 3"]


def test_what_the_sandbox_refuses_is_an_error_of_its_line() -> None:
    def refuse(solution: str, tests: str, module: str | None) -> Verdict:
        if module == "json":
            raise ConfigurationException("a solution cannot be called json")
        return Verdict(outcome="passed")

    results = batch([(1, case("a", module="json")), (2, case("b", module="mine"))], sandbox=EchoSandbox(refuse))
    assert results[0].case_id == "a"
    assert results[0].error == "line 1: a solution cannot be called json"
    assert results[1].verdict is not None


def test_a_batch_that_nobody_reads_on_stops_reading_its_input() -> None:
    taken = []

    def lines() -> Iterable[NumberedLine]:
        for number in range(10_000):
            taken.append(number)
            yield number + 1, case(number)

    async def main() -> None:
        async with judged_lines(EchoSandbox(), lines(), workers=2) as results:
            async for _ in results:
                break

    anyio.run(main)
    assert len(taken) <= 6


def test_blank_lines_are_skipped_and_long_ones_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "LINE_CHARACTERS", 10)
    stream = io.StringIO("one\n\n   \n" + "x" * 35 + "\nexactly10!\nend")
    assert list(numbered_lines(stream)) == [(1, "one\n"), (4, None), (5, None), (6, "end")]


def test_the_verdict_line_has_exactly_the_agreed_keys() -> None:
    verdict = Verdict(
        outcome="failed", fault="candidate", tests_failed_num=1, cases=(CaseResult(name="t", outcome="failed"),)
    )
    line = judging.verdict_line("x", verdict)
    assert list(line) == [
        "id", "outcome", "success", "fault", "tests_passed_num", "tests_failed_num", "tests_errored_num", "cases",
        "cpu_seconds", "wall_seconds", "isolation", "verdict_mode",
    ]  # fmt: skip
    assert line["cases"] == [{"name": "t", "outcome": "failed", "message": "", "wall_seconds": None}]
    assert json.loads(json.dumps(line)) == line


def test_files_are_judged_under_the_solution_files_stem(tmp_path: Path) -> None:
    seen = []

    def note(solution: str, tests: str, module: str | None) -> Verdict:
        seen.append((solution, tests, module))
        return Verdict(outcome="passed")

    (tmp_path / "mine.py").write_bytes(b"\xef\xbb\xbfa = 1\n\xff")
    (tmp_path / "not-a-name.py").write_text("b = 1")
    (tmp_path / "tests.py").write_text("assert a")

    async def main() -> None:
        sandbox = EchoSandbox(note)
        await judge_files(sandbox, tmp_path / "mine.py", tmp_path / "tests.py")
        await judge_files(sandbox, tmp_path / "not-a-name.py", tmp_path / "tests.py")
        await judge_files(sandbox, tmp_path / "mine.py", tmp_path / "tests.py", module="other")

    anyio.run(main)
    assert seen[0] == ("a = 1\n\udcff", "assert a", "mine")
    assert [module for _, _, module in seen] == ["mine", None, "other"]


def test_a_file_that_is_not_there_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "solution.py").write_text("")

    async def main() -> None:
        await judge_files(EchoSandbox(), tmp_path / "soluton.py", tmp_path / "tests.py")

    with pytest.raises(ConfigurationException, match=r"there is no file .*soluton\.py(?s:.*)solution\.py\?"):
        anyio.run(main)


def test_a_folder_is_no_file_to_judge(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="cannot be read: Is a directory"):
        judging.read_source(tmp_path)
