"""A coding challenge in another language than Python: who is asked for what, and how programs are judged."""

import shutil
from types import SimpleNamespace

import anyio
import pytest

from prismenv import BaseEnvironment, ConfigurationException
from prismenv.contracts.services import Services
from prismenv.simulated.programs import load_programs

TASK = load_programs()["loops-toll-road"]
ROLES = ("challenge_designer", "test_generator", "problem_solver", "problem_fixer")


def answers(language, programs, suite=TASK.suite):
    """A model that sets the task and answers with these programs, the last one again and again."""
    blocks = [f"Here it is.\n```{language}\n{program}```\nDone." for program in programs]
    return {
        "challenge_designer": ["A toll road"],
        "test_generator": [f"```yaml\n{suite}```"],
        "problem_solver": blocks[:-1] or blocks,
        "problem_fixer": blocks[-1:],
    }


@pytest.mark.parametrize(("language", "label", "tool"), [("javascript", "js", "node"), ("cpp", "c++", "g++")])
def test_programs_are_asked_for_in_that_language_and_judged_by_cases(stage, language, label, tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    wrong, right = TASK.wrong[language][0], TASK.right[language]
    stage.play(answers(label, [wrong, right]))
    config = {"language": language, "max_attempts": 1}
    result = stage.run("environment_coding_challenge", config=config, real=True)
    first, second = result.data_trail
    assert (first.success, second.success, second.fixed_by_problem_fixer) == (False, True, True)
    assert (first.language, first.verdict.outcome, first.verdict.verdict_mode) == (language, "failed", "split")
    assert second.solution_code.strip() == right.strip()
    assert second.test_cases.strip() == TASK.suite.strip()
    for role in ROLES:
        assert all(asked["language"] == language for asked in stage.asked(role))
        assert language in stage.prompts(role)[0]


def test_python_is_asked_for_as_ever(stage):
    stage.play(
        {
            "challenge_designer": ["Set"],
            "test_generator": ["```python\nimport unittest\nclass T(unittest.TestCase): pass\n```"],
            "problem_solver": ["```python\nright = 1\n```"],
        }
    )
    result = stage.run("environment_coding_challenge")
    assert "language" not in result.data_trail[0]
    assert all("language" not in asked for role in ROLES for asked in stage.asked(role))


def test_an_answer_without_a_program_in_that_language_is_the_candidates_fault(stage):
    given = answers("python", ["print(1)"])
    stage.play({**given, "problem_solver": ["```python\nprint(1)\n```"]})
    result = stage.run("environment_coding_challenge", config={"language": "javascript"})
    (record,) = result.data_trail
    assert (record.fault, record.success) == ("candidate", False)
    assert "no block of javascript" in record.output


def test_cases_that_cannot_be_read_are_asked_for_again(stage):
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    given = answers("js", [TASK.right["javascript"]])
    given["test_generator"] = ["```yaml\ncases:\n- stdou: 1\n```", f"```yaml\n{TASK.suite}```"]
    stage.play(given)
    result = stage.run("environment_coding_challenge", config={"language": "javascript"}, real=True)
    assert result.data_trail[-1].success
    assert "tests:2" in stage.asked("test_generator")[1]["validation_feedback"]


def test_an_unknown_language_is_an_error_with_the_nearest(stage):
    stage.play(answers("javascrip", ["1\n"]))
    with pytest.raises(ConfigurationException, match="unknown language 'javascrip'"):
        stage.run("environment_coding_challenge", config={"language": "javascrip"}, real=True)


def test_an_environment_that_has_no_other_language_says_so(stage):
    with pytest.raises(ConfigurationException, match="language: found 'cpp'"):
        stage.run("environment_enhanced_coding_challenge", config={"language": "cpp"})


def test_an_episode_takes_a_program_of_that_language(stage):
    stage.play(answers("js", ["1"]))

    async def main():
        services = Services(interface=stage.interface(), sandbox=stage.sandbox, clock=stage.clock, folder=stage.folder)
        async with (
            stage.sandbox,
            BaseEnvironment(
                "environment_coding_challenge",
                config={"language": "javascript"},
                services=services,
                observer=stage,
                seed=1,
            ) as environment,
        ):
            await environment.reset(concept="loops", difficulty_level="easy")
            done = await environment.step(SimpleNamespace(code="```js\nright();\n```"))
            return environment.system_prompt(), done

    prompt, done = anyio.run(main)
    assert "program in javascript" in prompt
    assert done.success
    assert stage.sandbox.judged[-1][0] == "right();"
