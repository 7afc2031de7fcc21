"""The rules of docs/episodes.md, for whatever an author writes."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from prismenv import (
    Action,
    ActionException,
    BaseEnvironment,
    EnvironmentExecutionException,
    HostException,
    Observation,
    State,
    StepResult,
    environment_registry,
)
from prismenv.contracts.episode import observation_document
from prismenv.contracts.methodthreads import AT_ONCE, method_threads
from prismenv.contracts.services import Services
from prismenv.engine.host.instance import Instance
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.errors import ConfigurationException, DeadlineException, RegistryException

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    with environment_registry.isolated():
        yield


def instance_of(cls: type[BaseEnvironment], *, seed: int = 1, lease_seconds: float = 60.0, **config: Any) -> Instance:
    """An instance of an environment that is registered for the test."""
    if "environment_tried" not in environment_registry:
        environment_registry.register("environment_tried")(cls)
    clock = ManualClock()
    interface = InProcessInterface({}, lambda _role: ScriptedTransport({}), clock)
    services = Services(interface=interface, sandbox=ScriptedSandbox(), clock=clock)
    environment = cls("environment_tried", config=config, services=services, seed=seed)
    return Instance("instance-1", environment, clock, seed=seed, lease_seconds=lease_seconds)


class Move(Action):
    by: int


class Place(Observation):
    at: int = 0


class Line(BaseEnvironment):
    """Walk to 3; ten is too far, and a wall stands at -1."""

    async def reset(self, start: int = 0, episode_id: str | None = None) -> Place:
        self._state = State(episode_id=episode_id)
        self._at = start
        return Place(at=start)

    async def step(self, action: Move) -> Place:
        if self._at + action.by < 0:
            raise ActionException("there is a wall")
        self._at += action.by
        self._state.step_count += 1
        if self._at > 10:
            raise ValueError("fell off")
        return Place(at=self._at, reward=1.0 if self._at == 3 else 0.0, done=self._at == 3)

    @property
    def state(self) -> State:
        return self._state


async def test_an_episode_goes_from_reset_to_its_end() -> None:
    line = instance_of(Line)
    first = await line.reset({"seed": 1, "start": 1, "episode_id": "mine"})
    assert (observation_document(first.observation), first.reward, first.done) == (
        {"at": 1},
        None,
        False,
    )
    second = await line.step({"by": 1})
    assert (second.observation.at, second.reward, second.done) == (2, 0.0, False)
    last = await line.step(Move(by=1))
    assert (last.reward, last.done, last.terminated, last.truncated) == (1.0, True, True, False)
    assert await line.state() == {"episode_id": "mine", "step_count": 2}
    assert await line.compute_reward() == 1.0


async def test_a_step_before_reset_and_one_after_the_end_are_refused_and_change_nothing() -> None:
    line = instance_of(Line)
    with pytest.raises(EnvironmentExecutionException) as early:
        await line.step({"by": 1})
    assert early.value.code == "no_episode"
    assert await line.state() == {"episode_id": None, "step_count": 0}
    await line.reset({"start": 2})
    await line.step({"by": 1})
    with pytest.raises(EnvironmentExecutionException) as late:
        await line.step({"by": 1})
    assert late.value.code == "episode_over"
    assert (await line.state())["step_count"] == 1


async def test_a_reset_in_the_middle_begins_anew() -> None:
    line = instance_of(Line)
    await line.reset({"start": 1})
    before = await line.state()
    await line.step({"by": 1})
    assert (await line.reset()).observation.at == 0
    after = await line.state()
    assert after["step_count"] == 0
    assert after["episode_id"] != before["episode_id"]


@pytest.mark.parametrize(
    ("action", "field"),
    [({}, "by"), ({"by": "far"}, "by"), ({"by": 1, "twice": 2}, "twice"), ("by 1", None), (None, None), ([1], None)],
)
async def test_an_action_of_the_wrong_type_is_refused_and_the_episode_goes_on(action: Any, field: str | None) -> None:
    line = instance_of(Line)
    await line.reset()
    with pytest.raises(ActionException) as refused:
        await line.step(action)
    assert refused.value.errors[0]["loc"] == ([field] if field else [])
    assert (await line.step({"by": 3})).done
    assert (await line.state())["step_count"] == 1


async def test_an_action_that_the_author_refuses_leaves_the_episode_as_it_was() -> None:
    line = instance_of(Line)
    await line.reset()
    with pytest.raises(ActionException, match="there is a wall"):
        await line.step({"by": -1})
    assert (await line.step({"by": 3})).done


async def test_an_error_of_the_author_ends_the_episode_and_reset_begins_a_new_one() -> None:
    line = instance_of(Line)
    await line.reset()
    with pytest.raises(EnvironmentExecutionException, match="fell off"):
        await line.step({"by": 11})
    with pytest.raises(EnvironmentExecutionException, match="fell off") as over:
        await line.step({"by": 1})
    assert over.value.code == "episode_over"
    await line.reset()
    assert (await line.step({"by": 3})).done


class Hanging(BaseEnvironment):
    async def reset(self) -> str:
        self._cancelled = 0
        return "go"

    async def step(self, action: str) -> str:
        if action == "hang":
            try:
                await anyio.sleep_forever()
            finally:
                self._cancelled += 1
        return action

    def state(self) -> dict[str, int]:
        return {"cancelled": self._cancelled}


class Speechless(Exception):
    def __str__(self) -> str:
        raise OSError("no message")


class Waiting(BaseEnvironment):
    """Waits for what was cancelled, or fails in a way that cannot be told."""

    async def reset(self) -> str:
        return "ready"

    async def step(self, action: str) -> str:
        if action == "speechless":
            raise Speechless
        task = asyncio.ensure_future(anyio.sleep_forever())
        task.cancel()
        await task
        return action


@pytest.mark.parametrize(("action", "told"), [("wait", "CancelledError"), ("speechless", "Speechless")])
async def test_whatever_an_author_raises_is_an_error_of_the_author(action: str, told: str) -> None:
    instance = instance_of(Waiting)
    await instance.reset()
    with pytest.raises(EnvironmentExecutionException, match=told) as error:
        await instance.step(action)
    assert error.value.code == "environment_raised"
    with pytest.raises(EnvironmentExecutionException, match="is over"):
        await instance.step(action)


async def test_a_step_that_does_not_end_in_time_is_cancelled_and_ends_the_episode() -> None:
    hanging = instance_of(Hanging)
    await hanging.reset()
    with pytest.raises(DeadlineException, match=r"0\.05 s"):
        await hanging.step("hang", 0.05)
    assert (await hanging.state())["cancelled"] == 1
    with pytest.raises(EnvironmentExecutionException) as over:
        await hanging.step("again")
    assert over.value.code == "episode_over"
    await hanging.reset()
    assert (await hanging.step("again")).observation == "again"


async def test_the_environments_own_timeout_bounds_a_call_that_names_none() -> None:
    hanging = instance_of(Hanging, timeout=0.05)
    await hanging.reset()
    with pytest.raises(DeadlineException):
        await hanging.step("hang")


async def test_a_cancelled_step_reaches_the_author_and_ends_the_episode() -> None:
    hanging = instance_of(Hanging)
    await hanging.reset()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hanging.step, "hang")
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert (await hanging.state())["cancelled"] == 1
    with pytest.raises(EnvironmentExecutionException, match="cut off"):
        await hanging.step("again")


class Plain(BaseEnvironment):
    """Everything as plain methods, text in and text out."""

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        self._threads = [threading.current_thread()]
        return f"seed {seed}", {"metrics": {"resets": 1}}

    def step(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        self._threads.append(threading.current_thread())
        return action.upper(), 0.5, action == "end", {"llm_raw_response": action, "llm_response": action}

    def state(self) -> dict[str, Any]:
        return {"main": threading.main_thread() in self._threads, "steps": len(self._threads) - 1}

    def system_prompt(self) -> str:
        return "Shout."

    def compute_reward(self) -> float:
        return 2.0


async def test_plain_methods_run_in_threads_and_take_and_give_text() -> None:
    plain = instance_of(Plain)
    first = await plain.reset({"seed": 5})
    assert (first.observation, first.info) == ("seed 5", {"metrics": {"resets": 1}})
    for action in ("a", {"action_str": "a"}):
        step = await plain.step(action)
        assert (step.observation, step.reward, step.done) == ("A", 0.5, False)
        assert step.info == {"llm_raw_response": "a", "llm_response": "a"}
    assert observation_document(step.observation) == {"obs_str": "A"}
    for wrong in ({"action": "a"}, {"action_str": 1}, {"action_str": "a", "more": 1}, 7):
        with pytest.raises(ActionException):
            await plain.step(wrong)
    assert (await plain.step("end")).terminated
    state = await plain.state()
    assert state == {"episode_id": "episode-000001", "step_count": 3, "main": False, "steps": 3}
    assert (await plain.system_prompt(), await plain.compute_reward()) == ("Shout.", 2.0)


class Choosy(BaseEnvironment):
    def reset(self, concept: str = "any", seeds: int = 0) -> str:
        return f"{concept} {seeds}"

    def step(self, action: str) -> str:
        return action


async def test_an_option_that_is_nearly_one_of_resets_is_a_slip_and_others_are_left_out() -> None:
    choosy = instance_of(Choosy)
    with pytest.raises(ConfigurationException, match="takes no option 'concpt'; did you mean 'concept'"):
        await choosy.reset({"concpt": "loops"})
    told = await choosy.reset({"concept": "loops", "seed": 3, "episode_id": "mine", "concepts": ["x"], "colour": 1})
    assert told.observation == "loops 0"


class Stuck(BaseEnvironment):
    """A plain step that does not return before it is let go."""

    let_go = threading.Event()

    def reset(self) -> str:
        return "ready"

    def step(self, action: str) -> str:
        Stuck.let_go.wait()
        return action


async def test_plain_methods_that_hang_hold_up_no_others() -> None:
    threads = method_threads()
    Stuck.let_go.clear()
    try:
        with anyio.fail_after(60):
            while threads.abandoned < 2 * AT_ONCE:
                async with anyio.create_task_group() as tasks:
                    for _ in range(16):
                        tasks.start_soon(give_up_a_step_of, instance_of(Stuck))
            plain = instance_of(Plain)
            await plain.reset()
            assert (await plain.step("a")).observation == "A"
    finally:
        Stuck.let_go.set()
    with anyio.fail_after(60):
        while threads.abandoned:  # noqa: ASYNC110 - they end in threads
            await anyio.sleep(0.01)
    assert threads.limit.total_tokens == AT_ONCE


async def give_up_a_step_of(stuck: Instance) -> None:
    await stuck.reset()
    with pytest.raises(DeadlineException):
        await stuck.step("a", timeout_seconds=0.2)


@dataclass
class Throw:
    far: int


@dataclass
class Landed:
    distance: int
    done: bool = True
    reward: float = 0.25


class Throwing(BaseEnvironment):
    async def reset(self) -> dict[str, Any]:
        return {"ready": True, "reward": None}

    async def step(self, action: Throw) -> Landed:
        return Landed(action.far * 2)


async def test_dataclasses_are_read_and_written_and_their_schemas_are_known() -> None:
    throwing = instance_of(Throwing)
    await throwing.reset()
    with pytest.raises(ActionException, match="far_away"):
        await throwing.step({"far": 1, "far_away": 2})
    step = await throwing.step({"far": 2})
    assert (observation_document(step.observation), step.reward, step.done) == ({"distance": 4}, 0.25, True)
    schemas = throwing.face.types.schemas()
    assert schemas["action"]["required"] == ["far"]
    assert set(schemas["observation"]["properties"]) == {"distance", "done", "reward"}
    assert "step_count" in schemas["state"]["properties"]


STEPS = {
    "gymnasium": (("seen", 1, False, True, {}), (1.0, True, True)),
    "gym": (("seen", 1, True, {"TimeLimit.truncated": True}), (1.0, True, True)),
    "both": (("seen", 1, True, True, {}), (1.0, True, False)),
    "result": (StepResult("seen", truncated=True), (None, True, True)),
    "mapping": ({"seen": 1, "done": True, "reward": 2}, (2.0, True, False)),
    "no info": (("seen", None, False, None), (None, False, False)),
    "list": (["seen"], (None, False, False)),
}


@pytest.mark.parametrize("form", STEPS)
async def test_a_step_may_be_told_in_many_forms(form: str) -> None:
    returned, expected = STEPS[form]

    class Telling(BaseEnvironment):
        async def reset(self):
            return "go"

        async def step(self, action):
            return returned

    telling = instance_of(Telling)
    await telling.reset()
    step = await telling.step({"any": "thing"})
    assert (step.reward, step.done, step.truncated) == expected
    assert isinstance(observation_document(step.observation), dict)


@pytest.mark.parametrize(
    "returned", [None, (), ("seen",), ("seen", 1, 2, 3), ("seen", float("nan"), False, {}), ("seen", "1", False, {})]
)
async def test_what_is_no_step_is_the_authors_error_and_ends_the_episode(returned: Any) -> None:
    class Wrong(BaseEnvironment):
        async def reset(self):
            return "go"

        async def step(self, action):
            return returned

    wrong = instance_of(Wrong)
    await wrong.reset()
    with pytest.raises(EnvironmentExecutionException) as bad:
        await wrong.step({})
    assert bad.value.code == "bad_step"
    with pytest.raises(EnvironmentExecutionException) as over:
        await wrong.step({})
    assert over.value.code == "episode_over"


class Dice(BaseEnvironment):
    async def reset(self) -> list[int]:
        self._random = self.random("dice")
        return [self._random.randint(1, 6) for _ in range(8)]

    async def step(self, action: dict[str, Any]) -> list[int]:
        return [self._random.randint(1, 6) for _ in range(8)]


async def test_the_same_seed_gives_the_same_trajectory_and_no_seed_gives_each_episode_its_own() -> None:
    async def trajectory(dice: Instance, options: dict[str, Any]) -> list[Any]:
        return [(await dice.reset(options)).observation, (await dice.step({})).observation]

    one, other, third = instance_of(Dice), instance_of(Dice), instance_of(Dice, seed=2)
    seeded = [await trajectory(dice, {"seed": 9}) for dice in (one, other, third)]
    assert seeded[0] == seeded[1] == seeded[2]
    free = [await trajectory(dice, {}) for dice in (one, other, third)]
    assert free[0] == free[1] != free[2]
    assert await trajectory(one, {}) != free[0]


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": "1"}, {"seed": True}, {"episode_id": ""}, {"episode_id": 1}]
)
async def test_options_of_reset_that_are_wrong_leave_the_running_episode(options: dict[str, Any]) -> None:
    line = instance_of(Line)
    await line.reset()
    with pytest.raises((ConfigurationException, ActionException)):
        await line.reset(options)
    assert (await line.step({"by": 3})).done


@pytest.mark.parametrize("name", ["self", "author", "method", "environment_name", "options"])
async def test_options_that_no_author_asked_for_reach_nobody(name: str) -> None:
    line = instance_of(Line)
    assert (await line.reset({name: 1})).observation.at == 0


class Open(BaseEnvironment):
    """Takes whatever options there are."""

    async def reset(self, **options: Any) -> dict[str, Any]:
        return {"told": sorted(options)}

    async def step(self, action: str) -> str:
        return action

    async def execute_node(self, **options: Any) -> dict[str, Any]:
        return {"success": True, "data_trail": [], "told": sorted(options)}


async def test_who_takes_all_options_is_not_given_himself_by_a_caller() -> None:
    instance = instance_of(Open)
    assert (await instance.reset({"self": 1, "more": 2})).observation == {"told": ["episode_id", "more", "seed"]}
    with pytest.raises(ConfigurationException, match="takes no option 'self'"):
        await instance.environment.execute_node(self=1, more=2)


async def test_a_reset_that_fails_leaves_no_episode() -> None:
    class Failing(Line):
        async def reset(self, fail: bool = False) -> Place:  # type: ignore[override]
            if fail:
                raise OSError("no disk")
            return await super().reset()

    failing = instance_of(Failing)
    await failing.reset()
    with pytest.raises(EnvironmentExecutionException, match="no disk"):
        await failing.reset({"fail": True})
    with pytest.raises(EnvironmentExecutionException) as over:
        await failing.step({"by": 1})
    assert over.value.code == "episode_over"


async def test_callers_of_one_instance_come_one_after_the_other_in_order() -> None:
    class Slow(BaseEnvironment):
        async def reset(self):
            self._inside, self._seen = 0, []
            return "go"

        async def step(self, action: str):
            self._inside += 1
            assert self._inside == 1
            await anyio.lowlevel.checkpoint()
            self._seen.append(action)
            self._inside -= 1
            return list(self._seen)

    slow = instance_of(Slow)
    await slow.reset()
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(slow.step, str(number))
    assert (await slow.step("last")).observation == [*map(str, range(10)), "last"]


async def test_an_instance_that_was_closed_says_so() -> None:
    line = instance_of(Line)
    await line.reset()
    await line.close("for a test")
    with pytest.raises(HostException, match="for a test") as gone:
        await line.step({"by": 1})
    assert gone.value.code == "closed"


async def test_an_environment_without_steps_has_no_episodes() -> None:
    class Node(BaseEnvironment):
        async def execute_node(self, **kwargs: Any) -> dict[str, Any]:
            return {"success": True}

    with pytest.raises(EnvironmentExecutionException) as none:
        instance_of(Node)
    assert none.value.code == "no_episode_face"


async def test_what_a_step_must_take_is_checked_where_it_is_registered() -> None:
    with pytest.raises(RegistryException, match="action"):

        @environment_registry.register("environment_wrong")
        class Wrong(BaseEnvironment):
            async def step(self) -> None:
                """Takes no action."""
