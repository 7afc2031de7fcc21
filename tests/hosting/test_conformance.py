"""`prismenv conformance`: ours passes all checks, and a server that is careless does not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from prismenv.conformance.check import Finding, Suite, examine
from prismenv.conformance.mcp import MCP
from prismenv.conformance.openenv import OPENENV
from prismenv.conformance.prismbench import PRISMBENCH
from prismenv.conformance.sample import sample
from prismenv.conformance.wire import Subject, Wire
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.serving import Server, listen, serve_there, url_of
from prismenv.words.errors import HostException

pytestmark = pytest.mark.anyio
ECHO, TOOLED = "environment_echo", "environment_tooled"
TOKEN = "token-of-the-server-0123456789"
SECONDS = 60.0


@pytest.fixture
def hosted(with_tools: HostedEnvironments) -> HostedEnvironments:
    return with_tools


async def found_by(
    suite: Suite, url: str, seconds: float = SECONDS, without: str = "", **subject: Any
) -> dict[str, Finding]:
    checks = [each for each in suite.checks if each.name != without]
    found = await examine(checks, lambda: Wire(Subject(url, answer_seconds=seconds, **subject)), seconds)
    return {each.check: each for each in found}


def failures(found: dict[str, Finding]) -> list[Finding]:
    return [each for each in found.values() if each.result != "passed"]


@pytest.mark.parametrize("name", [ECHO, TOOLED])
@pytest.mark.parametrize("suite", [OPENENV, MCP], ids=["openenv", "mcp"])
async def test_ours_passes(serve: Any, suite: Suite, name: str) -> None:
    action = {"action_str": "a"} if name == TOOLED else None
    async with serve(tokens=(TOKEN,)) as running:
        address = f"{running.url}/environments/{name}"
        # The sandbox here is a scripted one, which is not healthy; tests/cli asks a server with a real one.
        found = await found_by(suite, address, without="health", token=TOKEN, action=action)
        assert failures(found) == []
        assert all(each.sent for each in found.values())


async def test_ours_runs_prismbenchs_challenges(serve: Any) -> None:
    async with serve() as running:
        assert failures(await found_by(PRISMBENCH, running.url)) == []


async def test_nobody_at_the_address_is_no_finding(serve: Any) -> None:
    async with serve() as running:
        url = running.url
    with pytest.raises(HostException, match="cannot be reached"):
        await found_by(OPENENV, url)


class Careless:
    """A server of all three protocols that does what first comes to mind."""

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            event = await websocket.receive()
            if event["type"] == "websocket.disconnect":
                return
            try:
                kind = json.loads(event.get("text") or "")["type"]
            except (ValueError, TypeError, KeyError):
                await websocket.close(1011)
                return
            said = (
                {"episode_id": None, "step_count": 0}
                if kind == "state"
                else {"observation": {}, "reward": 0, "done": False}
            )
            await websocket.send_json({"type": "state" if kind == "state" else "observation", "data": said})

    async def mcp(self, request: Request) -> Response:
        asked = json.loads(await request.body() or b"{}")
        version = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "careless"}}
        result = version if asked.get("method") == "initialize" else {"tools": [{"name": "do"}]}
        headers = {"mcp-session-id": "one"}
        return JSONResponse({"jsonrpc": "2.0", "id": 0, "result": result}, headers=headers)

    async def challenge(self, request: Request) -> Response:
        await request.body()
        return JSONResponse({"success": True, "data_trail": [{"success": True}]})

    def routes(self) -> list[Any]:
        return [
            Route("/health", self.health),
            WebSocketRoute("/ws", self.socket),
            Route("/mcp", self.mcp, methods=["POST", "DELETE"]),
            Route("/run-challenge", self.challenge, methods=["POST"]),
        ]


@asynccontextmanager
async def careless() -> AsyncIterator[str]:
    application = Starlette(routes=Careless().routes())
    server = Server(uvicorn.Config(application, ws="websockets-sansio", lifespan="off", log_config=None))
    listener = listen("127.0.0.1", 0, open_to_all=False)
    done = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_there, server, listener, done)
        yield url_of(listener)
        server.should_exit = True
        await done.wait()


async def test_a_careless_server_of_openenv_fails_and_is_told_what_was_sent_expected_and_got() -> None:
    async with careless() as url:
        found = await found_by(OPENENV, url, action={"message": "hello"}, seconds=20.0)
    failed = {each.check: each for each in failures(found)}
    wrong = {"health", "schema", "episode_id", "step", "invalid_json", "unknown_type", "unknown_key", "wrong_action"}
    assert wrong | {"binary", "no_object", "close", "http_reset", "http_step", "mcp_message"} <= set(failed)
    assert found["reset"].result == "passed"
    assert all(each.result == "failed" and each.sent and each.expected for each in failed.values())
    health = failed["health"]
    assert (health.sent, health.expected, health.got) == ("GET /health", '{"status": "healthy"}', '200 {"ok":true}')
    assert (failed["step"].sent, failed["step"].expected) == ('{"type": "state"}', "a step_count of 1")
    assert (failed["invalid_json"].sent, "closed" in failed["invalid_json"].got) == ("{", True)


async def test_a_careless_server_of_mcp_and_of_prismbench_fails() -> None:
    async with careless() as url:
        agents, challenges = await found_by(MCP, url), await found_by(PRISMBENCH, url)
    wrong = {"version", "notification", "ping", "tools", "unknown_method", "bad_json", "unknown_session", "origin"}
    assert wrong <= {each.check for each in failures(agents)}
    assert agents["initialize"].result == "passed"
    assert {"challenge", "missing", "unknown_environment", "bad_json"} <= {each.check for each in failures(challenges)}


async def test_a_server_that_says_nothing_fails_in_time() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def hold(stream: Any) -> None:
        async with stream:
            async for _ in stream:
                pass

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hold)
        check = next(each for each in OPENENV.checks if each.name == "health")
        with pytest.raises(HostException, match="nothing came in time"):
            await examine([check], lambda: Wire(Subject(f"http://127.0.0.1:{port}", answer_seconds=0.2)), 0.5)
        tasks.cancel_scope.cancel()


class Inner(BaseModel):
    number: int = Field(gt=3)


class Whole(BaseModel):
    text: str = Field(min_length=8, max_length=9)
    inner: Inner
    several: list[Inner] = Field(min_length=2)
    either: int | None
    flag: bool
    left_out: str = "a"


def test_the_least_action_of_a_schema_is_one_that_it_takes() -> None:
    made = sample(Whole.model_json_schema())
    assert Whole.model_validate(made).several == [Inner(number=4), Inner(number=4)]
    assert "left_out" not in made
    endless = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "minItems": 9, "items": {"$ref": "#/$defs/a"}}}}
    assert sample(endless) is None


KEYS = ["type", "properties", "required", "$ref", "items", "enum", "default", "anyOf", "$defs"]
WORDS = st.sampled_from(["object", "string", "array", "#/$defs/type", "x"])
SCHEMAS = st.dictionaries(
    st.sampled_from(KEYS),
    st.recursive(
        st.none() | WORDS, lambda inner: st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, inner), max_leaves=5
    ),
)


@given(SCHEMAS)
def test_a_schema_that_is_none_is_read_or_refused_and_never_for_ever(schema: dict[str, Any]) -> None:
    sample(schema)
