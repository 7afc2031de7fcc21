"""What an author says beside an observation, and the images in one, by every way that leads to an environment."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from typing import Any

import anyio.to_thread
import pytest

from prismenv import BaseEnvironment, EnvironmentBatch, EnvironmentClient, EnvironmentConfig, environment_registry
from prismenv.bridges.gym import GymEnvironment
from prismenv.engine.host.opening import HostedEnvironments

pytestmark = pytest.mark.anyio
SHOWN = "environment_shown"
AT = f"/environments/{SHOWN}"
PNG = b"\x89PNG\r\n\x1a\n and so on"
WORDS = base64.b64encode(PNG).decode()
IMAGE = {"media_type": "image/png", "base64": WORDS}
INFO = {
    "metrics": {"turn_metrics": {"action_is_valid": True}, "traj_metrics": {"success": False}},
    "llm_raw_response": "<think>…</think> a",
    "llm_response": "a",
}
SEEN = {"obs_str": "now <image>, before <image>", "multi_modal_data": {"<image>": [IMAGE, IMAGE]}}
HUGE = 10**5000  # more digits than Python reads
Asked = Callable[[str], Awaitable[Any]]


class Left(BaseException):
    """What no `except Exception` stops."""


class Shown(BaseEnvironment):
    """Text and images out, text in; the action says how many images there are."""

    def reset(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"obs_str": "begin", "multi_modal_data": {}}, {"llm_response": "none"}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        if action == "huge reward":
            return {"obs_str": "more"}, HUGE, False, {}
        if action == "huge":
            return {"obs_str": "more", "deep": [{"within": [1, HUGE]}]}, 0.5, False, {}
        if action == "leave":
            raise Left("for good")
        return {"obs_str": SEEN["obs_str"], "multi_modal_data": {"<image>": [PNG] * len(action)}}, 0.5, False, INFO


@pytest.fixture
def hosted(hosted: HostedEnvironments) -> HostedEnvironments:
    environment_registry.register(SHOWN)(Shown)
    return HostedEnvironments(hosted.services, {**hosted.configs, SHOWN: EnvironmentConfig()})


@pytest.fixture(params=["http", "websocket", "mcp", "client", "batch", "vagen", "gym", "in process"])
async def asked(request: pytest.FixtureRequest, serve: Any, talk: Any, http: Any, hosted: Any) -> AsyncIterator[Asked]:
    """`await asked("aa")`: observation, reward, done and info of a step after a reset, or the words of its error."""
    way = request.param.replace(" ", "_")
    async with serve() as running:
        if way in ("http", "mcp", "vagen"):
            async with http(running) as client:
                yield await globals()[f"by_{way}"](client)
        elif way == "websocket":
            async with talk(running, SHOWN) as client:
                yield await by_websocket(client)
        elif way == "gym":
            yield lambda action: anyio.to_thread.run_sync(by_gym, running.url, action)
        elif way == "batch":
            async with EnvironmentBatch(running.url, SHOWN) as batch:
                yield await by_batch(batch)
        else:
            local = EnvironmentClient.local(SHOWN, config=hosted.configs[SHOWN], services=hosted.services)
            async with EnvironmentClient(running.url, SHOWN) if way == "client" else local as env:
                yield await by_client(env)


def read(document: Any) -> Any:
    return document["observation"], document["reward"], document["done"], document["metadata"]


async def by_http(client: Any) -> Asked:
    assert (await client.post(f"{AT}/reset", json={})).json()["metadata"] == {"llm_response": "none"}

    async def step(action: str) -> Any:
        answer = (await client.post(f"{AT}/step", json={"action": {"action_str": action}})).json()
        return read(answer) if "observation" in answer else answer["detail"]

    return step


async def by_websocket(client: Any) -> Asked:
    assert (await client.ask("reset"))["data"]["metadata"] == {"llm_response": "none"}

    async def step(action: str) -> Any:
        data = (await client.ask("step", {"action_str": action}))["data"]
        return read(data) if "observation" in data else data["message"]

    return step


async def by_mcp(client: Any) -> Asked:
    async def call(name: str, arguments: Any) -> Any:
        params = {"name": name, "arguments": arguments, "session_id": session}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return (await client.post(f"{AT}/mcp", json=message)).json()

    message = {"jsonrpc": "2.0", "id": 0, "method": "openenv/session/create", "params": {}}
    session = (await client.post(f"{AT}/mcp", json=message)).json()["result"]["session_id"]
    assert (await call("reset", {}))["result"]["structuredContent"]["metadata"] == {"llm_response": "none"}

    async def step(action: str) -> Any:
        told = await call("step", {"action_str": action})
        return read(told["result"]["structuredContent"]) if "result" in told else told["error"]

    return step


async def by_client(env: Any) -> Asked:
    assert (await env.reset()).info == {"llm_response": "none"}

    async def step(action: str) -> Any:
        try:
            result = await env.step(action)
        except Exception as error:  # noqa: BLE001 - which it is says its text
            return str(error)
        return result.observation, result.reward, result.done, dict(result.info)

    return step


async def by_batch(batch: Any) -> Asked:
    assert (await batch.reset({"one": {}}))["one"].info == {"llm_response": "none"}

    async def step(action: str) -> Any:
        result = (await batch.step({"one": action}))["one"]
        return (
            str(result)
            if isinstance(result, Exception)
            else (result.observation, result.reward, result.done, result.info)
        )

    return step


async def by_vagen(client: Any) -> Asked:
    await client.post("/environments", json={"ids2configs": {"one": {"env_name": SHOWN}}})
    first = (await client.post("/batch/reset", json={"ids2seeds": {"one": 1}})).json()["results"]["one"]
    assert first[1]["llm_response"] == "none"

    async def step(action: str) -> Any:
        answer = await client.post("/batch/step", json={"ids2actions": {"one": action}})
        seen, reward, done, info = answer.json()["results"]["one"]
        if "error" in info:
            return info["error"]
        pictures = [
            {"media_type": "image/png", "base64": each["__pil_image__"]} for each in seen["multi_modal_data"]["<image>"]
        ]
        return {**seen, "multi_modal_data": {"<image>": pictures}}, reward, done, info

    return step


def by_gym(url: str, action: str) -> Any:
    env = GymEnvironment(SHOWN, url=url)
    with closing(env):
        assert env.reset(seed=1)[1] == {"llm_response": "none"}
        try:
            seen, reward, terminated, truncated, info = env.step(action)
        except Exception as error:  # noqa: BLE001 - which it is says its text
            return str(error)
        return seen, reward, terminated or truncated, info


async def test_infos_and_images_are_the_same_whatever_the_way(asked: Asked) -> None:
    assert await asked("ab") == (SEEN, 0.5, False, INFO)


async def test_a_text_with_more_places_than_images_is_the_environments_error(asked: Asked) -> None:
    told = await asked("a")
    for word in (SHOWN, "obs_str has 2 of <image>", "multi_modal_data has 1"):
        assert word in str(told)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("huge", ("an integer of more than 4,300 digits",)),
        ("huge reward", (SHOWN, "the reward must be a finite number")),
        ("leave", (SHOWN, "Left: for good")),
    ],
)
async def test_what_cannot_be_told_and_what_is_no_exception_are_the_environments_error(
    asked: Asked, action: str, words: tuple[str, ...]
) -> None:
    told = str(await asked(action))
    for word in words:
        assert word in told
