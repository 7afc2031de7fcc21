"""The episode face of the coding challenges: a policy steps, counts and outcomes come back and nothing else."""

import json
from contextlib import asynccontextmanager

import anyio
import pytest

from prismenv import (
    AgentCommunicationException,
    BaseEnvironment,
    ConfigurationException,
    EnvironmentExecutionException,
    Verdict,
)
from prismenv.contracts.episode import observation_document
from prismenv.contracts.services import Services
from prismenv.engine.host.instance import Instance
from prismenv.isolation.portable import PortableSandbox
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.verdict import CaseResult

CODING, ENHANCED = "environment_coding_challenge", "environment_enhanced_coding_challenge"
STATEMENT = "# Double\n\nWrite `double(n)`, which returns twice the number {n}."
TESTS = (
    "import unittest\n\n\nclass TestDouble(unittest.TestCase):\n"
    + "".join(f"    def test_secret_{n}(self):\n        self.assertEqual(double({n}), {2 * n})\n" for n in (2, 31337))
    + "    def test_none(self):\n        self.assertEqual(double(0), 0)\n"
)
RIGHT, WRONG, WORSE = (f"def double(n):\n    return {body}\n" for body in ("n + n  # right", "n", "n + 1"))
GOOD = {
    "challenge_designer": STATEMENT,
    "challenge_designer_advanced": STATEMENT,
    "test_generator": f"```python\n{TESTS}```",
    "test_validator": "## Issues\nNone. No issues found.",
    "problem_solver": f"```python\n{RIGHT}```",
    "problem_fixer": RIGHT,
}
CASE = {"concept": "loops", "difficulty_level": "easy"}


@pytest.fixture
def playing(stage):
    """`async with playing(name, sandbox, **config) as (instance, environment)`."""

    @asynccontextmanager
    async def start(name=CODING, sandbox=None, *, seed=7, **config):
        async with sandbox or PortableSandbox(2) as opened:
            services = Services(interface=stage.interface(), sandbox=opened, clock=stage.clock, folder=stage.folder)
            async with BaseEnvironment(name, config=config, services=services, observer=stage) as environment:
                yield Instance("i", environment, stage.clock, seed=seed, lease_seconds=60), environment

    return start


@pytest.mark.parametrize("name", [CODING, ENHANCED])
def test_a_problem_is_set_and_programs_are_judged_until_one_passes(stage, playing, name):
    stage.play(GOOD)

    async def main():
        async with playing(name) as (instance, environment):
            first = await instance.reset({**CASE, "episode_id": "mine"})
            assert first.observation.problem_statement == STATEMENT
            assert (first.observation.attempts_left, first.observation.outcome, first.done) == (3, None, False)
            wrong = await instance.step({"code": WRONG})
            seen = wrong.observation
            assert (seen.tests_passed, seen.tests_failed, seen.tests_errored, seen.tests_total) == (1, 2, 0, 3)
            assert (wrong.reward, wrong.done, seen.outcome, seen.attempts_left) == (0.0, False, "failed", 2)
            right = await instance.step({"code": f"Here you are:\n```python\n{RIGHT}```\nIt doubles."})
            assert (right.reward, right.terminated, right.truncated) == (1.0, True, False)
            assert (right.observation.success, right.observation.outcome) == (True, "passed")
            state = await instance.state()
            assert (state["episode_id"], state["step_count"], state["solved"]) == ("mine", 2, True)
            assert (await instance.compute_reward(), "Python" in await instance.system_prompt()) == (1.0, True)
            assert environment.episode_results()["success"]

    anyio.run(main)


def test_nothing_of_the_tests_is_told_but_counts_and_outcomes(stage, playing):
    stage.play(GOOD)
    hidden = ("secret", "31337", "62674", "assertEqual", "TestDouble", "Traceback", "AssertionError", "PRINTED")
    programs = (
        WRONG,
        "def double(n):\n    print('PRINTED', n)\n    return n\n",
        "def double(n):\n    raise ValueError(n)\n",
        "def double(n):\n    import inspect\n    raise ValueError(inspect.stack())\n",
        "this is no program",
        "",
        "def double(n):\n    raise SystemExit(n)\n",
    )

    async def main():
        async with playing(max_attempts=len(programs)) as (instance, _):
            await instance.reset(CASE)
            for program in programs:
                step = await instance.step({"code": program})
                assert not step.observation.success
                told = json.dumps([observation_document(step.observation), dict(step.info), await instance.state()])
                assert not [word for word in hidden if word in told], told
            assert step.truncated

    anyio.run(main)


def test_the_same_problems_programs_and_verdicts_make_the_trail_of_the_node(stage, playing):
    stage.play({**GOOD, "problem_solver": [WRONG, WORSE, RIGHT]})
    node = stage.run(CODING, real=True, seed=11)
    stage.play(GOOD)
    records = len(stage.records)

    async def main():
        async with playing() as (instance, environment):
            await instance.reset({**CASE, "seed": 11})
            for program in (WRONG, WORSE, RIGHT):
                await instance.step({"code": program})
            return environment.episode_results()["data_trail"]

    trail = anyio.run(main)
    assert stage.records[records:] == trail
    # The solver was not asked, clocks differ, and a policy is told less than a solver.
    apart = {"usage", "wall_seconds", "cpu_seconds", "error_feedback", "verdict"}
    for ours, theirs in zip(trail, node.data_trail, strict=True):
        assert {key: ours[key] for key in ours.keys() - apart} == {key: theirs[key] for key in theirs.keys() - apart}
        assert (ours.verdict.outcome, len(ours.verdict.cases)) == (theirs.verdict.outcome, len(theirs.verdict.cases))
        assert ours.keys() == theirs.keys()
    assert trail[0].usage["challenge_designer"] == node.data_trail[0].usage["challenge_designer"]


@pytest.mark.parametrize(
    ("rule", "rewards", "whole"),
    [
        ("all_or_nothing", [0.0, 0.0, 0.0], 0.0),
        ("share", [1 / 3, 0.0, 1 / 3], 1 / 3),
        ("shaped", [1 / 3, 0.0, 0.0], 1 / 3),
    ],
)
def test_rewards_are_by_rule_and_the_last_attempt_truncates(stage, playing, rule, rewards, whole):
    stage.play(GOOD)

    async def main():
        async with playing(reward=rule) as (instance, _):
            await instance.reset(CASE)
            steps = [await instance.step({"code": program}) for program in (WRONG, WORSE, WRONG)]
            assert [step.reward for step in steps] == pytest.approx(rewards)
            assert [step.done for step in steps] == [False, False, True]
            assert (steps[-1].truncated, steps[-1].terminated) == (True, False)
            assert await instance.compute_reward() == pytest.approx(whole)
            await instance.reset({**CASE, "max_attempts": 1})
            assert await instance.compute_reward() is None
            assert (await instance.step({"code": RIGHT})).reward == 1.0

    anyio.run(main)


@pytest.mark.parametrize("rule", ["share", "shaped"])
def test_a_program_that_does_not_pass_never_has_the_whole_reward(stage, playing, rule):
    stage.play(GOOD)
    cases = (CaseResult(name="test_a", outcome="passed"),)
    verdicts = [
        Verdict(outcome="output_limit", fault="candidate", cases=cases, tests_passed_num=1),
        Verdict(outcome="forgery_attempt", fault="candidate", cases=cases, tests_passed_num=1),
        Verdict(outcome="crashed", fault="candidate"),
    ]

    async def main():
        async with playing(sandbox=ScriptedSandbox(lambda *_: verdicts.pop(0)), reward=rule) as (instance, _):
            await instance.reset(CASE)
            rewards = [(await instance.step({"code": WRONG})).reward for _ in range(3)]
            assert rewards == [0.5, 0.0, 0.0]

    anyio.run(main)


@pytest.mark.parametrize("outcome", ["infrastructure_error", "invalid_tests"])
def test_a_judge_or_a_suite_that_fails_rewards_nothing_and_counts_no_attempt(stage, playing, outcome):
    stage.play(GOOD)
    fault = "tests" if outcome == "invalid_tests" else "infrastructure"
    sandbox = ScriptedSandbox(lambda *_: Verdict(outcome=outcome, fault=fault, message="test_secret_2"))

    async def main():
        async with playing(sandbox=sandbox) as (instance, environment):
            await instance.reset(CASE)
            step = await instance.step({"code": RIGHT})
            assert (step.reward, step.truncated, step.observation.attempts_left) == (None, True, 3)
            assert "secret" not in json.dumps(observation_document(step.observation))
            assert await instance.compute_reward() is None
            (record,) = environment.episode_results()["data_trail"]
            assert (record.fault, record.success) == (fault, False)

    anyio.run(main)


def test_a_problem_that_no_model_sets_is_an_error_of_reset(stage, playing):
    stage.play({**GOOD, "challenge_designer": []})

    async def main():
        async with playing() as (instance, _):
            with pytest.raises(EnvironmentExecutionException, match="challenge_designer") as none:
                await instance.reset(CASE)
            assert none.value.code == "no_problem"
            assert isinstance(none.value.__cause__.__cause__, AgentCommunicationException)

    anyio.run(main)


def test_what_reset_does_not_name_is_drawn_by_the_seed(stage, playing):
    stage.play(GOOD)

    async def main():
        async with playing(concepts=["loops", "sorting"], difficulties=["easy", "hard"]) as (instance, _):

            async def drawn(seed):
                await instance.reset({"seed": seed})
                state = await instance.state()
                return (*state["concepts"], state["difficulty"])

            found = [await drawn(seed) for seed in range(16)]
            assert found == [await drawn(seed) for seed in range(16)]
            assert set(found) == {(one, two) for one in ("loops", "sorting") for two in ("easy", "hard")}

    anyio.run(main)


def test_an_episode_that_is_left_closes_its_agents_sessions(stage, playing, monkeypatch):
    stage.play(GOOD)
    opened = set()

    class Counting(InProcessInterface):
        async def initialize_session(self, *args, **options):
            session_id = await super().initialize_session(*args, **options)
            opened.add(session_id)
            return session_id

        async def cleanup_session(self, session_id):
            await super().cleanup_session(session_id)
            opened.remove(session_id)

    interface = Counting(stage.agents, lambda _role: stage.transport, stage.clock)
    monkeypatch.setattr(stage, "interface", lambda: interface)

    async def main():
        async with playing() as (instance, _):
            counts = []
            for _number in range(3):
                await instance.reset(CASE)
                counts.append(len(opened))
            assert counts == [2, 2, 2]  # the designer's and the generator's
            await instance.close()
            assert not opened

    anyio.run(main)


def test_a_composed_rubric_rewards_and_every_part_is_told_and_kept(stage, playing):
    stage.play(GOOD)
    rubric = {"weighted": [{"solved": "solved", "weight": 1}, {"speed": {"sequence": ["ran", "early"]}, "weight": 0.5}]}

    async def main():
        async with playing(rubric=rubric, max_attempts=3) as (instance, environment):
            await instance.reset(CASE)
            first, second = [await instance.step({"code": program}) for program in (WRONG, RIGHT)]
            none = {"solved": 0, "speed.ran": 1, "speed.early": 0, "speed": 0}
            assert (first.reward, first.info["rubric"]) == (0.0, none)
            assert second.reward == pytest.approx(1.25)
            assert second.info["rubric"] == {"solved": 1, "speed.ran": 1, "speed.early": 0.5, "speed": 0.5}
            assert await instance.compute_reward() == pytest.approx(1.25)
            trail = environment.episode_results()["data_trail"]
            assert [record["reward"] for record in trail] == pytest.approx([0.0, 1.25])
            assert trail[1]["rubric"] == second.info["rubric"]

    anyio.run(main)


def test_a_rubric_that_is_composed_wrongly_is_told_before_anything_is_asked(stage, playing):
    stage.play(GOOD)

    async def main():
        with pytest.raises(ConfigurationException, match="did you mean 'solved'"):
            async with playing(rubric={"weighted": {"solvd": 1}}) as (instance, _):
                await instance.reset(CASE)

    anyio.run(main)
    assert not stage.transport.requests
