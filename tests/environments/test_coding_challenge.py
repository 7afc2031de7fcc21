"""environment_coding_challenge: problem, tests, attempts with feedback, repair, and whose fault it was."""

import functools

import anyio
import pytest

from prismenv import AgentCommunicationException, ConfigurationException, Usage, Verdict
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport

NAME = "environment_coding_challenge"
STATEMENT = "# Double\n\nWrite `double(n)`, which returns twice the number {n}."
TESTS = "class TestDouble(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(double(2), 4)\n"
REAL_TESTS = f"import unittest\n\n\n{TESTS}"
RIGHT, WRONG, WORSE = (f"def double(n):\n    return {body}\n" for body in ("n + n  # right", "n + 1", "n"))
GOOD = {
    "challenge_designer": STATEMENT,
    "test_generator": f"```python\n{TESTS}```",
    "problem_solver": f"Here:\n```python\n{RIGHT}```",
    "problem_fixer": RIGHT,
}


@pytest.fixture
def run(stage):
    return functools.partial(stage.run, NAME)


def test_a_right_first_answer_is_one_record(stage, run):
    stage.play(GOOD)
    result = run()
    (record,) = result.data_trail
    assert (result.success, result.success_rate) == (True, 1.0)
    assert (record.problem_statement, record.test_cases, record.solution_code) == (
        STATEMENT,
        TESTS.rstrip("\n"),
        RIGHT.rstrip("\n"),
    )
    assert (record.attempt_num, record.problem_index, record.fault, record.output) == (
        0,
        0,
        "none",
        "All tests passed.",
    )
    assert (record.tests_passed_num, record.verdict.outcome, record.cpu_seconds) == (2, "passed", 0.25)
    assert record.usage.keys() == {"challenge_designer", "test_generator", "problem_solver"}
    assert (record.error_feedback, record.fixed_by_problem_fixer, record.notes) == (None, False, ())
    (problem,) = result.problems
    assert (problem.title, problem.attempts, problem.success, problem.fault) == ("Double", 1, True, "none")
    assert stage.records == list(result.data_trail)


def test_the_designer_is_given_concepts_and_difficulty(stage, run):
    stage.play(GOOD)
    run(concept=["loops", "sorting"], difficulty_level="very hard")
    assert stage.asked("challenge_designer") == [{"concepts": ["loops", "sorting"], "difficulty_level": "very hard"}]
    assert stage.asked("test_generator") == [{"problem_statement": STATEMENT}]
    assert stage.transport.requests[0].labels["concepts"] == ("loops", "sorting")


def test_each_later_prompt_holds_the_problem_the_last_program_and_the_report(stage, run):
    stage.play({**GOOD, "problem_solver": [WRONG, WORSE, RIGHT]})
    result = run()
    first, second, third = stage.prompts("problem_solver")
    assert STATEMENT in first
    for prompt, program in ((second, WRONG), (third, WORSE)):
        assert STATEMENT in prompt
        assert program.rstrip() in prompt
        assert "AssertionError: 3 != 4" in prompt
    assert WRONG.rstrip() not in third
    assert [record.success for record in result.data_trail] == [False, False, True]
    assert [record.attempt_num for record in result.data_trail] == [0, 1, 2]
    told = [inputs["error_feedback"] for inputs in stage.asked("problem_solver")[1:]]
    assert [record.error_feedback for record in result.data_trail] == [*told, None]
    assert result.success
    assert not stage.asked("problem_fixer")


def test_after_the_last_failed_attempt_the_fixer_is_asked_once_with_all_there_is(stage, run):
    stage.play({**GOOD, "problem_solver": [WRONG, WORSE]})
    result = run(max_attempts=2)
    (inputs,) = stage.asked("problem_fixer")
    assert inputs["problem_statement"] == STATEMENT
    assert inputs["test_cases"] == TESTS.rstrip("\n")
    assert inputs["current_solution"] == WORSE
    assert "3 != 4" in inputs["error_output"]
    *attempts, fixed = result.data_trail
    assert [record.fixed_by_problem_fixer for record in attempts] == [False, False]
    assert (fixed.attempt_num, fixed.success, fixed.fixed_by_problem_fixer) == (2, True, True)
    assert (result.success, result.problems[0].fixed_by_problem_fixer, result.problems[0].attempts) == (True, True, 3)
    assert attempts[-1].error_feedback == inputs["error_output"]


def test_a_fixer_whose_program_fails_fixed_nothing(stage, run):
    stage.play({**GOOD, "problem_solver": WRONG, "problem_fixer": WORSE})
    result = run()
    assert len(result.data_trail) == 4
    assert not any(record.fixed_by_problem_fixer for record in result.data_trail)
    assert (result.success, result.success_rate, result.problems[0].fault) == (False, 0.0, "candidate")
    assert len(stage.asked("problem_fixer")) == 1


def test_a_long_report_keeps_its_beginning_and_its_end(stage, run):
    stage.sandbox = ScriptedSandbox(
        lambda *_: Verdict(outcome="failed", fault="candidate", output=f"first{'x' * 100_000}last")
    )
    stage.play({**GOOD, "problem_solver": WRONG})
    result = run()
    feedback = result.data_trail[0].error_feedback
    assert len(feedback) < 10_000
    assert "first" in feedback
    assert "last" in feedback
    assert len(result.data_trail[0].output) > 100_000, "the record keeps all of it"


def test_the_placeholder_is_bound_to_the_solution_and_the_record_holds_what_was_judged(stage, run):
    tests = (
        "import unittest\n\n\nclass TestIt(unittest.TestCase):\n"
        "    def test_value(self):\n        self.assertEqual(function_to_test(2), 4)\n\n"
        "    def test_error(self):\n        self.assertRaises(TypeError, function_to_test)\n"
    )
    stage.play({**GOOD, "test_generator": tests})
    result = run(real=True)
    (record,) = result.data_trail
    assert (record.success, record.tests_passed_num) == (True, 2)
    assert record.test_cases == tests.replace("function_to_test", "double")


@pytest.mark.parametrize(
    ("role", "fault"),
    [
        ("challenge_designer", "environment"),
        ("test_generator", "tests"),
        ("problem_solver", "candidate"),
        ("problem_fixer", "candidate"),
    ],
)
@pytest.mark.parametrize("said", ["", "   \n", "x" * (2**20 + 1)], ids=["nothing", "blank", "too much"])
def test_an_answer_of_no_use_is_asked_for_again_and_then_recorded_with_its_fault(stage, run, role, fault, said):
    stage.play({**GOOD, "problem_solver": WRONG, role: said})
    result = run()
    last = result.data_trail[-1]
    assert len(stage.asked(role)) == 3
    assert (last.fault, last.verdict, last.success) == (fault, None, False)
    assert role in last.output
    assert (result.success, result.success_rate) == (False, 0.0 if fault == "candidate" else None)
    assert last.usage[role].calls == 3, "what was paid for is accounted for"


@pytest.mark.parametrize("said", ["I would rather not.", "```js\nfunction double(n) { return 2 * n }\n```"])
def test_a_solver_that_answers_prose_or_another_language_fails(stage, run, said):
    stage.play({**GOOD, "test_generator": REAL_TESTS, "problem_solver": said, "problem_fixer": said})
    result = run(real=True)
    assert (result.success, result.problems[0].fault, result.success_rate) == (False, "candidate", 0.0)


@pytest.mark.parametrize("role", ["challenge_designer", "test_generator", "problem_solver", "problem_fixer"])
def test_a_model_that_cannot_be_reached_says_nothing_about_the_candidate(stage, run, role):
    stage.play({**GOOD, "problem_solver": WRONG}).fail_when(
        lambda request: AgentCommunicationException("down", code="unauthorised") if request.role == role else None
    )
    result = run()
    assert (result.data_trail[-1].fault, result.success_rate) == ("infrastructure", None)
    assert "down" in result.data_trail[-1].output


def test_a_broken_judge_is_asked_again_and_then_left_out_of_the_rate(stage, run):
    broken = Verdict(outcome="infrastructure_error", fault="infrastructure", message="no guest")
    stage.sandbox = ScriptedSandbox(lambda *_: broken)
    stage.play(GOOD)
    result = run()
    (record,) = result.data_trail
    assert len(stage.sandbox.judged) == 3
    assert (record.fault, record.verdict, result.success_rate) == ("infrastructure", broken, None)


def test_a_suite_without_tests_is_written_again_with_the_report(stage, run):
    stage.play({**GOOD, "test_generator": ["x = 1", "def nothing():\n    return double\n", REAL_TESTS]})
    result = run(real=True)
    first, second, third = stage.asked("test_generator")
    assert first == {"problem_statement": STATEMENT}
    assert "x = 1" in second["validation_feedback"]
    assert "no test" in second["validation_feedback"]
    assert "def nothing" in third["validation_feedback"]
    (record,) = result.data_trail
    assert (record.success, record.test_cases) == (True, REAL_TESTS)
    assert any("written again" in note for note in record.notes)
    assert any("validation_feedback has no slot" in note for note in record.notes), "the record says so"


@pytest.mark.parametrize("suite", ["x = 1", "def test_it(:\n", "import unittest\n"])
def test_a_suite_that_stays_without_tests_is_the_tests_fault(stage, run, suite):
    stage.play({**GOOD, "test_generator": f"```python\n{suite}\n```"})
    result = run(real=True)
    (record,) = result.data_trail
    assert len(stage.asked("test_generator")) == 3, "asked again twice"
    assert (record.fault, record.success, result.success_rate) == ("tests", False, None)
    assert record.verdict.outcome in ("no_tests", "invalid_tests")


def test_every_environment_honours_num_problems(stage, run):
    statements = [f"Problem {number}: something about {'abc'[number] * 5}" for number in range(3)]
    stage.play({**GOOD, "challenge_designer": statements, "problem_solver": [RIGHT, WRONG, RIGHT, RIGHT]})
    result = run(config={"num_problems": 3})
    assert [record.problem_index for record in result.data_trail] == [0, 1, 1, 2]
    assert [record.attempt_num for record in result.data_trail] == [0, 0, 1, 0]
    assert (result.success, result.success_rate, [problem.title for problem in result.problems]) == (
        True,
        1.0,
        statements,
    )
    earlier = [inputs.get("previous_problems") for inputs in stage.asked("challenge_designer")]
    assert earlier == [None, statements[:1], statements[:2]]


def test_one_problem_that_cannot_be_measured_leaves_the_others_standing(stage, run):
    stage.play({**GOOD, "challenge_designer": ["A", "", "", "", "C"]})
    result = run(num_problems=3)
    assert [problem.fault for problem in result.problems] == ["none", "environment", "none"]
    assert (result.success, result.success_rate) == (False, 1.0)


def test_problems_of_a_batch_are_worked_on_at_the_same_time_and_the_trail_is_the_same(stage, run):
    def answer(request):
        index = request.labels["problem_index"]
        if request.role == "challenge_designer":
            return f"Problem {index}"
        if request.role == "problem_solver":
            return RIGHT if index % 2 else WRONG
        return GOOD[request.role]

    trails = []
    for batch_size in (1, 3, 10):
        stage.play(answer)
        trail = run(config={"num_problems": 6, "batch_size": batch_size}).data_trail
        trails.append([(record.problem_index, record.attempt_num, record.seed, record.success) for record in trail])
    assert trails[0] == trails[1] == trails[2]
    assert [index for index, *_ in trails[0]] == sorted(index for index, *_ in trails[0])


def test_sessions_of_two_problems_share_no_seed_and_equal_runs_share_all(stage, run):
    def seeds():
        stage.play(GOOD)
        run(num_problems=2)
        return [request.seed for request in stage.transport.requests]

    first, second = seeds(), seeds()
    assert first == second
    assert len(set(first)) == len(first)


class Slow(ScriptedTransport):
    """Takes its time for what `waits` says, and notes how many questions were open at once."""

    def __init__(self, answers, waits):
        super().__init__(answers)
        self.waits = waits
        self.open = self.most_open = 0

    async def complete(self, request):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await anyio.sleep(self.waits(request))
        self.open -= 1
        return await super().complete(request)


def test_no_more_problems_are_worked_on_at_once_than_the_batch_size_says(stage, run):
    for batch_size in (1, 2, 4):
        stage.transport = Slow(GOOD, lambda request: 0.02 if request.role == "problem_solver" else 0.0)
        run(config={"num_problems": 6, "batch_size": batch_size})
        assert stage.transport.most_open == batch_size


def test_finished_attempts_are_in_the_result_when_time_runs_out(stage, run):
    answers = {**GOOD, "problem_solver": WRONG}
    stage.transport = Slow(answers, lambda request: 60 if "error_feedback" in request.inputs else 0.0)
    result = run(timeout=2)
    assert [record.verdict.outcome for record in result.data_trail] == ["failed", "timed_out"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_problem": 2}, "num_problems"),
        ({"num_problems": 0}, "whole number of 1 or more"),
        ({"num_problems": True}, "whole number of 1 or more"),
        ({"concept": []}, "concept must be a name"),
        ({"concept": ["loops", 3]}, "concept must be a name"),
        ({"difficulty_level": 3}, "difficulty_level must be the name"),
        ({"difficulty_level": " "}, "difficulty_level must be the name"),
        ({"previous_problems": [1]}, "list of texts"),
    ],
)
def test_an_option_that_cannot_be_says_what_was_expected(stage, run, options, says):
    stage.play(GOOD)
    with pytest.raises(ConfigurationException, match=says):
        run(**options)


def test_blank_previous_problems_count_for_nothing(stage, run):
    stage.play(GOOD)
    run(previous_problems=["", "  "])
    assert "previous_problems" not in stage.asked("challenge_designer")[0]


def test_a_role_that_is_missing_in_the_configuration_is_an_error_before_anything_is_asked(stage, run):
    stage.play(GOOD)
    with pytest.raises(ConfigurationException, match=r"agents: .*problem_fixer missing"):
        run(config={"agents": ["challenge_designer", "test_generator", "problem_solver"]})
    assert not stage.calls


def test_further_keys_of_a_configuration_file_do_no_harm(stage, run):
    stage.play(GOOD)
    assert run(config={"some_key_of_another_tool": [1, 2]}).success


def test_a_misspelt_key_says_which_is_meant(stage, run):
    with pytest.raises(ConfigurationException, match="max_attempts"):
        run(config={"max_attemps": 2})


def test_an_agent_file_without_the_template_for_feedback_is_an_error_that_says_so(stage, run):
    solver = stage.agents["problem_solver"]
    templates = {"default": solver.interaction_templates["default"]}
    stage.agents["problem_solver"] = solver.model_copy(update={"interaction_templates": templates})
    stage.play({**GOOD, "problem_solver": WRONG})
    with pytest.raises(ConfigurationException, match="no template takes the inputs error_feedback"):
        run()
    assert not stage.calls, "it is told before anything is asked"


def test_a_solver_that_is_never_asked_again_needs_no_template_for_feedback(stage, run):
    solver = stage.agents["problem_solver"]
    templates = {"default": solver.interaction_templates["default"]}
    stage.agents["problem_solver"] = solver.model_copy(update={"interaction_templates": templates})
    stage.play(GOOD)
    assert run(config={"max_attempts": 1}).success


def test_usage_of_all_records_is_the_usage_of_all_calls(stage, run):
    stage.play({**GOOD, "problem_solver": WRONG})
    result = run(num_problems=2)
    total = Usage()
    for record in result.data_trail:
        for usage in record.usage.values():
            total = total.plus(usage)
    assert total.calls == len(stage.calls) == 2 * (1 + 1 + 3 + 1)


def of_files(body):
    main, steps = "from steps import double", f"def double(n):\n    return {body}"
    return f"**main.py**\n```python\n{main}\n```\n\n**steps.py**\n```python\n{steps}\n```"


def test_answers_of_several_files_are_judged_shown_and_repaired_as_such(stage, run):
    stage.play({**GOOD, "test_generator": f"```python\n{REAL_TESTS}```", "problem_solver": of_files("n + 1"),
                "problem_fixer": of_files("n + n")})  # fmt: skip
    result = run(config={"max_attempts": 2}, real=True)
    assert [record.success for record in result.data_trail] == [False, False, True]
    assert all(record.solution_files.main == "main.py" for record in result.data_trail)
    assert result.data_trail[-1].solution_files.files["steps.py"] == "def double(n):\n    return n + n\n"
    told = result.data_trail[0].solution_code
    assert told in stage.prompts("problem_solver")[1]
    assert stage.asked("problem_fixer")[0]["current_solution"] == told
    assert result.data_trail[-1].fixed_by_problem_fixer
