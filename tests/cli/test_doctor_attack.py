"""`prismenv doctor --attack`: the attack suite as a command, from a checkout and from an installed package."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDERS = ("agents", "configs", "environments", "sandbox", "tests/attacks")
PLANTED = """\
- name: a shared verdict is said to hold what it does not
  class: planted
  shared: true
  solution: |
    class Any:
        def __eq__(self, other): return True
    def total(numbers): return Any()
  tests: |
    def test_total(): assert total([1, 2]) == 3
  twin: shared
- name: an exit in a call
  class: planted
  shared: true
  solution: |
    import os
    def total(numbers): os._exit(0)
  tests: |
    def test_total(): assert total([1, 2]) == 3
  twin: naive
"""


@pytest.fixture
def installed(root: Path, tmp_path: Path) -> Path:
    """A folder with the package as a wheel installs it: its workspace inside, one class of attacks more."""
    package = tmp_path / "site" / "prismenv"
    hidden = shutil.ignore_patterns("__pycache__", "_workspace")
    shutil.copytree(root / "prismenv", package, ignore=hidden)
    for name in FOLDERS:
        shutil.copytree(root / name, package / "_workspace" / name, ignore=hidden)
    (package / "_workspace" / "tests" / "attacks" / "forge-planted.yaml").write_text(PLANTED, encoding="utf-8")
    return package.parent


def test_harm_is_held_and_counted_by_class(shell: Any) -> None:
    answer = shell("doctor", "--attack", "--class", "network", "--json")
    assert answer.code == 0, answer.out + answer.err
    found = answer.json
    assert found["held"] is True
    assert [each["class"] for each in found["classes"]] == ["network"]
    assert (
        sum(found["classes"][0][status] for status in ("held", "not_held", "left_out")) == len(found["attacks"]) >= 10
    )
    if found["isolation"] != "portable":
        assert {each["status"] for each in found["attacks"]} <= {"held", "left_out"}
        assert found["classes"][0]["held"] > 0
    assert f"{len(found['attacks'])} of {len(found['attacks'])} attacks" in answer.err


def test_programs_in_another_language_are_tried_where_its_tools_are(shell: Any) -> None:
    answer = shell("doctor", "--attack", "--language", "bash", "--json")
    assert answer.code == 0, answer.out + answer.err
    found = answer.json
    assert {each["language"] for each in found["attacks"]} == {"bash"}
    assert {"exhausting", "network", "reading", "writing", "processes"} <= {each["class"] for each in found["classes"]}
    if found["isolation"] != "portable":
        assert {each["status"] for each in found["attacks"]} <= {"held", "left_out"}


def test_a_language_without_tools_is_left_out_by_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prismenv", "doctor", "--attack", "--language", "rust", "--class", "network"],
        cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 held, 0 not held, 1 left out" in done.stdout
    assert "rust cannot be used here: rustc" in " ".join(done.stdout.split()) or "portable" in done.stdout


def test_the_table_says_what_was_left_out_and_why(shell: Any) -> None:
    answer = shell("doctor", "--attack", "--class", "rewriting", "--verdict", "shared", "--isolation", "portable")
    assert answer.code == 0, answer.out + answer.err
    assert "why it was left out" in answer.out
    assert "a shared verdict does not promise to hold it" in answer.out
    assert "isolation portable (portable), verdict shared" in answer.out


def test_harm_is_left_out_where_the_machine_would_be_harmed(shell: Any) -> None:
    answer = shell("doctor", "--attack", "--class", "kernel", "--isolation", "portable", "--json")
    assert answer.code == 0
    assert {each["status"] for each in answer.json["attacks"]} == {"left_out"}


def test_an_attack_that_is_not_held_is_named_and_gives_exit_code_one(installed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "prismenv", "doctor", "--attack", "--class", "planted", "--verdict", "shared"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not held: planted: a shared verdict is said to hold what it does not: passed" in done.stderr
    assert "1 held, 1 not held, 0 left out" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attack", "--class", "netwrok"], "did you mean 'network'?"),
        (["--attack", "--language", "rusty"], "did you mean 'rust'?"),
        (["--language", "rust"], "belong to --attack"),
        (["--class", "network"], "belong to --attack"),
        (["--verdict", "split"], "belong to --attack"),
        (["--attack", "--isolation", "none"], "none"),
    ],
)
def test_wrong_words_are_bad_usage(shell: Any, words: list[str], said: str) -> None:
    answer = shell("doctor", *words)
    assert answer.code == 2
    assert said in answer.err
