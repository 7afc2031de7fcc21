"""How quick the server of environments is: echo steps over WebSockets, beside a bare server of the same protocol, and
calls of a tool over MCP, beside the official SDK's server (FastMCP, as it was called) with the same tool.

    python benchmarks/server.py [--openenv-python PYTHON] [--fastmcp-python PYTHON] [--only steps|tools]
        [--sessions 1,8,64,512] [--idle 1000] [--coding]

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
import time
from contextlib import AsyncExitStack

import anyio
import anyio.abc
from server_process import memory_of, processor_seconds, server
from server_tools import tools
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
