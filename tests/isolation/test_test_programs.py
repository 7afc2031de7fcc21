"""Tests that are a program: what TAP and JUnit XML say, and what is believed of it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.junit import read_junit
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.tap import read_tap
from prismenv.isolation.testresults import TestResults
from prismenv.isolation.toolchain import find_toolchain
from prismenv.words.errors import ConfigurationException
from prismenv.words.verdict import Verdict


def told(results: TestResults) -> list[str]:
    """Names and outcomes; a test without a report is `?`."""
    reports = results.reports
    return [f"{name}: {reports[at].outcome if at in reports else '?'}" for at, name in enumerate(results.names)]


@pytest.mark.parametrize(
    ("text", "found", "problem"),
    [
        ("TAP version 13\n1..2\nok 1 - a\nnot ok 2 - b\n", ["a: passed", "b: failed"], ""),
        ("ok\nok 2\nnot ok\n1..3\n", ["test 1: passed", "test 2: passed", "test 3: failed"], ""),
        ("1..3\nok 1 a # SKIP no net\nnot ok 2 b # TODO later\nok 3 c # todo", ["a: skipped", "b: skipped",
         "c: passed"], ""),
        ("1..2\r\nok 1 - a\r\nhello ok 7\r\n  ok 9 - inner\r\nok 2 - b\\# c\r\n", ["a: passed", "b# c: passed"], ""),
        ("1..2\nok 1 - a\nok 2 - a\n", ["a: passed", "a (2): passed"], ""),
        ("1..3\nok 1 - a\n", ["a: passed", "test 2: ?", "test 3: ?"], ""),
        ("1..1\nok 1 - a\nok 2 - b\n", ["a: passed", "b: passed"], "planned 1 tests and reported 2"),
        ("1..2\nok 2 - b\nok 1 - a\n", ["b: passed", "a: passed"], "test 2 was reported where test 1 was due"),
        ("1..1\n1..1\nok 1\n", ["test 1: passed"], "two plans"),
        ("ok 1 - a\n", ["a: passed"], "no plan"),
        ("1..2\nok 1 - a\nBail out! no database\n", ["a: passed", "test 2: ?"], "no database"),
        ("1..0 # SKIP nothing to do\n", [], ""),
        ("okay\nnot okay\nok:1\n", [], "no plan"),
        ("", [], "no plan"),
    ],
)  # fmt: skip
def test_tap_is_read_as_it_is_written(text: str, found: list[str], problem: str) -> None:
    results = read_tap(text)
    assert told(results) == found
    assert problem in results.problem
    assert bool(results.problem) == bool(problem)


def test_a_diagnosis_belongs_to_its_test() -> None:
    results = read_tap("1..2\nnot ok 1 - a\n  ---\n  message: 3 is not 4\n  ...\nok 2 - b\n")
    assert results.reports[0].message == "message: 3 is not 4"
    assert told(results) == ["a: failed", "b: passed"]


SUITE = '<testsuite tests="{tests}">{cases}</testsuite>'


@pytest.mark.parametrize(
    ("text", "found", "problem"),
    [
        (SUITE.format(tests=2, cases='<testcase name="a"/><testcase classname="C" name="b"><failure/></testcase>'),
         ["a: passed", "C.b: failed"], ""),
        ('<?xml version="1.0"?>\n<testsuites><testsuite><testcase name="a"><skipped/></testcase></testsuite>\n\
</testsuites>',
         ["a: skipped"], ""),
        (SUITE.format(tests=1, cases='<testcase name="a"><failure/><error/></testcase>'), ["a: errored"], ""),
        (SUITE.format(tests=3, cases='<testcase name="a"/>'), ["a: passed", "test 2: ?", "test 3: ?"], ""),
        (SUITE.format(tests=0, cases='<testcase name="a"/>'), ["a: passed"], "said 0 tests and reported 1"),
        ('<testsuite><testcase name="a"/>', ["a: passed"], "no JUnit XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>', [], "document type"),
        ("<html/>", [], "first element is 'html'"),
        ("<testsuite>" * 60, [], "deep"),
        ('<testsuite><testcase name="a"><testcase name="b"/></testcase></testsuite>', [], "within another"),
        ("no xml", [], "no JUnit XML"),
        ("", [], "no JUnit XML"),
    ],
)  # fmt: skip
def test_junit_xml_is_read_as_it_is_written(text: str, found: list[str], problem: str) -> None:
    results = read_junit(text)
    assert told(results) == found
    assert problem in results.problem
    assert bool(results.problem) == bool(problem)


@given(
    st.text()
    | st.lists(st.sampled_from(["1..2", "ok 1", "not ok 2 - x", "  ---", "  ...", "<a>", "Bail out!"])).map("\n".join)
)
def test_the_readers_take_anything(text: str) -> None:
    for read in (read_tap, read_junit):
        results = read(text)
        assert set(results.reports) <= set(range(len(results.names)))
        assert len(set(results.names)) == len(results.names)


@given(st.lists(st.sampled_from(["passed", "failed", "skipped"]), min_size=1, max_size=20))
def test_what_is_written_as_tap_is_read_back(outcomes: list[str]) -> None:
    lines = [f"1..{len(outcomes)}"]
    for number, outcome in enumerate(outcomes, 1):
        skip = " # SKIP" if outcome == "skipped" else ""
        lines.append(f"{'not ' if outcome == 'failed' else ''}ok {number} - name {number}{skip}")
    results = read_tap("\n".join(lines))
    assert [results.reports[at].outcome for at in range(len(outcomes))] == outcomes
    assert not results.problem


JS_TESTS = """
const test = require('node:test');
const assert = require('node:assert');
const { add } = require('./solution.js');
test('adds', () => assert.strictEqual(add(1, 2), 3));
test('adds more', () => assert.strictEqual(add(2, 2), 4));
"""
C_TESTS = """
#include <stdio.h>
#include "solution.c"
int main(void) {
    printf("1..2\\n%sok 1 - adds\\n%sok 2 - adds more\\n", add(1, 2) == 3 ? "" : "not ", add(2, 2) == 4 ? "" : "not ");
    return 0;
}
"""
SH_TESTS = """
. ./solution.sh
echo 1..1
[ "$(add 1 2)" = 3 ] && echo "ok 1 - adds" || echo "not ok 1 - adds"
"""
JAVA_TESTS = """
public class Tests {
    public static void main(String[] arguments) {
        System.out.println("1..1\\n" + (Main.add(1, 2) == 3 ? "" : "not ") + "ok 1 - adds");
    }
}
"""
RUST_TESTS = """
include!("solution.rs");
fn main() { println!("1..1\\n{}ok 1 - adds", if add(1, 2) == 3 { "" } else { "not " }); }
"""
CPP_TESTS = C_TESTS.replace("solution.c", "solution.cpp").replace("<stdio.h>", "<cstdio>").replace("(void)", "()")
SUITES: dict[str, tuple[str, str, str]] = {
    "javascript": (JS_TESTS, "exports.add = (a, b) => a + b;", "exports.add = (a, b) => 3;"),
    "c": (C_TESTS, "int add(int a, int b) { return a + b; }", "int add(int a, int b) { return 3; }"),
    "cpp": (CPP_TESTS, "int add(int a, int b) { return a + b; }", "int add(int, int) { return 3; }"),
    "bash": (SH_TESTS, "add() { echo $(($1 + $2)); }", "add() { echo 4; }"),
    "java": (
        JAVA_TESTS,
        "class Main { static int add(int a, int b) { return a + b; } }",
        "class Main { static int add(int a, int b) { return 4; } }",
    ),
    "rust": (
        RUST_TESTS,
        "fn add(a: i32, b: i32) -> i32 { a + b }",
        "fn add(_a: i32, _b: i32) -> i32 { 4 }",
    ),
}
Judge = Callable[..., Verdict]


@pytest.fixture
def judge(warm_sandbox: Callable[[str], BlockingSandbox]) -> Judge:
    """Judges in full isolation by a program of tests; skips where the tools are missing, with the reason."""

    def judged(language: str, solution: str, tests: str, verdict: str = "shared") -> Verdict:
        try:
            find_toolchain(language_shelf().profile(language))
        except ConfigurationException as error:
            pytest.skip(str(error))
        mode = {"shared": "shared", "split": "split"}[verdict]
        return warm_sandbox("full").judge(solution, tests, language=language, verdict=mode)  # type: ignore[arg-type]

    return judged


@pytest.mark.parametrize("language", sorted(SUITES))
def test_a_program_of_tests_tells_right_from_wrong_and_the_verdict_is_called_shared(
    language: str, judge: Judge
) -> None:
    tests, right, wrong = SUITES[language]
    verdict = judge(language, right, tests)
    assert (verdict.outcome, verdict.verdict_mode, verdict.fault) == ("passed", "shared", "none"), verdict.output
    assert any("one process" in note for note in verdict.notes)
    verdict = judge(language, wrong, tests)
    assert (verdict.outcome, verdict.fault) == ("failed", "candidate"), verdict.output


def test_a_split_verdict_of_it_is_refused_and_never_replaced(judge: Judge) -> None:
    verdict = judge("javascript", "", JS_TESTS, verdict="split")
    assert (verdict.outcome, verdict.fault, verdict.verdict_mode) == ("invalid_tests", "tests", "split")
    assert "have no split verdict: ask for `verdict: shared`" in verdict.message


LOAD = "require('./solution.js')"
PASS = "console.log('1..1\\nok 1')"


@pytest.mark.parametrize(
    ("solution", "tests", "outcome", "fault"),
    [
        ("throw new Error('no');", f"console.log('1..1'); {LOAD}; console.log('ok 1');", "crashed", "candidate"),
        ("process.exit(0);", f"{LOAD}; {PASS}", "errored", "candidate"),
        ("", "console.log('1..1'); nonsense(", "invalid_tests", "tests"),
        ("", "console.log('hello');", "invalid_tests", "tests"),
        ("", "console.log('1..0');", "no_tests", "tests"),
        ("", "console.log('1..1\\nok 1 # SKIP');", "no_tests", "tests"),
        ("while (true);", f"{LOAD}; {PASS}", "timed_out", "candidate"),
        ("exports.code = 3;", f"{PASS}; process.exit({LOAD}.code);", "errored", "candidate"),
    ],
    ids=["throws", "exits", "broken tests", "no results", "no tests", "all skipped", "loops", "exit code"],
)  # fmt: skip
def test_what_keeps_the_tests_from_their_end_is_somebodys_fault(
    solution: str, tests: str, outcome: str, fault: str, judge: Judge
) -> None:
    verdict = judge("javascript", solution, tests)
    assert (verdict.outcome, verdict.fault) == (outcome, fault), verdict.output


def test_tests_that_do_not_compile_by_themselves_are_the_tests_fault(judge: Judge) -> None:
    broken = '#include "solution.c"\nint main(void) { return nothing; }'
    assert judge("c", "int f(void) { return 1; }", broken).fault == "tests"
    assert judge("c", "int f(void) { return }", C_TESTS).fault == "candidate"
