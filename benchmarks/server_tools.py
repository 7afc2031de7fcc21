"""Calls of a tool over MCP, beside the official SDK's server (FastMCP, as it was called) with the same tool.

The servers run at the same time and are asked by turns, so that a load of the machine is both's. The official client
takes more of a processor for a call than any of the servers; a bare client shows the servers' own share.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from server_process import processor_seconds, server

TOOLED = """
from prismenv import BaseEnvironment, environment_registry, tool

@environment_registry.register("environment_tooled")
class Tooled(BaseEnvironment):
    @tool
    async def echo(self, message: str) -> str:
        return message
"""
FASTMCP = """
import json, socket, sys, uvicorn

if sys.argv[1:] == ["fastmcp"]:
    from fastmcp import FastMCP
    server = FastMCP("echo")
    make = server.http_app
else:
    from mcp.server import MCPServer
    server = MCPServer("echo", log_level="ERROR")
    make = server.streamable_http_app

@server.tool()
async def echo(message: str) -> str:
    return message

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # so that Nagle's algorithm is off
listener.bind(("127.0.0.1", 0))
listener.listen(64)
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
uvicorn.Server(uvicorn.Config(make(), log_level="error")).run(sockets=[listener])
"""
ROUNDS = 5
ROUND_SECONDS = 1.0
AT_ONCE = 16


@dataclass
class Peer:
    """A server of the tool, and what calls of it took: in seconds, by client and how many were made at once.

    `mode` is the SDK's: `auto` takes the newest revision of the protocol that both know, `legacy` one with sessions.
    """

    name: str
    url: str
    pid: int
    mode: str = "auto"
    client: Any = None
    took: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    used: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)  # processor seconds, and calls


async def ask_for(peer: Peer, who: str, at_once: int, call: Callable[[], Awaitable[Any]]) -> None:
    """One round of calls."""
    took = peer.took.setdefault((who, at_once), [])
    known, before, end = len(took), processor_seconds(peer.pid), time.perf_counter() + ROUND_SECONDS

    async def one() -> None:
        while time.perf_counter() < end:
            begun = time.perf_counter()
            await call()
            took.append(time.perf_counter() - begun)

    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(one)
    seconds, calls = peer.used.get((who, at_once), (0.0, 0))
    peer.used[who, at_once] = (seconds + processor_seconds(peer.pid) - before, calls + len(took) - known)


async def bare_round(peer: Peer, request: bytes, at_once: int) -> None:
    """A round of the same calls as bytes over connections that stay open."""
    port = int(peer.url.rpartition(":")[2])
    free: list[anyio.abc.SocketStream] = []
    async with AsyncExitStack() as stack:
        free.extend(
            [await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port)) for _ in range(at_once)]
        )

        def numbered(connection: anyio.abc.SocketStream) -> bytes:
            return request.replace(b'"id": 100', b'"id": %d' % (100 + numbers[connection]))  # one of its own, as long

        numbers = {connection: number for number, connection in enumerate(free)}

        async def call() -> None:
            connection, seen = free.pop(), b""
            await connection.send(numbered(connection))
            while not whole(seen):
                seen += await connection.receive()
            assert b'"hello"' in seen, seen
            free.append(connection)

        await ask_for(peer, "bare client", at_once, call)


def whole(seen: bytes) -> bool:
    """Whether an answer is all there."""
    head, found, body = seen.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(found) and len(body) >= int(length)


async def bare_request(peer: Peer) -> bytes:
    """The bytes of a call in a new session, which `initialize` begins."""
    import httpx2  # noqa: PLC0415 - the SDK's own client, which is there where the SDK is

    told = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bare", "version": "1"}}
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(headers=headers) as http:
        address = f"{peer.url}/mcp"
        begun = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": told}
        headers["Mcp-Session-Id"] = (await http.post(address, json=begun)).headers["mcp-session-id"]
        noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await http.post(address, json=noted, headers=headers)
    params = {"name": "echo", "arguments": {"message": "hello"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 100, "method": "tools/call", "params": params})
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = ["POST /mcp HTTP/1.1", f"Host: {peer.url.partition('://')[2]}", *lines, f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


async def call_tools(peers: list[Peer]) -> None:
    """Ask all peers by turns."""
    from mcp import Client  # noqa: PLC0415 - the other figures do without

    async with AsyncExitStack() as stack:
        for peer in peers:
            peer.client = await stack.enter_async_context(Client(f"{peer.url}/mcp", mode=peer.mode))
            await peer.client.list_tools()
        requests = [await bare_request(peer) for peer in peers]
        for _ in range(ROUNDS):
            for at_once in (1, AT_ONCE):
                for peer in peers:
                    call = peer.client.call_tool
                    await ask_for(peer, "official SDK", at_once, lambda call=call: call("echo", {"message": "hello"}))
            for peer, request in zip(peers, requests, strict=True):
                await bare_round(peer, request, 1)
                await bare_round(peer, request, AT_ONCE)


def report_tools(peers: list[Peer]) -> None:
    """Print what calls of the tool took, and our ratio to each peer."""
    for who, at_once in peers[-1].took:
        print(f"tools/call, {who}, {at_once} at once:")
        ours = statistics.median(peers[0].took[who, at_once])
        for peer in peers:
            took = sorted(peer.took[who, at_once])
            middle, late = statistics.median(took), took[int(len(took) * 0.99)]
            seconds, calls = peer.used[who, at_once]
            cost = f"{seconds / calls * 1e6:.0f} µs of a processor a call"
            ratio = "" if peer is peers[0] else f"; ours is {ours / middle:.2f} of it"
            print(f"  {peer.name}: median {middle * 1000:.2f} ms, p99 {late * 1000:.2f} ms, {cost}{ratio}")


def tools(fastmcp_python: str | None) -> None:
    """The calls of a tool over MCP. `fastmcp_python` None: without the package of that name."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "environments").mkdir()
        (folder / "prismenv.yaml").touch()
        (folder / "environments" / "environment_tooled.py").write_text(TOOLED)
        ours = (sys.executable, "-m", "prismenv", "serve", "--workspace", str(folder), "--port", "0", "--json")
        peers = [
            Peer("prismenv", *stack.enter_context(server(*ours, "--environment", "environment_tooled"))),
            Peer("the SDK's, sessions", *stack.enter_context(server(sys.executable, "-c", FASTMCP)), "legacy"),
            Peer("the SDK's", *stack.enter_context(server(sys.executable, "-c", FASTMCP))),
        ]
        if fastmcp_python:
            words = (fastmcp_python, "-c", FASTMCP, "fastmcp")
            peers.append(Peer("fastmcp, sessions", *stack.enter_context(server(*words)), "legacy"))
        anyio.run(call_tools, peers)
        report_tools(peers)
