"""environment_enhanced_coding_challenge: distinct problems, suites that are checked first, failures analysed."""

import functools
import json

import pytest

from prismenv import AgentCommunicationException, Verdict
from prismenv.testing.jail import ScriptedSandbox

NAME = "environment_enhanced_coding_challenge"
STATEMENT = "# Double\n\nWrite `double(n)`, which returns twice the number n, for every whole number from 0 to 100."
OTHER = "# Reverse\n\nGiven a text of at most forty letters, hand back its letters from the last one to the first."
THIRD = "# Depth\n\nHow deep is a list nested? Lists without any list in them have depth one; the deepest decides."
RIGHT, WRONG, WORSE = (f"def double(n):\n    return {body}\n" for body in ("n + n  # right", "n + 1", "n"))
FINE = json.dumps({"issues": [], "summary": "sound"})
ISSUE = json.dumps({"issues": [{"test": "test_two", "kind": "wrong", "problem": "2 doubled is 4, not 5"}]})
ANALYSIS = "It adds one instead of the number itself."
HEAD = "import unittest\n\n\nclass TestDouble(unittest.TestCase):\n"
TESTS = f"{HEAD}    def test_two(self):\n        self.assertEqual(repr(double(2)), '4')\n"
GOOD = {
    "challenge_designer_advanced": STATEMENT,
    "test_generator": TESTS,
    "test_validator": FINE,
    "problem_solver": RIGHT,
    "test_error_analyzer": ANALYSIS,
    "problem_fixer": RIGHT,
}


def judged(solution, tests):
    """No stub passes; solutions pass when they say that they are right."""
    if "right" in solution:
        return Verdict(outcome="passed", tests_passed_num=1, output="All tests passed.")
    return Verdict(outcome="failed", fault="candidate", tests_failed_num=1, output="1 test: 1 failed. 3 != 4")


@pytest.fixture
def run(stage):
    stage.sandbox = ScriptedSandbox(judged)
    return functools.partial(stage.run, NAME)


def test_a_right_first_answer_is_one_record_with_the_validation_in_it(stage, run):
    stage.play(GOOD)
    result = run()
    (record,) = result.data_trail
    assert (result.success, record.success, record.test_validation, record.test_error_analysis) == (
        True,
        True,
        FINE,
        None,
    )
    assert stage.asked("test_validator") == [{"problem_statement": STATEMENT, "test_cases": TESTS}]
    assert record.notes == ()


def test_the_designer_sees_all_problems_that_were_given_and_made(stage, run):
    stage.play({**GOOD, "challenge_designer_advanced": [STATEMENT, OTHER]})
    result = run(num_problems=2, previous_problems=[THIRD])
    shown = [inputs["previous_problems"] for inputs in stage.asked("challenge_designer_advanced")]
    assert shown == [[THIRD], [THIRD, STATEMENT]]
    assert [record.problem_statement for record in result.data_trail] == [STATEMENT, OTHER]


@pytest.mark.parametrize("again", [STATEMENT, STATEMENT.upper(), STATEMENT.replace("\n", "  \n\n") + "!!"])
def test_a_near_duplicate_is_found_by_the_engine_and_asked_for_again(stage, run, again):
    stage.play({**GOOD, "challenge_designer_advanced": [STATEMENT, again, OTHER]})
    result = run(num_problems=2)
    assert [record.problem_statement for record in result.data_trail] == [STATEMENT, OTHER]
    assert any("near duplicate" in note for note in result.data_trail[1].notes)


def test_near_duplicates_of_given_problems_count_too(stage, run):
    stage.play({**GOOD, "challenge_designer_advanced": [THIRD, OTHER]})
    result = run(previous_problems=[f"  {THIRD}"])
    assert result.data_trail[0].problem_statement == OTHER


def test_a_designer_that_only_repeats_itself_ends_that_problem_alone(stage, run):
    stage.play({**GOOD, "challenge_designer_advanced": STATEMENT})
    result = run(num_problems=2)
    assert [problem.fault for problem in result.problems] == ["none", "environment"]
    assert (result.success, result.success_rate) == (False, 1.0)
    assert len(stage.asked("challenge_designer_advanced")) == 1 + 3
    assert "near duplicates" in result.data_trail[1].output


STUBS = {
    "returns None": "self.assertIsNone(double(2))",
    "returns its argument 1": "self.assertEqual(double(7), 7)",
    "clears its argument": "values = [1]\n        double(values)\n        self.assertEqual(values, [])",
    "always raises": "with self.assertRaises(ValueError):\n            double(-1)",
    "returns an object that agrees with everything": "self.assertTrue(double(2))",
}


@pytest.mark.parametrize("stub", STUBS)
def test_a_suite_that_a_stub_passes_is_written_again_with_the_report(stage, run, stub):
    easy = f"{HEAD}    def test_it(self):\n        {STUBS[stub]}\n"
    stage.play({**GOOD, "test_generator": [easy, TESTS]})
    result = run(real=True)
    first, second = stage.asked("test_generator")
    assert first == {"problem_statement": STATEMENT}
    assert f"a stub that {stub} passes" in second["validation_feedback"]
    assert easy.rstrip() in second["validation_feedback"]
    (record,) = result.data_trail
    assert (record.success, record.test_cases) == (True, TESTS)
    assert f"a stub that {stub} passes" in record.test_validation
    assert "# Round 2" in record.test_validation
    assert any("validation_feedback has no slot" in note for note in record.notes)


@pytest.mark.parametrize(
    ("suite", "says"),
    [
        ("x = double(1)\n", "no test"),
        (f"{HEAD}    def check(self):\n        self.assertEqual(double(2), 4)\n", "no test"),
        (
            f"{HEAD}    def test_sum(self):\n        self.assertEqual(1 + 1, 2)\n",
            "a program without any function passes",
        ),
    ],
)
def test_a_suite_that_tests_nothing_is_rejected(stage, run, suite, says):
    stage.play({**GOOD, "test_generator": suite})
    result = run(real=True)
    (record,) = result.data_trail
    assert len(stage.asked("test_generator")) == 3, "asked again twice"
    assert not stage.asked("problem_solver")
    assert (record.fault, record.success, result.success_rate, record.verdict) == ("tests", False, None, None)
    assert says in record.output
    assert says in record.test_validation


def test_a_suite_that_does_not_parse_is_rejected(stage, run):
    stage.play({**GOOD, "test_generator": "```python\ndef test_it(:\n    pass\n```"})
    result = run(real=True)
    assert (result.data_trail[0].fault, result.success_rate) == ("tests", None)


def test_issues_of_the_validator_reach_the_generator_and_the_record(stage, run):
    stage.play({**GOOD, "test_generator": [TESTS, f"{TESTS}# better\n"], "test_validator": [ISSUE, FINE]})
    result = run()
    second = stage.asked("test_generator")[1]
    assert "2 doubled is 4, not 5" in second["validation_feedback"]
    (record,) = result.data_trail
    assert "2 doubled is 4, not 5" in record.test_validation
    assert "sound" in record.test_validation
    assert record.test_cases.endswith("# better\n")


def test_a_validator_is_heard_twice_and_then_the_suite_is_used(stage, run):
    stage.play({**GOOD, "test_validator": ISSUE})
    result = run()
    assert len(stage.asked("test_generator")) == 3
    assert (result.success, result.data_trail[0].fault) == (True, "none")


@pytest.mark.parametrize(
    "report", [f"Here it is:\n```json\n{ISSUE}\n```\nBest wishes", '{"valid": false}', f"  {ISSUE}"]
)
def test_a_report_is_read_whatever_stands_around_it(stage, run, report):
    stage.play({**GOOD, "test_validator": [report, FINE]})
    run()
    assert len(stage.asked("test_generator")) == 2


@pytest.mark.parametrize("report", ["All good, I think.", "{" * 50_000, '{"issues": 7}', "[1, 2]", "null"])
def test_a_report_that_says_nothing_definite_is_kept_and_not_acted_on(stage, run, report):
    stage.play({**GOOD, "test_validator": report})
    result = run()
    (record,) = result.data_trail
    assert record.test_validation == report
    assert any("not acted on" in note for note in record.notes)
    assert len(stage.asked("test_generator")) == 1


@pytest.mark.parametrize(
    ("report", "suites"),
    [
        ("ISSUES FOUND: 1. no test for negative numbers.", 2),
        ("The second test is wrong: twice 2 is 4.", 2),
        ("No issues found.", 1),
        ("I see no real problems; the tests are valid.", 1),
    ],
)
def test_a_report_in_prose_is_heard_too(stage, run, report, suites):
    stage.play({**GOOD, "test_validator": [report, FINE]})
    run()
    assert len(stage.asked("test_generator")) == suites


def test_the_fixer_gets_the_analysis_of_the_last_failure(stage, run):
    stage.play({**GOOD, "problem_solver": [WRONG, WORSE]})
    result = run(max_attempts=2)
    assert stage.asked("test_error_analyzer") == [{"test_output": "1 test: 1 failed. 3 != 4", "code_under_test": WORSE}]
    (inputs,) = stage.asked("problem_fixer")
    assert inputs["test_error_analysis"] == ANALYSIS
    assert ANALYSIS in stage.prompts("problem_fixer")[0]
    *attempts, fixed = result.data_trail
    assert (fixed.fixed_by_problem_fixer, fixed.test_error_analysis, fixed.test_validation) == (True, ANALYSIS, FINE)
    assert [record.test_error_analysis for record in attempts] == [None, None]
    assert any("problem_fixer: test_error_analysis has no slot" in note for note in fixed.notes)
    assert fixed.usage.keys() == {"test_error_analyzer", "problem_fixer"}


def test_a_template_with_a_slot_for_the_analysis_is_used(stage, run):
    fixer = stage.agents["problem_fixer"]
    usual = fixer.interaction_templates["default"]
    slot = usual.inputs[0].model_copy(update={"name": "test_error_analysis"})
    text = f"{usual.template}\n\n### Why\n{{test_error_analysis}}"
    analysed = usual.model_copy(update={"inputs": (*usual.inputs, slot), "template": text})
    templates = {"default": usual, "analysed": analysed}
    stage.agents["problem_fixer"] = fixer.model_copy(update={"interaction_templates": templates})
    stage.play({**GOOD, "problem_solver": WRONG})
    result = run()
    assert stage.prompts("problem_fixer")[0].endswith(f"### Why\n{ANALYSIS}")
    assert result.data_trail[-1].notes == ()


@pytest.mark.parametrize("role", ["test_validator", "test_error_analyzer"])
def test_the_flow_goes_on_without_advice_that_is_of_no_use(stage, run, role):
    stage.play({**GOOD, "problem_solver": WRONG, role: " "})
    result = run()
    assert (result.success, result.data_trail[-1].fixed_by_problem_fixer) == (True, True)
    assert len(stage.asked(role)) == 3
    assert any(role in note for record in result.data_trail for note in record.notes)


@pytest.mark.parametrize("role", list(GOOD))
def test_a_model_that_cannot_be_reached_says_nothing_about_the_candidate(stage, run, role):
    stage.play({**GOOD, "problem_solver": WRONG}).fail_when(
        lambda request: AgentCommunicationException("down", code="unauthorised") if request.role == role else None
    )
    result = run()
    assert (result.data_trail[-1].fault, result.success_rate) == ("infrastructure", None)


def test_a_suite_that_could_not_be_checked_is_left_out(stage, run):
    broken = Verdict(outcome="infrastructure_error", fault="infrastructure", message="no guest")
    stage.sandbox = ScriptedSandbox(lambda *_: broken)
    stage.play(GOOD)
    result = stage.run(NAME)
    assert (result.data_trail[0].fault, result.success_rate) == ("infrastructure", None)
    assert "no guest" in result.data_trail[0].output


def test_everything_in_a_real_sandbox(stage, run):
    stage.play({**GOOD, "problem_solver": WRONG})
    result = run(real=True)
    assert [record.verdict.outcome for record in result.data_trail] == ["failed"] * 3 + ["passed"]
    assert result.problems[0].fixed_by_problem_fixer
