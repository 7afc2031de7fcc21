"""Legitimate suites get the same verdict, whether the solution is in the judge's process or in one of its own.

A case of `legit/*.yaml` is a solution (`files` and their `entry`, where it has several) and a suite; `expect` is what
both kinds of verdict say (all pass where it is not given), `split` what a split verdict says where that has to be
something else, and `note` why.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv.isolation.blocking import BlockingSandbox
from prismenv.words.fileset import FileSet
from prismenv.words.verdict import Verdict, VerdictMode

FOLDER = Path(__file__).parent / "legit"
COUNTS = {"passed": "tests_passed_num", "failed": "tests_failed_num", "errored": "tests_errored_num"}
KEYS = {"name", "solution", "files", "entry", "tests", "expect", "split", "note"}
FORMS = ("userns", "alone", "portable")  # the first that is there
SAMPLED = 10  # every tenth case is judged in full isolation as well


def load_cases() -> list[Any]:
    found = [
        (f"{path.stem}: {case['name']}", case)
        for path in sorted(FOLDER.glob("*.yaml"))
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]
    return [pytest.param(case, id=name) for name, case in found]


CASES = load_cases()


@pytest.fixture(scope="session")
def judge(warm_sandbox: Callable[[str], BlockingSandbox]) -> Callable[..., Verdict]:
    """Judges a case in a form of isolation, None for the first that is there."""

    def judged(case: dict[str, Any], mode: VerdictMode, form: str | None = None) -> Verdict:
        source = FileSet(files=case["files"], entry=case.get("entry")) if "files" in case else case["solution"]
        return opened(form).judge(source, case["tests"], verdict=mode)

    def opened(form: str | None) -> BlockingSandbox:
        if form is not None:
            return warm_sandbox(form)
        for each in FORMS:
            try:
                return warm_sandbox(each)
            except pytest.skip.Exception:
                continue
        raise AssertionError("the portable form is always there")

    return judged


def agree(verdict: Verdict, expected: dict[str, Any]) -> None:
    shown = f"{verdict.model_dump_json(indent=1)}\n{verdict.output}"
    for key, value in expected.items():
        assert verdict[COUNTS.get(key, key)] == value, f"{key}\n{shown}"


def told(verdict: Verdict) -> list[tuple[str, str]]:
    return [(each.name, each.outcome) for each in verdict.cases]


@pytest.mark.parametrize("case", CASES)
def test_split_and_shared_agree(case: dict[str, Any], judge: Callable[..., Verdict]) -> None:
    assert set(case) <= KEYS
    expected = case.get("expect", {"outcome": "passed", "failed": 0, "errored": 0})
    split, shared = judge(case, "split"), judge(case, "shared")
    agree(shared, expected)
    if split.outcome == "invalid_tests" and "its files cannot be where the solution runs" in split.message:
        pytest.skip("without namespaces the two processes have folders of different paths")
    agree(split, case.get("split", expected))
    if "split" in case:
        assert case["note"]
        return
    assert told(split) == told(shared), split.output
    assert split.fault == shared.fault
    for ours, theirs in zip(split.cases, shared.cases, strict=True):
        assert ours.message == theirs.message, f"{ours.name}: {ours.message}\nin one process: {theirs.message}"


@pytest.mark.parametrize("case", CASES[::SAMPLED])
def test_full_isolation_says_the_same(case: dict[str, Any], judge: Callable[..., Verdict]) -> None:
    expected = case.get("expect", {"outcome": "passed", "failed": 0, "errored": 0})
    agree(judge(case, "split", "full"), case.get("split", expected))


def test_there_are_many_of_them_and_each_is_named_once() -> None:
    names = [case.id for case in CASES]
    assert len(names) >= 120
    assert len(set(names)) == len(names)
