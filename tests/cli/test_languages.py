"""Languages from the command line: found by extension or named, listed with what they are, added by one file."""

import json
import shutil
from typing import Any

import pytest

CASES = "cases:\n- {stdin: '1 2', stdout: '3'}\n- {stdin: '', stdout: '0'}\n"
PYTHON_CASES = 'cases:\n- {stdin: "1 2\\n", stdout: "3"}\n'
BASH = "read -r one other; echo $((${one:-0} + ${other:-0}))\n"
UPPER = """# Words in capitals, by tr.
language: upper
extensions: [.up]
files: {solution: solution.up, program: solution.up}
tools: {bash: {find: [bash], package: bash}}
version: ["{bash}", "-c", "echo 7.1"]
run: ["{bash}", "{source}"]
probe: {program: "echo 1", output: "1\\n"}
"""
ABSENT = UPPER.replace("upper", "cobol").replace(".up", ".cob").replace("[bash]", "[cobc-that-is-nowhere]")


@pytest.fixture
def programs(workspace: Any) -> Any:
    """A workspace with programs and two languages more, of which one has no tools here."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    workspace.write("sum.sh", BASH)
    workspace.write("sum.txt", BASH)
    workspace.write("sum.up", BASH)
    workspace.write("cases.yaml", CASES)
    workspace.write("sandbox/languages/upper.yaml", UPPER)
    workspace.write("sandbox/languages/cobol.yaml", ABSENT)
    return workspace


def test_the_language_is_found_by_extension_or_named(programs: Any) -> None:
    by_name = programs("judge", "sum.txt", "cases.yaml", "--language", "bash", "--json")
    assert (by_name.code, by_name.json["outcome"], by_name.json["verdict_mode"]) == (0, "passed", "split"), by_name
    added = programs("judge", "sum.up", "cases.yaml")
    assert added.code == 0, added
    assert "2 passed" in added.out
    wrong = programs("judge", "sum.sh", "wrong.yaml")
    assert wrong.code == 2


def test_a_batch_has_lines_of_several_languages(programs: Any) -> None:
    lines = [
        {"id": 1, "solution": BASH, "tests": CASES, "language": "bash"},
        {"id": 2, "solution": "print(sum(map(int, (input() or '0').split())))", "tests": PYTHON_CASES},
        {"id": 3, "solution": BASH, "tests": CASES, "language": "bsh"},
        {"id": 4, "solution": BASH, "tests": CASES, "language": "cobol"},
    ]
    programs.write("batch.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    answer = programs("judge", "--batch", "batch.jsonl", "--json")
    assert answer.code == 2
    first, second, third, fourth = answer.lines
    assert (first["outcome"], second["outcome"]) == ("passed", "passed")
    assert "unknown language 'bsh'" in third["error"]
    assert "Did you mean bash?" in third["error"]
    assert "cobc-that-is-nowhere is not on the PATH" in fourth["error"]


def test_a_program_of_tests_gets_a_verdict_that_is_called_shared_and_no_other(programs: Any) -> None:
    programs.write("solution.sh", "add() { echo $(($1 + $2)); }\n")
    programs.write("tests.sh", ". ./solution.sh\necho 1..1\n[ $(add 1 2) = 3 ] && echo ok 1 - adds\n")
    answer = programs("judge", "solution.sh", "tests.sh")
    assert answer.code == 0, answer
    assert "verdict shared" in answer.out
    assert "note: the tests ran in one process with the solution" in answer.out
    refused = programs("judge", "solution.sh", "tests.sh", "--verdict", "split")
    assert refused.code == 2
    assert "no split verdict" in refused.err


def test_languages_are_listed_with_version_probe_and_what_is_missing(programs: Any) -> None:
    listed = {entry["name"]: entry for entry in programs("list", "languages", "--json").json}
    assert listed["upper"]["summary"] == "Words in capitals, by tr: 7.1; probe ok"
    assert "apt-get install bash" in listed["cobol"]["summary"]
    assert listed["python"]["summary"].endswith("probe ok")
    plain = {entry["name"]: entry for entry in programs("list", "--json").json if entry["kind"] == "language"}
    assert plain["upper"]["summary"] == "Words in capitals, by tr: 7.1"
    checks = {check["name"]: check for check in programs("doctor", "--json").json}
    assert (checks["language upper"]["status"], checks["language upper"]["detail"]) == ("ok", "7.1; probe ok")
    assert checks["language cobol"]["status"] == "absent"


PACKAGE = """import pathlib
import prismenv

@prismenv.hookimpl
def prismenv_workspaces():
    return [pathlib.Path(__file__).with_name("shouting")]
"""


def test_languages_of_installed_packages_are_known_to_a_judgement_whatever_else_is_installed(shell: Any) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    for name, text in {"bringing": PACKAGE, "broken": "raise RuntimeError('no plugin')\n"}.items():
        shell.write(f"installed/{name}.py", text)
        shell.write(f"installed/{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        shell.write(f"installed/{name}-1.0.dist-info/entry_points.txt", f"[prismenv]\nmain = {name}\n")
    shell.write("installed/shouting/sandbox/languages/upper.yaml", UPPER)
    shell.write("sum.up", BASH)
    shell.write("cases.yaml", CASES)
    assert shell("judge", "sum.up", "cases.yaml", "--language", "upper").code == 2
    judged = shell("judge", "sum.up", "cases.yaml", PYTHONPATH=str(shell.folder / "installed"))
    assert judged.code == 0, judged
    assert "2 passed" in judged.out
