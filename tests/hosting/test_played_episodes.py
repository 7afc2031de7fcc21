"""`environment_openenv`: a model plays episodes on a server, and what becomes of them is measured as a node."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv import ActionException, BaseEnvironment, ChallengeResults, ConfigurationException, read_action
from prismenv.contracts.services import Services
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.finding.workspace import find_workspaces
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface
from prismenv.simulated.profiles import load_profile
from prismenv.simulated.transport import SimulatedTransport
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport

pytestmark = pytest.mark.anyio
PLAYED, PLAYER = "environment_openenv", "episode_player"
ECHO, TRIED, TOOLED = "environment_echo", "environment_tried", "environment_tooled"
TOKEN = "token-of-the-server-0123456789"
NODE = {"concept": ["loops", "lists"], "difficulty_level": "easy"}


@pytest.fixture
def hosted(with_tools: HostedEnvironments) -> HostedEnvironments:
    return with_tools


class Stage:
    """Plays a node with a model that answers so; `asked` is what it was told, in order."""

    def __init__(self, *answers: str) -> None:
        self.transport = ScriptedTransport({PLAYER: list(answers)})

    async def play(self, url: str, name: str | None = TRIED, *, seed: int = 7, **config: Any) -> ChallengeResults:
        clock = ManualClock()
        agents = load_agents(find_workspaces())
        interface = InProcessInterface(agents, lambda _role: self.transport, clock)
        services = Services(interface=interface, sandbox=ScriptedSandbox(), clock=clock)
        settings = {"url": url, "name": name, **config}
        async with BaseEnvironment(PLAYED, config=settings, services=services, seed=seed) as environment:
            return ChallengeResults.model_validate(await environment.execute_node(**NODE))

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [dict(request.inputs) for request in self.transport.requests]


async def test_an_episode_is_played_to_its_end_and_its_reward_decides(serve: Any) -> None:
    async with serve() as running:
        stage = Stage('I begin.\n```json\n{"what": "a"}\n```', '<think>{"what": 1}</think>{"what": "b"}')
        result = await stage.play(running.url, reset={"length": 2}, success_reward=2)
        assert result.success
        (record,) = result.data_trail
        assert (record["steps"], record["reward"], record["truncated"], record.fault) == (2, 2.0, True, "none")
        first, second = stage.asked
        assert first["instructions"] == "Do as you are told."
        assert json.loads(first["action_schema"])["properties"]["what"]["type"] == "string"
        assert json.loads(first["observation"])["steps"] == 0
        assert (json.loads(second["observation"])["steps"], second["report"]) == (1, "The reward of that step is 1.")
        again = await Stage('{"what": "a"}', '{"what": "b"}').play(running.url, reset={"length": 2}, success_reward=2.5)
        assert (again.success, again.data_trail[0].fault) == (False, "candidate")
        assert running.host.active == 0


async def test_a_refused_action_is_told_and_costs_a_step(serve: Any) -> None:
    async with serve() as running:
        stage = Stage('{"what": 1}', "no object", '{"what": ""}')
        result = await stage.play(running.url, max_steps=3)
        (record,) = result.data_trail
        assert (record["steps"], record["refused_actions"], record["truncated"], record["reward"]) == (3, 2, True, 1.0)
        assert "should be a valid string" in stage.asked[1]["report"]
        assert "no object of JSON" in stage.asked[2]["report"]


async def test_texts_are_actions_where_they_can_be(serve: Any) -> None:
    async with serve() as running:
        stage = Stage("go on", "```\nend\n```")
        result = await stage.play(running.url, TOOLED)
        assert (result.success, result.data_trail[0]["steps"], result.data_trail[0]["reward"]) == (True, 2, 1.0)
        assert stage.asked[1]["observation"] == "heard go on"


async def test_whose_fault_it_was_is_told(serve: Any) -> None:
    async with serve() as running:
        failed = (await Stage('{"what": "raise"}').play(running.url)).data_trail[0]
        assert (failed.fault, "told to" in failed.output) == ("environment", True)
        hangs = (await Stage('{"what": ""}').play(running.url, "environment_ecko")).data_trail[0]
        assert (hangs.fault, "environment_echo" in hangs.output) == ("infrastructure", True)
        silent = (await Stage("", "", "").play(running.url)).data_trail[0]
        assert silent.fault == "candidate"
        url = running.url
    gone = (await Stage('{"what": ""}').play(url)).data_trail[0]
    assert (gone.fault, gone.success) == ("infrastructure", False)


async def test_reset_is_given_what_the_configuration_says_and_each_episode_a_seed_of_its_own(serve: Any) -> None:
    async with serve() as running:
        stage = Stage(*["end"] * 6)
        config = {"reset": {"things": ["a"]}, "num_problems": 3, "batch_size": 2, "success_reward": 0.5}
        result = await stage.play(running.url, TOOLED, **config)
        assert (result.success, len(result.data_trail)) == (True, 3)
        assert {json.loads(each["observation"])["things"] for each in stage.asked} == {1}
        seeds = [record.seed for record in result.data_trail]
        assert len(set(seeds)) == 3
        same = await Stage(*["end"] * 3).play(running.url, TOOLED, num_problems=3, success_reward=0.5)
        assert [record.seed for record in same.data_trail] == seeds
        filled = await Stage('{"what": ""}').play(running.url, reset={"length": "{difficulty}"}, max_steps=1)
        assert "'str'" in filled.data_trail[0].output  # which the environment compares with a number


async def test_the_server_is_named_and_its_token_is_a_variables(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationException, match="one of url and manifest"):
        await Stage("").play(url=None)  # type: ignore[arg-type]
    async with serve(tokens=(TOKEN,)) as running:
        refused = (await Stage("").play(running.url)).data_trail[0]
        assert (refused.fault, "token" in refused.output) == ("infrastructure", True)
        with pytest.raises(ConfigurationException, match="SERVER_TOKEN is not set"):
            await Stage("").play(running.url, token_variable="SERVER_TOKEN")
        monkeypatch.setenv("SERVER_TOKEN", TOKEN)
        played = await Stage('{"what": ""}').play(running.url, token_variable="SERVER_TOKEN", max_steps=1)
        assert played.success
        assert TOKEN not in played.model_dump_json()


async def test_the_simulated_model_says_something_that_is_taken(serve: Any) -> None:
    async with serve() as running:
        stage = Stage()
        stage.transport = SimulatedTransport(load_profile("perfect"), ManualClock())  # type: ignore[assignment]
        echoed = await stage.play(running.url, ECHO, max_steps=2, success_reward=1.0)
        assert (echoed.success, echoed.data_trail[0]["refused_actions"]) == (True, 0)


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TEXT = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}


@pytest.mark.parametrize(
    ("answer", "schema", "action"),
    [
        ('{"a": 1}', OBJECT, {"a": 1}),
        ('```json\n{"a": 1}\n```\nor rather\n```json\n{"a": 2}\n```', OBJECT, {"a": 2}),
        ('<think>{"a": 3}</think>\n{"a": 1}', OBJECT, {"a": 1}),
        ('{"code": "x"}', TEXT, {"code": "x"}),
        ('{"b": "x"}', TEXT, {"code": '{"b": "x"}'}),
        ("Look:\n```python\nx = 1\n```\n", TEXT, {"code": "x = 1"}),
        ("  x = 1\n", TEXT, {"code": "x = 1"}),
        ("[1]", TEXT, {"code": "[1]"}),
    ],
)
def test_an_action_is_read_out_of_an_answer(answer: str, schema: Any, action: Any) -> None:
    read = read_action(answer, schema)
    assert {key: value.strip() if isinstance(value, str) else value for key, value in read.items()} == action


@given(st.text(), st.sampled_from([OBJECT, TEXT, {}]))
def test_any_answer_is_an_action_or_refused(answer: str, schema: Any) -> None:
    try:
        assert isinstance(read_action(answer, schema), dict)
    except ActionException:
        assert schema is not TEXT


@given(
    st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()),
    st.sampled_from(["{}", "```json\n{}\n```"]),
)
def test_an_object_survives_being_said(action: dict[str, Any], around: str) -> None:
    said = around.replace("{}", json.dumps(action))
    assert read_action(said, {"type": "object", "properties": {}}) == action
