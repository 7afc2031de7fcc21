"""EnvironmentClient is the same object on a server and in this process: same results, same exceptions."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import pytest
from websockets.asyncio.server import serve as serve_websocket

from prismenv import (
    Action,
    ActionException,
    ConfigurationException,
    EnvironmentClient,
    EnvironmentExecutionException,
    HostException,
    Observation,
    ProtocolException,
    RegistryException,
    State,
    StepResult,
    environment_registry,
)
from prismenv.contracts.base import BaseEnvironment
from prismenv.words.errors import DeadlineException

pytestmark = pytest.mark.anyio
ECHO, TRIED, CODING = "environment_echo", "environment_tried", "environment_coding_challenge"
TOKEN = "token-of-the-server-0123456789"
Open = Callable[..., AbstractAsyncContextManager[EnvironmentClient[Any, Any]]]


@pytest.fixture(params=["server", "local"])
def opened(request: pytest.FixtureRequest, serve: Any, hosted: Any) -> Open:
    """`opened(name, config={…}, observation=…, state=…)`: a client, on a server or in this process."""

    @asynccontextmanager
    async def on_server(
        name: str, *, cls: Any = EnvironmentClient, config: Any = None, **types: Any
    ) -> AsyncIterator[EnvironmentClient[Any, Any]]:
        async with serve(config=config) as running, cls(running.url, name, **types) as client:
            yield client

    @asynccontextmanager
    async def in_process(
        name: str, *, cls: Any = EnvironmentClient, config: Any = None, **types: Any
    ) -> AsyncIterator[EnvironmentClient[Any, Any]]:
        made = cls.local(name, config=config or hosted.configs[name], services=hosted.services, **types)
        async with made as client:
            yield client

    return on_server if request.param == "server" else in_process


class EchoObservation(Observation):
    echoed_message: str
    message_length: int = 0


class Say(Action):
    message: str


@dataclass
class SayOnce:
    message: str


async def test_results_are_mappings_or_of_the_callers_types(opened: Open) -> None:
    async with opened(ECHO) as env:
        first = await env.reset(seed=1, episode_id="mine")
        assert isinstance(first, StepResult)
        assert first.observation == {"echoed_message": "Echo environment ready!", "message_length": 0}
        assert await env.state() == {"episode_id": "mine", "step_count": 0}
    async with opened(ECHO, observation=EchoObservation, state=State) as typed:
        assert (await typed.reset()).observation.echoed_message == "Echo environment ready!"
        for action in (Say(message="hello"), SayOnce("hello"), {"message": "hello"}):
            step = await typed.step(action)
            assert step.observation == EchoObservation(echoed_message="hello", message_length=5, reward=0.5)
            assert (step.reward, step.done) == (0.5, False)
        assert (await typed.state()).step_count == 3


async def test_prompt_reward_info_and_truncation_come_through(opened: Open) -> None:
    async with opened(TRIED) as env:
        assert await env.system_prompt() == "Do as you are told."
        info = {"metrics": {"seen": 1}, "llm_raw_response": "raw", "llm_response": "é"}
        assert (await env.reset(length=2, info=info)).info == info
        assert await env.compute_reward() is None
        assert not (await env.step({})).done
        last = await env.step({})
        assert (last.done, last.truncated, last.terminated) == (True, True, False)
        assert await env.compute_reward() == 2.0


async def test_what_goes_wrong_is_raised_as_the_same_exceptions(opened: Open) -> None:
    async with opened(TRIED, config={"timeout": 0.3}) as env:
        with pytest.raises(EnvironmentExecutionException) as early:
            await env.step({})
        assert early.value.code == "no_episode"
        await env.reset()
        with pytest.raises(ActionException) as wrong:
            await env.step({"what": 5})
        assert wrong.value.errors[0]["loc"] == ["what"]
        with pytest.raises(ConfigurationException) as seed:
            await env.reset(seed=-1)
        assert seed.value.code == "bad_option"
        with pytest.raises(ConfigurationException):
            await env.step(7)
        with pytest.raises(EnvironmentExecutionException, match="told to"):
            await env.step({"what": "raise"})
        with pytest.raises(EnvironmentExecutionException) as over:
            await env.step({})
        assert over.value.code == "episode_over"
        await env.reset()
        with pytest.raises(DeadlineException):
            await env.step({"what": "hang"})
        await env.reset()
        assert (await env.step({})).observation["steps"] == 1


async def test_the_same_seed_gives_the_same_episode_wherever_it_is(opened: Open) -> None:
    class Dice(BaseEnvironment):
        async def reset(self) -> list[int]:
            self._dice = self.random("dice")
            return self._thrown()

        async def step(self, action: dict[str, Any]) -> list[int]:
            return self._thrown()

        def _thrown(self) -> list[int]:
            return [self._dice.randint(1, 6) for _ in range(8)]

    with environment_registry.isolated():
        environment_registry.register("environment_tried", overrides=True)(Dice)
        async with opened(TRIED) as env:
            first = (await env.reset(seed=3)).observation, (await env.step({"n": 1})).observation
            assert first == ((await env.reset(seed=3)).observation, (await env.step({"n": 1})).observation)
            assert first[0] == {"value": [2, 5, 1, 2, 3, 4, 1, 2]}  # whatever PYTHONHASHSEED, wherever it runs
            assert (await env.reset(seed=4)).observation != first[0]


async def test_text_goes_in_and_comes_out(opened: Open) -> None:
    class Shout(BaseEnvironment):
        def reset(self) -> tuple[str, dict[str, Any]]:
            return "say something", {}

        def step(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
            return action.upper(), 1.0, True, {"llm_response": action}

    with environment_registry.isolated():
        environment_registry.register("environment_tried", overrides=True)(Shout)
        async with opened(TRIED, observation=str) as env:
            assert (await env.reset()).observation == "say something"
            step = await env.step("hello")
            assert (step.observation, step.terminated, step.info) == ("HELLO", True, {"llm_response": "hello"})


async def test_a_subclass_may_say_how_things_are_written_and_read(opened: Open) -> None:
    class Short(EnvironmentClient[str, int]):
        def _step_payload(self, action: Any) -> dict[str, Any]:
            return {"message": f"<{action}>"}

        def _parse_result(self, payload: dict[str, Any]) -> StepResult[str]:
            return StepResult(payload["observation"]["echoed_message"], payload["reward"], payload["done"])

        def _parse_state(self, payload: dict[str, Any]) -> int:
            return int(payload["step_count"])

    async with opened(ECHO, cls=Short) as env:
        await env.reset()
        assert (await env.step("hi")).observation == "<hi>"
        assert await env.state() == 1


async def test_a_coding_challenge_is_played(opened: Open) -> None:
    async with opened(CODING) as env:
        first = await env.reset(seed=1)
        assert first.observation["problem_statement"] == "Write a function."
        last = await env.step({"code": "def solution():\n    return 1\n"})
        assert (last.reward, last.terminated, last.observation["outcome"]) == (1.0, True, "passed")


async def test_it_works_without_async_too(serve: Any, hosted: Any) -> None:
    def play(client: EnvironmentClient[Any, Any]) -> list[Any]:
        with client.sync() as env:
            env.reset(seed=1)
            step = env.step({"message": "abc"})
            with pytest.raises(ActionException):
                env.step({"massage": "abc"})
            return [
                step.observation["echoed_message"],
                env.state()["step_count"],
                env.compute_reward(),
                env.system_prompt(),
            ]

    expected = ["abc", 1, pytest.approx(0.3), None]
    local = EnvironmentClient.local(ECHO, config=hosted.configs[ECHO], services=hosted.services)
    assert await anyio.to_thread.run_sync(play, local) == expected
    async with serve() as running:
        assert await anyio.to_thread.run_sync(play, EnvironmentClient(running.url, ECHO)) == expected
    with pytest.raises(ConfigurationException):
        EnvironmentClient.local(ECHO).sync().reset()


async def test_a_client_without_a_server_says_so_without_its_secrets(serve: Any) -> None:
    async with serve() as running:
        url = running.url
    with pytest.raises(HostException) as gone:
        async with EnvironmentClient(url.replace("http://", "http://user:secret@"), ECHO):
            pass
    assert (gone.value.code, "secret" in str(gone.value)) == ("unreachable", False)
    for wrong in ("127.0.0.1:8000", "ftp://x", "http://", ""):
        with pytest.raises(ConfigurationException):
            EnvironmentClient(wrong, ECHO)


async def test_tokens_and_names_are_checked_when_the_client_opens(serve: Any) -> None:
    async with serve(tokens=(TOKEN,)) as running:
        async with EnvironmentClient(running.url, ECHO, token=TOKEN) as env:
            assert not (await env.reset()).done
        for token, name, code in ((None, ECHO, "unauthorised"), (TOKEN, "environment_ecko", "unknown_environment")):
            with pytest.raises(HostException) as refused:
                async with EnvironmentClient(running.url, name, token=token):
                    pass
            assert (refused.value.code, TOKEN in str(refused.value)) == (code, False)
    with pytest.raises(RegistryException):
        async with EnvironmentClient.local("environment_ecko"):
            pass


async def test_a_session_that_the_server_ends_is_a_host_exception(serve: Any) -> None:
    async with serve(limits={"instances": 1, "queue_seconds": 0.1}) as running:
        async with EnvironmentClient(running.url, ECHO) as first:
            await first.reset()
            async with EnvironmentClient(running.url, ECHO) as second:
                with pytest.raises(HostException) as full:
                    await second.reset()
                assert full.value.code == "capacity_reached"
        await running.stop()
        with pytest.raises(HostException):
            await first.reset()


async def test_a_call_that_is_given_up_ends_the_session_so_that_no_answer_is_taken_for_another(
    serve: Any, until: Any, counts: Any
) -> None:
    async with serve() as running, EnvironmentClient(running.url, TRIED, timeout_seconds=0.5) as env:
        await env.reset()
        with pytest.raises(DeadlineException):
            await env.step({"what": "hang"})
        with pytest.raises(HostException) as closed:
            await env.step({})
        assert closed.value.code == "closed"
        await until(lambda: counts["cancelled"] == 1)


async def test_a_server_that_knows_openenv_alone_is_driven_too() -> None:
    async def stock(connection: Any) -> None:
        """Answers as OpenEnv's own server does."""
        async for text in connection:
            asked = json.loads(text)
            if asked["type"] in ("system_prompt", "compute_reward"):
                said = {"type": "error", "data": {"message": "unknown", "code": "UNKNOWN_TYPE"}}
            elif asked["type"] == "state":
                said = {"type": "state", "data": {"episode_id": "e", "step_count": 2}}
            else:
                said = {"type": "observation", "data": {"observation": {"n": 1}, "reward": 1, "done": False}}
            await connection.send(json.dumps(said))

    async with serve_websocket(stock, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with EnvironmentClient(f"http://127.0.0.1:{port}") as env:
            await env.reset()
            await env.step({"a": 1})
            await env.step({"a": 1})
            assert (await env.system_prompt(), await env.compute_reward()) == (None, 2.0)
            assert (await env.state())["step_count"] == 2


@pytest.mark.parametrize("said", ["{", "[]", '{"type": "observation", "data": {"observation": 1, "reward": "x"}}'])
async def test_a_server_that_answers_nonsense_is_told_from_an_environment_that_fails(said: str) -> None:
    async def nonsense(connection: Any) -> None:
        async for _ in connection:
            await connection.send(said)

    async with serve_websocket(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with EnvironmentClient(f"ws://127.0.0.1:{port}") as env:
            with pytest.raises(ProtocolException):
                await env.reset()


@pytest.mark.parametrize(
    "token", ["secret-of-mine\n", "secret-of-mine\r\nX: y", "secret of mine", "secret-öf-mine", ""]
)
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigurationException, match="token must be printable") as refused:
        EnvironmentClient("http://127.0.0.1:8000", "environment_echo", token=token)
    assert refused.value.code == "bad_token"
    assert "secret" not in str(refused.value)
