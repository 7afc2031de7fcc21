"""The judge's behaviour, as data: a case of `cases/*.yaml` is a solution, a suite, limits and the verdict expected."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv.isolation.blocking import BlockingSandbox
from prismenv.words.limits import Limits
from prismenv.words.verdict import Verdict, VerdictMode

FOLDER = Path(__file__).parent / "cases"
COUNTS = {"passed": "tests_passed_num", "failed": "tests_failed_num", "errored": "tests_errored_num"}
KEYS = {"name", "solution", "tests", "repeat", "module", "limits", "environment", "expect", "differs", "cases", "has",
        "modes"}  # fmt: skip
MODES = ("split", "shared")
FORMS = {"portable": (), "full": ("namespaces", "full"), "userns": ("namespaces", "userns"), "alone": ("alone",)}


def load_cases() -> list[Any]:
    cases = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            assert set(case) <= KEYS, case["name"]
            cases.append(pytest.param(case, id=f"{path.stem}: {case['name']}"))
    return cases


def texts(case: dict[str, Any]) -> tuple[str, str]:
    """Solution and tests, with what is to be repeated repeated."""
    found = {"solution": case["solution"], "tests": case["tests"]}
    for key, piece in case.get("repeat", {}).items():
        if key != "times":
            found[key] = found[key].replace("REPEAT", piece * case["repeat"]["times"])
    return found["solution"], found["tests"]


def judge(case: dict[str, Any], sandbox: BlockingSandbox, mode: VerdictMode) -> Verdict:
    solution, tests = texts(case)
    limits = Limits(**case.get("limits", {}))
    return sandbox.judge(solution, tests, module=case.get("module"), limits=limits, verdict=mode)


def expectation(case: dict[str, Any], form: str, mode: str) -> dict[str, Any]:
    """What is expected under that form of isolation and that kind of verdict; `differs` says where they differ."""
    differs = case.get("differs", {})
    names = (*FORMS[form], mode)
    return case["expect"] | {key: value for name in names for key, value in differs.get(name, {}).items()}


@pytest.mark.sampled("userns", "alone", "portable", every=4)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", load_cases())
def test_verdict_is_the_expected_one(
    case: dict[str, Any],
    form: str,
    mode: VerdictMode,
    warm_sandbox: Callable[[str], BlockingSandbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if mode not in case.get("modes", MODES):
        pytest.skip(f"a {mode} verdict has nothing to find there")
    sandbox = warm_sandbox(form)
    for name, value in case.get("environment", {}).items():
        monkeypatch.setenv(name, value)
        assert os.environ[name] == value
    verdict = judge(case, sandbox, mode)
    shown = verdict.model_dump_json(indent=1)
    for key, value in expectation(case, form, mode).items():
        found = verdict[COUNTS.get(key, key)]
        assert (list(found) if isinstance(found, tuple) else found) == value, f"{key}\n{shown}\n{verdict.output}"
    if "cases" in case:
        assert [f"{each.name} {each.outcome}" for each in verdict.cases] == case["cases"], shown
    for key, pieces in case.get("has", {}).items():
        for piece in pieces:
            text = verdict[key] if isinstance(verdict[key], str) else "\n".join(verdict[key])
            assert piece in text, f"{key}\n{shown}\n{verdict.output}"
    assert verdict.success == (verdict.outcome == "passed")
    assert (verdict.outcome == "passed") == (verdict.fault == "none")


def test_there_is_a_case_for_every_outcome_that_this_kind_of_isolation_can_give() -> None:
    cases = [case.values[0] for case in load_cases()]
    outcomes = {case["expect"].get("outcome") for case in cases} - {None}
    assert len(cases) >= 60
    assert outcomes == {
        "passed", "failed", "errored", "timed_out", "out_of_memory", "output_limit", "crashed", "no_tests",
        "invalid_tests", "forgery_attempt",
    }  # fmt: skip
