"""`prismenv judge`: verdicts, exit codes, limits, batches."""

import json
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

KEYS = [
    "id",
    "outcome",
    "success",
    "fault",
    "tests_passed_num",
    "tests_failed_num",
    "tests_errored_num",
    "cases",
    "cpu_seconds",
    "wall_seconds",
    "isolation",
    "verdict_mode",
]
CASE_KEYS = ["name", "outcome", "message", "wall_seconds"]
KINDS = ("full", "unprivileged", "portable")  # the strongest that this machine has
Line = Callable[..., str]


def test_a_right_solution_passes_with_code_0(judged: Any) -> None:
    answer = judged("judge", "solution.py", "tests.py")
    assert answer.code == 0
    assert "passed (2 passed, 0 failed, 0 errored)" in answer.out
    assert any(f"isolation {kind}" in answer.out for kind in KINDS)
    assert answer.err == ""


def test_a_wrong_solution_does_not_pass_with_code_1_and_the_reason_is_shown(judged: Any) -> None:
    answer = judged("judge", "wrong.py", "tests.py")
    assert answer.code == 1
    assert "AssertionError: 2 != 4" in answer.out
    assert "failed (1 passed, 1 failed, 0 errored, fault: candidate)" in answer.out


def test_the_json_has_exactly_the_agreed_keys(judged: Any) -> None:
    answer = judged("judge", "wrong.py", "tests.py", "--json")
    assert answer.code == 1
    verdict = answer.json
    assert list(verdict) == KEYS
    assert [list(case) for case in verdict["cases"]] == [CASE_KEYS, CASE_KEYS]
    assert (verdict["id"], verdict["outcome"], verdict["success"]) == ("wrong.py", "failed", False)
    assert verdict["isolation"] in KINDS
    assert (verdict["tests_passed_num"], verdict["tests_failed_num"]) == (1, 1)


PACKAGE = {
    "project/bank/__init__.py": "",
    "project/bank/rates.py": "from pathlib import Path\nRATE = int(Path('rate.txt').read_text())\n",
    "project/bank/main.py": "from .rates import RATE\ndef pay(amount): return amount * RATE\n",
    "project/rate.txt": "3",
    "project/suite.py": "import bank.main, bank.rates\ndef test_pay(): assert pay(2) == 2 * bank.rates.RATE\n",
}


def test_a_solution_may_be_a_folder_or_several_files(judged: Any) -> None:
    for name, text in PACKAGE.items():
        judged.write(name, text)
    answer = judged("judge", "project", "project/suite.py", "--entry", "bank/main.py", "--json")
    assert (answer.code, answer.json["outcome"], answer.json["id"]) == (0, "passed", "project")
    answer = judged("judge", "project", "project/suite.py", "--entry", "bank/man.py")
    assert answer.code == 2
    assert "Did you mean bank/main.py?" in answer.err
    judged.write("helped.py", "from helper import add")
    judged.write("helper.py", "def add(a, b): return a + b")
    judged.write("add_tests.py", "from helped import add\ndef test_add(): assert add(1, 2) == 3")
    assert judged("judge", "helped.py", "add_tests.py", "--file", "helper.py").code == 0
    assert judged("judge", "helped.py", "add_tests.py").code == 1


def test_a_folder_is_judged_in_the_language_of_its_entry(judged: Any) -> None:
    judged.write("words/main.sh", ". ./lib/count.sh\nread -r line\ncount $line\n")
    judged.write("words/lib/count.sh", "count() { echo $#; }\n")
    judged.write("words.yaml", "cases:\n- {stdin: 'a b c', stdout: '3'}\n")
    answer = judged("judge", "words", "words.yaml", "--json")
    assert (answer.code, answer.json["outcome"]) == (0, "passed"), answer.out + answer.err
    judged.write("words/solution.sh", "echo 4")
    assert judged("judge", "words", "words.yaml").code == 1
    assert judged("judge", "words", "words.yaml", "--entry", "main.sh").code == 0
    judged.write("two/a.sh", "")
    judged.write("two/b.sh", "")
    answer = judged("judge", "two", "words.yaml")
    assert answer.code == 2
    assert "name its entry" in answer.err
    answer = judged("judge", "words", "words.yaml", "--entry", "main.sh", "--language", "javascript")
    assert answer.code == 2
    assert "'main.sh' is no file of the language javascript" in answer.err


def test_a_file_of_no_known_language_is_no_fault_of_the_candidates(judged: Any) -> None:
    judged.write("a.go", "package main")
    answer = judged("judge", "a.go", "tests.py")
    assert answer.code == 2
    assert "no language's files end with .go; known are" in answer.err
    assert "--language" in answer.err
    judged.write("answer.txt", "def add(a, b): return a + b")
    assert judged("judge", "answer.txt", "tests.py", "--json").json["fault"] in ("none", "candidate")


def test_the_mode_of_the_verdict_can_be_named(judged: Any) -> None:
    assert judged("judge", "solution.py", "tests.py", "--verdict", "shared", "--json").json["verdict_mode"] == "shared"
    assert judged("judge", "solution.py", "tests.py", "--verdict", "spilt").code == 2


def test_a_file_of_cases_judges_a_program_and_shows_where_its_output_differs(judged: Any) -> None:
    (judged.folder / "program.py").write_text("print(int(input()) * 2)\n")
    (judged.folder / "cases.yaml").write_text(
        'cases:\n  - {name: two, stdin: "2", stdout: "4"}\n  - {stdin: "3", stdout: "7"}\n'
    )
    answer = judged("judge", "program.py", "cases.yaml")
    assert answer.code == 1
    assert "failed (1 passed, 1 failed, 0 errored, fault: candidate)" in answer.out
    assert "line 1: expected '7', got '6'" in answer.out
    assert "verdict split" in answer.out


@pytest.mark.parametrize("name", ["queue.py", "my-solution.py", "class.py"])
def test_a_solution_is_judged_whatever_its_file_is_called(judged: Any, name: str) -> None:
    (judged.folder / "solution.py").rename(judged.folder / name)
    assert judged("judge", name, "tests.py").code == 0


def test_tests_may_import_the_solution_by_its_stem_or_by_the_module_that_is_named(judged: Any) -> None:
    judged.write("bank.py", "def double(number):\n    return 2 * number\n")
    judged.write("by_name.py", "from bank import double\n\ndef test_double():\n    assert double(3) == 6\n")
    assert judged("judge", "bank.py", "by_name.py").code == 0
    assert judged("judge", "solution.py", "by_name.py").code == 1
    assert judged("judge", "solution.py", "by_name.py", "--module", "bank").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["solution.py", "tests.py", "--module", "queue"], "standard library"),
        (["solution.py", "tests.py", "--module", "my-bank"], "no identifier"),
        (["solution.py", "tests.py", "--wall-seconds", "-1"], "--wall-seconds -1.0: it should be greater than 0"),
        (["solution.py", "tests.py", "--memory-bytes", "12"], "--memory-bytes 12: it should be greater than"),
        (["soluton.py", "tests.py"], "Did you mean solution.py?"),
        (["solution.py", "."], "cannot be read"),
        ([".", "tests.py", "--file", "solution.py"], "is a folder: all of its files are judged"),
        (["solution.py", "tests.py", "--entry", "solution.py"], "--entry is a file of a folder"),
        (["solution.py", "tests.py", "--file", "../other.py"], "it is not below the folder of solution.py"),
        (["solution.py"], "name a solution and its tests"),
        (["solution.py", "--batch", "cases.jsonl"], "--batch takes its solutions"),
        (["--batch", "no-such-file.jsonl"], "No such file"),
    ],
)
def test_bad_usage_is_told_with_code_2_and_without_a_traceback(judged: Any, words: list[str], said: str) -> None:
    answer = judged("judge", *words)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_a_time_limit_holds_and_is_told(judged: Any) -> None:
    judged.write("endless.py", "def double(number):\n    while True:\n        pass\n")
    answer = judged("judge", "endless.py", "tests.py", "--json", "--wall-seconds", "1")
    assert answer.code == 1
    assert answer.json["outcome"] == "timed_out"


def test_a_memory_limit_holds_and_is_told(judged: Any) -> None:
    judged.write("greedy.py", "def double(number):\n    return len(bytearray(300 * 2**20)) and number * 2\n")
    assert judged("judge", "greedy.py", "tests.py", "--json").json["outcome"] == "passed"
    answer = judged("judge", "greedy.py", "tests.py", "--json", "--memory-bytes", 200 * 2**20)
    assert (answer.code, answer.json["outcome"]) == (1, "out_of_memory")


def test_a_limit_above_the_hosts_is_cut_down_and_told(judged: Any) -> None:
    answer = judged("judge", "solution.py", "tests.py", "--wall-seconds", "100000")
    assert answer.code == 0
    assert "--wall-seconds is above what this host allows" in answer.err


def test_tests_that_hold_no_test_are_no_pass(judged: Any) -> None:
    judged.write("empty.py", "import solution\n")
    answer = judged("judge", "solution.py", "empty.py", "--json")
    assert (answer.code, answer.json["outcome"], answer.json["fault"]) == (1, "no_tests", "tests")


def test_the_exit_code_of_a_solution_is_not_the_commands(judged: Any) -> None:
    judged.write("leaver.py", "import os\n\ndef double(number):\n    os._exit(0)\n")
    answer = judged("judge", "leaver.py", "tests.py", "--json")
    assert (answer.code, answer.json["outcome"], answer.json["success"]) == (1, "crashed", False)


def test_a_sandbox_that_cannot_work_is_infrastructure_with_code_3(judged: Any) -> None:
    few = subprocess.run(
        ["sh", "-c", 'ulimit -n 12; exec "$0" judge solution.py tests.py --json', str(judged.command)],
        capture_output=True,
        text=True,
        cwd=judged.folder,
        env=judged.environment,
        timeout=200,
        check=False,
    )
    assert few.returncode == 3
    verdict = json.loads(few.stdout)
    assert (verdict["outcome"], verdict["fault"], verdict["success"]) == (
        "infrastructure_error",
        "infrastructure",
        False,
    )


def test_a_batch_gives_a_verdict_for_each_line_in_order(judged: Any, case_line: Line) -> None:
    wrong = (judged.folder / "wrong.py").read_text()
    lines = [case_line(number, **({"solution": wrong} if number % 3 == 0 else {})) for number in range(9)]
    judged.write("cases.jsonl", "".join(lines))
    answer = judged("judge", "--batch", "cases.jsonl", "--json")
    assert answer.code == 1
    assert [list(line) for line in answer.lines] == [KEYS] * 9
    assert [line["id"] for line in answer.lines] == list(range(9))
    assert [line["success"] for line in answer.lines] == [number % 3 != 0 for number in range(9)]
    assert answer.err == "6 of 9 passed\n"


def test_a_batch_comes_from_standard_input_too(judged: Any, case_line: Line) -> None:
    answer = judged("judge", "--batch", "-", stdin="\ufeff" + case_line("one") + "\n" + case_line("zwei ü"))
    assert answer.code == 0
    assert [line.split(":")[0] for line in answer.out.splitlines()] == ["one", "zwei ü"]


def test_a_line_that_is_no_case_is_told_and_the_others_are_judged(judged: Any, case_line: Line) -> None:
    judged.write("cases.jsonl", case_line("a") + "{no json\n" + '{"id": 3, "test": ""}\n' + case_line("b"))
    answer = judged("judge", "--batch", "cases.jsonl", "--json")
    assert answer.code == 2
    assert [line.get("outcome") for line in answer.lines] == ["passed", None, None, "passed"]
    assert "line 2: it is no JSON" in answer.lines[1]["error"]
    assert "'solution' is missing" in answer.lines[2]["error"]


def test_a_batch_without_cases_is_bad_usage(judged: Any) -> None:
    judged.write("cases.jsonl", "\n\n")
    answer = judged("judge", "--batch", "cases.jsonl", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert "no case" in answer.err


def test_a_reader_that_goes_away_ends_a_batch_quietly(judged: Any, case_line: Line) -> None:
    judged.write("cases.jsonl", "".join(case_line(number) for number in range(400)))
    process = judged.start("judge", "--batch", "cases.jsonl", "--json")
    assert json.loads(process.stdout.readline())["id"] == 0
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_interrupt_ends_a_batch_with_code_130(judged: Any, case_line: Line) -> None:
    judged.write("cases.jsonl", "".join(case_line(number) for number in range(2000)))
    process = judged.start("judge", "--batch", "cases.jsonl", "--json")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_an_interrupt_ends_a_batch_that_waits_for_its_input(judged: Any, case_line: Line) -> None:
    process = judged.start("judge", "--batch", "-", "--json", stdin=subprocess.PIPE)
    process.stdin.write(case_line("one"))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == "one"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate(timeout=200)
