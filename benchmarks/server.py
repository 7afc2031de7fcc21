"""How quick the server of environments is: echo steps over WebSockets, beside a bare server of the same protocol, and
calls of a tool over MCP, beside the official SDK's server (FastMCP, as it was called) with the same tool.

    python benchmarks/server.py [--openenv-python PYTHON] [--fastmcp-python PYTHON] [--only steps|tools]
        [--sessions 1,8,64,512] [--idle 1000] [--coding]

Over MCP the servers run at the same time and are asked by turns, so that a load of the machine is both's. The official
client takes more of a processor for a call than any of the servers; a bare client shows the servers' own share.

Servers run as processes of their own, clients in this one. With a Python that has OpenEnv's package, its stock client
steps too. Times are of the machine as it is then: its load is printed with them. The processor time of a step depends
on it much less, and least of all as a multiple of the bare server's in the same run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from websockets.asyncio.client import connect

SECONDS = 4.0
CODE = "def solution(*args):\n    return sum(range(10))\n"
BARE = """
import json, socket, uvicorn

async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        said = json.loads(event["text"])["data"].get("message", "")
        seen = {"echoed_message": said, "message_length": len(said)}
        answer = {"type": "observation", "data": {"observation": seen, "reward": len(said) / 10, "done": False}}
        await send({"type": "websocket.send", "text": json.dumps(answer)})

listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_level="error", ws_per_message_deflate=False)
uvicorn.Server(config).run(sockets=[listener])
"""
STOCK = """
import asyncio, json, statistics, sys, time
from openenv.core.generic_client import GenericEnvClient

async def main(url, seconds):
    async with GenericEnvClient(base_url=url) as env:
        await env.reset(seed=1)
        took, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter()
            await env.step({"message": "hello"})
            took.append(time.perf_counter() - begun)
    print(json.dumps(statistics.median(took) * 1000))

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""

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


@contextmanager
def server(*words: str) -> Iterator[tuple[str, int]]:
    """A process that prints its address as JSON: the address, and its number."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], process.pid
    finally:
        process.terminate()
        process.wait()


async def session(address: str, end: float, took: list[float]) -> None:
    """One client that steps until then."""
    async with connect(address, proxy=None, compression=None) as connection:
        await connection.send('{"type": "reset", "data": {}}')
        await connection.recv()
        while time.perf_counter() < end:
            begun = time.perf_counter()
            await connection.send('{"type": "step", "data": {"message": "hello"}}')
            await connection.recv()
            took.append(time.perf_counter() - begun)


async def idle_sessions(address: str, sessions: int, pid: int) -> str:
    """Resident memory of the server while so many sessions are open, each of which stepped once."""
    async with AsyncExitStack() as stack:
        for _ in range(sessions):
            connection = await stack.enter_async_context(connect(address, proxy=None, compression=None))
            for said in ('{"type": "reset", "data": {}}', '{"type": "step", "data": {"message": "hello"}}'):
                await connection.send(said)
                await connection.recv()
        return memory_of(pid)


async def coding(url: str, times: int = 40) -> tuple[float, float]:
    """Median and 90th percentile of `step(code)` of a coding challenge, in milliseconds; each is an episode's first."""
    address = url.replace("http://", "ws://") + "/ws"
    took = []
    async with connect(address, proxy=None, compression=None) as connection:
        for number in range(times):
            reset = {"seed": number, "concept": "loops", "difficulty_level": "easy"}
            await connection.send(json.dumps({"type": "reset", "data": reset}))
            await connection.recv()
            said = json.dumps({"type": "step", "data": {"code": CODE}})
            begun = time.perf_counter()
            await connection.send(said)
            answer = json.loads(await connection.recv())
            took.append((time.perf_counter() - begun) * 1000)
            assert answer["type"] == "observation", answer
    return statistics.median(took), sorted(took)[int(times * 0.9)]


async def measure(address: str, sessions: int) -> tuple[float, float, float]:
    """Median and 99th percentile of a step in milliseconds, and steps a second."""
    took: list[float] = []
    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(sessions):
            tasks.start_soon(session, address, begun + SECONDS, took)
    elapsed = time.perf_counter() - begun
    ordered = sorted(took)
    return statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.99)] * 1000, len(ordered) / elapsed


async def opening(address: str, times: int = 200) -> float:
    """The median of connecting and resetting, in milliseconds."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        async with connect(address, proxy=None, compression=None) as connection:
            await connection.send('{"type": "reset", "data": {}}')
            await connection.recv()
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1000


def memory_of(pid: int) -> str:
    """Resident memory in MiB, where the system tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return "?"
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return f"{int(line.split()[1]) / 1024:.0f} MiB"


def processor_seconds(pid: int) -> float:
    """What the process used so far, where the system tells; else NaN."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return float("nan")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(name: str, url: str, pid: int, asked: argparse.Namespace, bare: dict[int, float]) -> dict[int, float]:
    """Measure one server and print what came of it; the processor time of a step by how many sessions, `bare` for 1."""
    address = url.replace("http://", "ws://") + "/ws"
    print(f"{name}: {memory_of(pid)} idle, connect and reset {anyio.run(opening, address):.2f} ms")
    found = {}
    for sessions in map(int, asked.sessions.split(",")):
        before = processor_seconds(pid)
        median, late, rate = anyio.run(measure, address, sessions)
        used = found[sessions] = (processor_seconds(pid) - before) / (rate * SECONDS) * 1e6
        times = f"median {median:.3f} ms, p99 {late:.2f} ms, {rate:,.0f} steps/s"
        of_bare = f", {used / bare[sessions]:.2f} of the bare one's" if bare else ""
        print(f"  {sessions:3} sessions: {times}, {used:.0f} µs of a processor a step{of_bare}")
    print(f"  afterwards {memory_of(pid)}")
    return found


def serving(environment: str) -> tuple[str, ...]:
    """The command that serves one environment."""
    return (sys.executable, "-m", "prismenv", "serve", "--environment", environment, "--port", "0", "--json")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openenv-python", help="a Python that has openenv or openenv-core")
    parser.add_argument("--fastmcp-python", help="a Python that has fastmcp")
    parser.add_argument("--only", choices=("steps", "tools"), help="only these")
    parser.add_argument("--sessions", default="1,8,64,512", help="how many at once, each for some seconds")
    parser.add_argument("--idle", type=int, default=1000, help="with how many open sessions memory is read; 0: not")
    parser.add_argument("--coding", action="store_true", help="step(code) of the coding challenge too")
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    if asked.only != "tools":
        steps(asked)
    if asked.only != "steps":
        tools(asked.fastmcp_python)
    print(f"load {os.getloadavg()[0]:.1f}")


def steps(asked: argparse.Namespace) -> None:
    """Echo steps over WebSockets, and what else is asked of that server."""
    with server(sys.executable, "-c", BARE) as (url, pid):
        bare = report("bare", url, pid, asked, {})
    with server(*serving("environment_echo")) as (url, pid):
        report("prismenv", url, pid, asked, bare)
        if asked.openenv_python:
            stock = [asked.openenv_python, "-c", STOCK, url, str(SECONDS)]
            done = subprocess.run(stock, capture_output=True, text=True, check=True)
            print(f"  OpenEnv's stock client: median {float(done.stdout):.3f} ms")
    if asked.idle:
        with server(*serving("environment_echo")) as (url, pid):
            address, before = url.replace("http://", "ws://") + "/ws", memory_of(pid)
            print(
                f"  {asked.idle} sessions: {before} before, {anyio.run(idle_sessions, address, asked.idle, pid)} with"
            )
    if asked.coding:
        with server(*serving("environment_coding_challenge")) as (url, _):
            median, late = anyio.run(coding, url)
            print(f"coding challenge: step(code) median {median:.1f} ms, p90 {late:.1f} ms")


if __name__ == "__main__":
    main()
