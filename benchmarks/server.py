"""How quick the server of environments is: echo steps over WebSockets, beside a bare server of the same protocol.

    python benchmarks/server.py [--openenv-python PYTHON]

Servers run as processes of their own, clients in this one. With a Python that has OpenEnv's package, its stock client
steps too. Times are of the machine as it is then: its load is printed with them. The processor time of a step does not
depend on it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from websockets.asyncio.client import connect

SECONDS = 4.0
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


def report(name: str, url: str, path: str, pid: int) -> None:
    """Measure one server and print what came of it."""
    address = url.replace("http://", "ws://") + path
    print(f"{name}: {memory_of(pid)} idle, connect and reset {anyio.run(opening, address):.2f} ms")
    for sessions in (1, 8, 64):
        before = processor_seconds(pid)
        median, late, rate = anyio.run(measure, address, sessions)
        used = (processor_seconds(pid) - before) / (rate * SECONDS) * 1e6
        times = f"median {median:.3f} ms, p99 {late:.2f} ms, {rate:,.0f} steps/s"
        print(f"  {sessions:3} sessions: {times}, {used:.0f} µs of a processor a step")
    print(f"  afterwards {memory_of(pid)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openenv-python", help="a Python that has openenv or openenv-core")
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    with server(sys.executable, "-c", BARE) as (url, pid):
        report("bare", url, "/ws", pid)
    words = (sys.executable, "-m", "prismenv", "serve", "--environment", "environment_echo", "--port", "0", "--json")
    with server(*words) as (url, pid):
        report("prismenv", url, "/ws", pid)
        if asked.openenv_python:
            stock = [asked.openenv_python, "-c", STOCK, url, str(SECONDS)]
            done = subprocess.run(stock, capture_output=True, text=True, check=True)
            print(f"  OpenEnv's stock client: median {float(done.stdout):.3f} ms")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
