"""A Python interpreter stepped by a policy: state within an episode, rewards by rule or tests, files in and out."""

import base64
from contextlib import asynccontextmanager

import anyio
import pytest

from prismenv import (
    ActionException,
    BaseEnvironment,
    CodeResult,
    ConfigurationException,
    EnvironmentClient,
    environment_registry,
)
from prismenv.contracts.recipe import SessionSettings
from prismenv.contracts.services import Services
from prismenv.engine.host.host import HostLimits
from prismenv.engine.host.instance import Instance
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.finding.discovery import load_environments
from prismenv.finding.workspace import find_workspaces
from prismenv.isolation.kinds import best_form
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.sessionkeeper import SessionKeeper
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.serving import EnvironmentServeSettings, running_environments
from prismenv.server.tokens import Tokens
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.errors import DeadlineException, EnvironmentExecutionException, SandboxException

NAME = "environment_python"
TESTS = "def test_two():\n    assert double(2) == 4\ndef test_31337():\n    assert double(31337) == 62674\n"
RIGHT, HALF = "def double(n):\n    return n + n\n", "def double(n):\n    return 4\n"
pytestmark = pytest.mark.anyio


@pytest.fixture
def playing(stage):
    """`async with playing(sandbox=…, **config) as instance`."""

    @asynccontextmanager
    async def start(*, sandbox=None, seed=7, **config):
        async with sandbox or PortableSandbox(1) as opened:
            services = Services(interface=stage.interface(), sandbox=opened, clock=stage.clock, folder=stage.folder)
            async with BaseEnvironment(NAME, config=config, services=services) as environment:
                yield Instance("i", environment, stage.clock, seed=seed, lease_seconds=60)

    return start


async def test_names_stay_within_an_episode_and_reset_gives_a_fresh_interpreter(playing):
    async with playing(task="Explore.") as instance:
        first = await instance.reset({"episode_id": "e"})
        assert (first.observation.task, first.observation.outcome, first.observation.steps_left) == (
            "Explore.",
            None,
            30,
        )
        await instance.step({"code": "import math\nx = 20\nopen('kept.txt', 'w').close()"})
        second = await instance.step({"code": "print('hi')\nx + math.floor(1.5)"})
        seen = second.observation
        assert (seen.outcome, seen.stdout, seen.result, second.reward) == ("finished", "hi\n", "21", None)
        assert await instance.state() == {
            "episode_id": "e",
            "step_count": 2,
            "task": "Explore.",
            "steps_left": 28,
            "submissions_left": None,
            "interpreters": 1,
            "solved": False,
        }
        await instance.reset()
        fresh = await instance.step({"code": "import os\n'x' in globals(), os.listdir()"})
        assert fresh.observation.result == "(False, [])"


async def test_errors_exits_and_limits_are_told_in_detail_and_the_episode_goes_on(playing):
    async with playing(step_seconds=3, output_bytes=2000, reward="error_free") as instance:
        await instance.reset()
        raised = await instance.step({"code": "def f():\n    return 1 / 0\nf()"})
        error = raised.observation.error
        assert (error.name, error.message, raised.reward) == ("ZeroDivisionError", "division by zero", 0.0)
        assert "return 1 / 0" in error.traceback
        left = await instance.step({"code": "import sys\nprint('e', file=sys.stderr)\nsys.exit(3)"})
        assert (left.observation.outcome, left.observation.exit_code, left.observation.stderr) == ("exited", 3, "e\n")
        slow = await instance.step({"code": "import time\ntime.sleep(60)"})
        assert (slow.observation.outcome, slow.done) == ("timed_out", False)
        loud = await instance.step({"code": "print('x' * 9000)"})
        assert (loud.observation.outcome, loud.observation.output_cut) == ("output_limit", True)
        assert len(loud.observation.stdout) <= 2000
        good = await instance.step({"code": "1"})
        assert (good.reward, good.observation.result, await instance.compute_reward()) == (1.0, "1", 1.0)


async def test_an_interpreter_that_ends_is_told_and_the_next_step_has_a_new_one(playing):
    async with playing(files={"given.txt": "g"}) as instance:
        await instance.reset()
        ended = await instance.step({"code": "x = 1\nimport os\nos._exit(9)"})
        assert (ended.observation.outcome, ended.observation.exit_code) == ("exited", 9)
        assert (ended.observation.interpreter_ended, ended.done) == (True, False)
        after = await instance.step({"code": "'x' in globals(), open('given.txt').read()"})
        assert (after.observation.result, after.observation.restarted) == ("(False, 'g')", False)
        assert (await instance.state())["interpreters"] == 2


async def test_an_interpreter_that_was_idle_for_too_long_is_replaced_and_that_is_told(playing):
    clock = ManualClock()
    sandbox = PortableSandbox(1, sessions=SessionKeeper(SessionSettings(most=1, idle_seconds=10), clock))
    async with playing(sandbox=sandbox) as instance:
        await instance.reset()
        await instance.step({"code": "x = 1"})
        clock.advance(20)
        async with await sandbox.open() as other:  # whose place was the idle one's
            assert (await other.execute("1")).result == "1"
        after = await instance.step({"code": "'x' in globals()"})
        assert (after.observation.result, after.observation.restarted) == ("False", True)
        assert not (await instance.step({"code": "1"})).observation.restarted


async def test_files_go_in_and_come_out(playing):
    async with playing(files={"a/config.txt": "c"}) as instance:
        await instance.reset({"files": {"more.txt": "m"}})
        raw = base64.b64encode(b"\xff\x00").decode()
        action = {
            "code": "open('out.bin', 'wb').write(open('in.bin', 'rb').read() * 2)\nopen('out.txt', 'w').write('ö')",
            "files": {"t.txt": "t"},
            "files_base64": {"in.bin": raw},
            "read": ["out.txt", "out.bin", "none.txt", "../../etc/passwd"],
        }
        seen = (await instance.step(action)).observation
        assert seen.files == {"out.txt": "ö"}
        assert {name: base64.b64decode(data) for name, data in seen.files_base64.items()} == {
            "out.bin": b"\xff\x00" * 2
        }
        missing = "there is no such file"
        assert seen.files_left_out == {"none.txt": missing, "../../etc/passwd": missing}
        everything = (await instance.step({"read": ["*"]})).observation
        assert sorted(everything.files) == ["a/config.txt", "more.txt", "out.txt", "t.txt"]
        large = await instance.step({"code": "open('large', 'w').write('x' * 2**21)", "read": ["large"]})
        assert "no room" in large.observation.files_left_out["large"]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"code": 1}, "code"),
        ({"cod": ""}, "cod"),
        ({"files": {"/etc/x": ""}}, "files: the path"),
        ({"files": {"../x": ""}}, "files: the path"),
        ({"files": {"a": ""}, "files_base64": {"a": ""}}, "both have"),
        ({"files_base64": {"a": "?"}}, "is no base64"),
        ({"files": {"a": "\ud800"}}, "unicode|no text"),
        ({"files": {"x/y": ""}, "code": "1"}, "cannot be written"),
        ({"submit": True, "code": "1"}, "no tests in this episode"),
        ({"read": ["x"] * 1001}, "read"),
    ],
)
async def test_an_action_that_cannot_be_is_refused_and_nothing_ran(playing, action, said):
    async with playing() as instance:
        await instance.reset({"files": {"x": "a file"}})
        with pytest.raises(ActionException, match=said):
            await instance.step(action)
        assert (await instance.state())["step_count"] == 0
        assert (await instance.step({"code": "1"})).observation.result == "1"


async def test_the_expected_output_ends_the_episode(playing):
    async with playing(reward="output", expected_output="42") as instance:
        await instance.reset()
        wrong = await instance.step({"code": "print(41)"})
        assert (wrong.reward, wrong.done) == (0.0, False)
        right = await instance.step({"code": "print('42  ')"})
        assert (right.reward, right.terminated, (await instance.state())["solved"]) == (1.0, True, True)
        await instance.reset({"expected_output": "7"})
        assert (await instance.step({"code": "print(7)"})).terminated


async def test_a_submission_is_judged_by_hidden_tests_of_which_only_counts_are_told(playing):
    async with playing(reward="tests", tests=TESTS, tests_reward="share") as instance:
        await instance.reset()
        assert "submit" in await instance.system_prompt()
        with pytest.raises(ActionException, match=r"no file solution\.py"):
            await instance.step({"submit": True})
        half = await instance.step({"code": HALF, "submit": True})
        seen = half.observation
        assert (half.reward, seen.outcome, seen.tests_passed, seen.tests_total) == (0.5, "failed", 1, 2)
        assert seen.submissions_left == 2
        assert not [hidden for hidden in ("31337", "62674", "test_two", "assert") if hidden in seen.model_dump_json()]
        await instance.step({"code": f"open('solution.py', 'w').write({RIGHT!r})"})
        right = await instance.step({"submit": True})
        assert (right.reward, right.terminated, right.observation.outcome) == (1.0, True, "passed")


async def test_what_a_session_did_to_itself_forges_no_reward(playing):
    forging = "import builtins, unittest\nbuiltins.exit = None\nunittest.main = lambda *_: 0\ndouble = lambda n: 4"
    async with playing(reward="tests", tests=TESTS, max_attempts=1) as instance:
        await instance.reset()
        await instance.step({"code": forging})
        last = await instance.step({"code": "import os\ndef double(n): os._exit(0)", "submit": True})
        assert (last.reward, last.truncated) == (0.0, True)
        assert last.observation.outcome != "passed"


async def test_an_episode_is_cut_off_after_its_last_step(playing):
    async with playing(max_steps=2) as instance:
        await instance.reset()
        assert not (await instance.step({"code": "1"})).done
        assert (await instance.step({"code": "1"})).truncated
        await instance.reset({"max_steps": 1})
        assert (await instance.step({"code": "1"})).truncated


async def test_the_same_seed_and_steps_give_the_same_episode(playing):
    async def played():
        async with playing() as instance:
            await instance.reset({"seed": 5})
            return [
                (await instance.step({"code": code})).observation.model_dump_json()
                for code in (
                    "import random\nrandom.random()",
                    "{'b', 'a', 'c'}",
                    "1 / 0",
                    "import os; os._exit(1)",
                    "2",
                )
            ]

    assert await played() == await played()


async def test_a_step_past_its_deadline_ends_the_episode_and_reset_begins_another(playing):
    async with playing(step_seconds=60) as instance:
        await instance.reset()
        with pytest.raises(DeadlineException):
            await instance.step({"code": "while True: pass"}, timeout_seconds=0.3)
        with pytest.raises(EnvironmentExecutionException, match="is over"):
            await instance.step({"code": "1"})
        await instance.reset()
        assert (await instance.step({"code": "1"})).observation.result == "1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": 1}, "'task' must be text"),
        ({"files": {"a": 1}}, "'files' must be texts"),
        ({"files": ["a"]}, "'files' must be texts"),
        ({"max_steps": 0}, "max_steps"),
        ({"tests": ["x"]}, "'tests' must be text"),
    ],
)
async def test_wrong_options_of_reset_are_refused(playing, options, said):
    async with playing() as instance:
        with pytest.raises(ConfigurationException, match=said):
            await instance.reset(options)


async def test_rewards_without_what_they_are_measured_by_are_refused(playing):
    for reward, missing in (("tests", "tests"), ("output", "expected_output")):
        async with playing(reward=reward) as instance:
            with pytest.raises(ConfigurationException, match=missing):
                await instance.reset()


async def test_there_is_no_episode_where_there_is_no_session(playing):
    full = PortableSandbox(1, sessions=SessionKeeper(SessionSettings(most=1), ManualClock()))
    async with playing(sandbox=full) as instance, await full.open():
        with pytest.raises(SandboxException, match="1 sessions are open"):
            await instance.reset()
    async with playing(sandbox=ScriptedSandbox()) as instance:
        with pytest.raises(ConfigurationException, match="keeps no sessions"):
            await instance.reset()


async def test_closing_an_instance_closes_its_interpreter(playing):
    sandbox = PortableSandbox(1, sessions=SessionKeeper(SessionSettings(most=1), ManualClock()))
    async with playing(sandbox=sandbox) as instance:
        await instance.reset()
        await instance.close()
        async with await sandbox.open() as session:
            assert (await session.execute("1")).result == "1"


async def test_episodes_on_a_server_in_the_strongest_jail_do_not_mix(stage, new_sandbox):
    load_environments(find_workspaces())
    form = best_form("full") or best_form("unprivileged") or "portable"
    async with new_sandbox(form) as sandbox:
        services = Services(interface=stage.interface(), sandbox=sandbox, clock=stage.clock, folder=stage.folder)
        hosted = HostedEnvironments(services, {NAME: environment_registry.get(NAME).config()})
        settings = EnvironmentServeSettings(
            port=0, only=None, tokens=Tokens(()), seed=7, host_limits=HostLimits(), wire=WireLimits()
        )
        async with running_environments(hosted, settings) as running:
            seen = []

            async def play(number):
                async with EnvironmentClient(running.url, NAME) as env:
                    await env.reset()
                    await env.step({"code": f"x = {number}"})
                    seen.append((number, (await env.step({"code": "x"})).observation["result"]))

            async with anyio.create_task_group() as group:
                for number in range(4):
                    group.start_soon(play, number)
            assert sorted(seen) == [(number, str(number)) for number in range(4)]


async def test_a_sandbox_that_breaks_in_a_step_cuts_the_episode_off_unmeasured(playing):
    def scripted(code):
        if "break" in code:
            return CodeResult(outcome="infrastructure_error", error={"name": "SandboxError"}, session_ended=True)
        return CodeResult(outcome="finished")

    async with playing(sandbox=ScriptedSandbox(call=scripted), reward="error_free") as instance:
        await instance.reset()
        assert (await instance.step({"code": "1"})).reward == 1.0
        broken = await instance.step({"code": "break"})
        assert (broken.reward, broken.truncated, broken.observation.outcome) == (None, True, "infrastructure_error")
        assert await instance.compute_reward() == 1.0
