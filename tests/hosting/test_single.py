"""`create_fastapi_app`: a server of one environment, whatever its author wrote, under a server of somebody else's."""

import functools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
import uvicorn
from pydantic import BaseModel
from starlette.testclient import TestClient

from prismenv import (
    Action,
    BaseEnvironment,
    ConfigurationException,
    EnvironmentClient,
    EnvironmentConfig,
    Observation,
    State,
    create_fastapi_app,
)

pytestmark = pytest.mark.anyio
ECHO = "environment_echo"
TOKEN = "token-of-the-server-0123456789"
HERE = ("127.0.0.1", 50_000)


class Add(Action):
    number: int


class Sum(Observation):
    total: int = 0


class Summing(BaseEnvironment):
    """Adds up. Synchronous, with a state that changes."""

    def reset(self, start: int = 0, episode_id: str | None = None) -> Sum:
        self._state = State(episode_id=episode_id)
        self._total = start
        return Sum(total=start)

    def step(self, action: Add) -> Sum:
        self._state.step_count += 1
        self._total += action.number
        return Sum(total=self._total, reward=float(action.number), done=self._total > 9)

    @property
    def state(self) -> State:
        return self._state


@dataclass
class OldAction:
    number: int


@dataclass
class OldObservation:
    total: int
    done: bool = False
    reward: float | None = None


class StockState(BaseModel):
    episode_id: str | None = None
    step_count: int = 0
    total: int = 0


class StockEnvironment:
    """As OpenEnv's authors write one: no base class of ours, and its own signatures."""

    made = closed = 0

    def __init__(self) -> None:
        type(self).made += 1
        self._state = StockState()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> OldObservation:
        self._state = StockState(episode_id=episode_id, total=kwargs.get("start", 0))
        return OldObservation(self._state.total)

    def step(self, action: OldAction, timeout_s: float | None = None, **kwargs: Any) -> OldObservation:
        self._state.step_count += 1
        self._state.total += action.number
        return OldObservation(self._state.total, self._state.total > 9, float(action.number))

    @property
    def state(self) -> StockState:
        return self._state

    def close(self) -> None:
        type(self).closed += 1


class AsyncEnvironment:
    """Says nothing of its types, and awaits."""

    async def reset(self) -> tuple[dict[str, int], dict[str, Any]]:
        self.total = 0
        return {"total": 0}, {}

    async def step(self, action: Any) -> tuple[dict[str, int], float, bool, dict[str, Any]]:
        self.total += action.number
        return {"total": self.total}, float(action.number), self.total > 9, {"llm_response": "fine"}


@pytest.fixture
def services(hosted: Any) -> Any:
    return hosted.services


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    StockEnvironment.made = StockEnvironment.closed = 0
    yield
    assert StockEnvironment.made == StockEnvironment.closed


def opened(app: Any) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1:8000", client=HERE)


FORMS = {
    "a class of ours": (Summing, None, None),
    "a class of ours and its types": (Summing, Add, Sum),
    "a class of OpenEnv's form": (StockEnvironment, OldAction, OldObservation),
    "a class that says its types": (StockEnvironment, None, None),
    "a function that makes one": (functools.partial(StockEnvironment), OldAction, OldObservation),
    "an async class and its types": (AsyncEnvironment, Add, Sum),
    "an object of ours": (Summing("environment_summing"), Add, Sum),
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_its_author_wrote_is_served_at_the_root(form: str, services: Any) -> None:
    env, action, observation = FORMS[form]
    with opened(create_fastapi_app(env, action, observation, services=services)) as client:
        assert client.get("/schema").json()["action"]["required"] == ["number"]
        assert client.post("/reset", json={"seed": 1}).json() == {
            "observation": {"total": 0},
            "reward": None,
            "done": False,
        }
        step = client.post("/step", json={"action": {"number": 4}}).json()
        assert (step["observation"], step["reward"], step["done"]) == ({"total": 4}, 4.0, False)
        assert client.post("/step", json={"action": {"number": "x"}}).status_code == 422
        assert client.get("/state").json()["step_count"] == 1
        with client.websocket_connect("ws://127.0.0.1:8000/ws") as session:
            session.send_json({"type": "reset", "data": {}})
            assert session.receive_json()["data"]["observation"] == {"total": 0}
            session.send_json({"type": "step", "data": {"number": 10}})
            assert session.receive_json()["data"]["done"] is True


def test_names_and_schemas_are_told(services: Any) -> None:
    with opened(create_fastapi_app(StockEnvironment, services=services)) as client:
        told = client.get("/metadata").json()
        assert told["name"] == "stock_environment"
        assert told["description"].startswith("As OpenEnv's authors")
        assert client.get("/schema").json()["state"]["properties"].keys() == {"episode_id", "step_count", "total"}
        assert client.post("/reset", json={"start": 3}).json()["observation"] == {"total": 3}
        assert client.get("/state").json()["total"] == 3
        assert client.get("/health").json()["environments"].keys() == {"stock_environment"}
    with opened(create_fastapi_app(Summing, env_name="mine", state_cls=StockState, services=services)) as client:
        assert client.get("/metadata").json()["name"] == "mine"
        assert "total" in client.get("/schema").json()["state"]["properties"]


def test_an_environment_of_the_workspace_is_served_by_its_name(services: Any) -> None:
    with opened(create_fastapi_app(ECHO, services=services)) as client:
        client.post("/reset", json={})
        assert client.post("/step", json={"action": {"message": "hi"}}).json()["reward"] == pytest.approx(0.2)


def test_routes_of_the_authors_own_stay_in_front(services: Any) -> None:
    from starlette.responses import PlainTextResponse

    app = create_fastapi_app(Summing, services=services)
    app.add_route("/metadata", lambda _request: PlainTextResponse("mine"))
    for _ in range(2):  # it may be started again
        with opened(app) as client:
            assert client.get("/metadata").text == "mine"
            assert client.post("/reset", json={}).status_code == 200


def test_without_a_token_this_machine_alone_is_answered(services: Any) -> None:
    app = create_fastapi_app(Summing, services=services)
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("192.0.2.7", 50_000)) as far:
        assert far.get("/health").status_code == 403
    with TestClient(app, base_url="http://evil.example", client=HERE) as renamed:
        assert renamed.post("/reset", json={}).status_code == 403
    with TestClient(create_fastapi_app(Summing, services=services, tokens=iter([TOKEN]))) as guarded:
        assert guarded.post("/reset", json={}).status_code == 401
        allowed = guarded.post("/reset", json={}, headers={"Authorization": f"Bearer {TOKEN}"})
        assert allowed.status_code == 200
    with TestClient(create_fastapi_app(Summing, services=services, insecure=True)) as open_to_all:
        assert open_to_all.post("/reset", json={}).status_code == 200


def test_instances_are_as_many_as_allowed(services: Any) -> None:
    app = create_fastapi_app(Summing, services=services, max_concurrent_envs=2)
    with opened(app) as client:
        for name in "ab":
            assert client.post("/reset", json={"episode_id": name}).status_code == 200
        metrics = client.get("/metrics").text
        assert 'prismenv_http_requests_total{path="/reset",status="200"} 2.0' in metrics


def test_an_object_serves_one_session_after_the_other_and_is_closed_at_the_end(services: Any) -> None:
    with opened(create_fastapi_app(StockEnvironment(), OldAction, OldObservation, services=services)) as client:
        for start in (1, 2):
            with client.websocket_connect("ws://127.0.0.1:8000/ws") as session:
                session.send_json({"type": "reset", "data": {"start": start}})
                assert session.receive_json()["data"]["observation"] == {"total": start}
                session.send_json({"type": "step", "data": {"number": 1}})
                assert session.receive_json()["data"]["observation"] == {"total": start + 1}
                session.send_json({"type": "close"})
                assert session.receive()["type"] == "websocket.close"
        assert (StockEnvironment.made, StockEnvironment.closed) == (1, 0)
    assert StockEnvironment.closed == 1


@pytest.mark.parametrize("env", [3, dict, EnvironmentConfig, None])
def test_what_is_no_environment_is_told_at_once(env: Any, services: Any) -> None:
    with pytest.raises(ConfigurationException) as told:
        create_fastapi_app(env, services=services)
    assert told.value.code == "bad_environment"


@asynccontextmanager
async def under_uvicorn(app: Any) -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="on", ws="websockets-sansio", log_config=None, log_level="critical")
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as group:
            group.start_soon(server._serve, [listener])
            with anyio.fail_after(60):
                while not server.started:  # noqa: ASYNC110 - it has no event
                    await anyio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


async def test_any_asgi_server_serves_it(services: Any) -> None:
    app = create_fastapi_app(StockEnvironment, OldAction, OldObservation, services=services)
    async with under_uvicorn(app) as url, EnvironmentClient(url, reconnect_seconds=30) as env:
        await env.reset(seed=1)
        assert (await env.step(OldAction(3))).observation == {"total": 3}
        assert (await env.state())["total"] == 3
