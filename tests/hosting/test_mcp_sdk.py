"""The official SDK's client, as its users have it, on a server of ours."""

from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from prismenv.engine.host.opening import HostedEnvironments

pytestmark = pytest.mark.anyio
TOOLED = "environment_tooled"
TOKEN = "token-of-the-server-0123456789"


@pytest.fixture
def hosted(with_tools: HostedEnvironments) -> HostedEnvironments:
    return with_tools


def address(running: Any) -> str:
    return f"{running.url}/environments/{TOOLED}/mcp"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_it_initialises_lists_calls_reads_and_leaves(serve: Any, mode: str, until: Any) -> None:
    async with serve() as running:
        async with Client(address(running), mode=mode) as client:
            assert client.server_info is not None
            assert client.server_info.name == TOOLED
            assert client.protocol_version == "2025-11-25"
            assert "Keep your things in order." in str(client.instructions)
            tools = {each.name: each for each in (await client.list_tools()).tools}
            assert tools["put"].description == "Put a thing into the drawer."
            assert {"reset", "step", "state", "close"} <= set(tools)
            first = await client.call_tool("reset", {"seed": 1, "things": ["pen"]})
            assert first.structured_content == {"observation": {"things": 1}, "reward": None, "done": False}
            assert (await client.call_tool("put", {"thing": "cup", "times": 2})).structured_content == {"result": 3}
            assert (await client.call_tool("step", {"action_str": "end"})).structured_content["done"] is True
            failed = await client.call_tool("look", {})
            assert failed.is_error
            assert "over" in failed.content[0].text
            uris = [str(each.uri) for each in (await client.list_resources()).resources]
            assert "step_count" in (await client.read_resource(uris[0])).contents[0].text
            assert (await client.list_resource_templates()).resource_templates == []
            with pytest.raises(MCPError, match="did you mean 'put'"):
                await client.call_tool("putt", {})
            assert running.host.active == 1
        await until(lambda: running.host.active == 0)


async def test_it_hears_progress_and_can_give_up_a_call(serve: Any, counts: Any, until: Any) -> None:
    heard: list[Any] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with serve() as running, Client(address(running)) as client:
        await client.call_tool("reset", {})
        assert (await client.call_tool("count", {"to": 2}, progress_callback=hear)).structured_content == {"result": 2}
        assert heard == [(1, 2, "at 1"), (2, 2, "at 2")]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.call_tool("hang", {}, progress_callback=hear))
            await until(lambda: counts["hanging"] == 1 and len(heard) == 3)
            tasks.cancel_scope.cancel()
        await until(lambda: counts["cancelled"] == 1)
        await client.call_tool("reset", {})


async def test_many_sessions_at_once_keep_to_themselves_and_a_session_takes_many_calls(serve: Any) -> None:
    async def agent(running: Any, number: int) -> None:
        async with Client(address(running)) as client:
            await client.call_tool("reset", {"things": [f"own-{number}"]})
            async with anyio.create_task_group() as calls:
                for _ in range(8):
                    calls.start_soon(client.call_tool, "put", {"thing": f"own-{number}"})
            looked = (await client.call_tool("look", {})).structured_content
            assert looked == {"things": [f"own-{number}"] * 9}

    async with serve() as running, anyio.create_task_group() as agents:
        for number in range(4):
            agents.start_soon(agent, running, number)


async def test_it_needs_a_token_where_one_is_asked_for(serve: Any) -> None:
    async with serve(tokens=(TOKEN,)) as running:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
            Client(streamable_http_client(address(running), http_client=http)) as client,
        ):
            assert (await client.list_tools()).tools
        with pytest.raises((MCPError, ExceptionGroup)):
            async with Client(address(running)):
                pass
