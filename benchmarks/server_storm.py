"""A thousand sessions for minutes, some of whose clients vanish, stall or flood: what the others notice of it.

    python benchmarks/server_storm.py [--minutes 5] [--sessions 1000]

Of a hundred clients 85 step and check that each answer is their own; 5 vanish in the middle of a step and come again;
5 send long messages and take no answers; 5 send hundreds of messages before they take the first answer. Printed are the
times of the first kind, the server's memory and open files on the way, and what is left when all have gone.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from server import serving
from server_process import memory_of, processor_seconds, server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

THINKING_SECONDS = 0.5
FLOOD = 300
STALL_BYTES = 200_000
KINDS = ("steady",) * 85 + ("vanishing",) * 5 + ("stalling",) * 5 + ("flooding",) * 5


@dataclass(slots=True)
class Storm:
    """What is known of it so far."""

    address: str
    end: float
    took: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


async def ask(connection: ClientConnection, said: str) -> str:
    """Step, and what was heard."""
    await connection.send(json.dumps({"type": "step", "data": {"message": said}}))
    return str(json.loads(await connection.recv())["data"]["observation"]["echoed_message"])


async def steady(storm: Storm, name: str) -> None:
    """Step at leisure, and compare."""
    async with connect(storm.address, proxy=None, compression=None, open_timeout=60) as connection:
        await connection.send('{"type": "reset", "data": {}}')
        await connection.recv()
        number = 0
        while time.perf_counter() < storm.end:
            number += 1
            said, begun = f"{name} {number}", time.perf_counter()
            heard = await ask(connection, said)
            storm.took.append(time.perf_counter() - begun)
            storm.counts["another's answer"] += heard != said
            await anyio.sleep(THINKING_SECONDS)


async def vanishing(storm: Storm, _name: str) -> None:
    """Leave without a word while an answer is on its way."""
    while time.perf_counter() < storm.end:
        async with connect(storm.address, proxy=None, compression=None, open_timeout=60) as connection:
            await connection.send('{"type": "reset", "data": {}}')
            await connection.recv()
            await connection.send('{"type": "step", "data": {"message": "never heard"}}')
            connection.transport.abort()
        storm.counts["vanished"] += 1
        await anyio.sleep(THINKING_SECONDS)


async def stalling(storm: Storm, _name: str) -> None:
    """Take no answers until the server leaves."""
    said = json.dumps({"type": "step", "data": {"message": "x" * STALL_BYTES}})
    while time.perf_counter() < storm.end:
        async with connect(storm.address, proxy=None, compression=None, open_timeout=60, max_queue=1) as connection:
            try:
                await connection.send('{"type": "reset", "data": {}}')
                with anyio.move_on_after(max(0.0, storm.end - time.perf_counter())):
                    while True:
                        await connection.send(said)
            except ConnectionClosed:
                storm.counts["stalled ones left by the server"] += 1
            connection.transport.abort()


async def flooding(storm: Storm, name: str) -> None:
    """Send much before taking anything, and compare."""
    options: dict[str, Any] = {"max_queue": None, "ping_interval": None}  # its pings would wait behind what it said
    async with connect(storm.address, proxy=None, compression=None, open_timeout=60, **options) as connection:
        await connection.send('{"type": "reset", "data": {}}')
        await connection.recv()
        while time.perf_counter() < storm.end:
            for number in range(FLOOD):
                await connection.send(json.dumps({"type": "step", "data": {"message": f"{name} {number}"}}))
            for number in range(FLOOD):
                heard = json.loads(await connection.recv())["data"]["observation"]["echoed_message"]
                storm.counts["another's answer"] += heard != f"{name} {number}"
            storm.counts["flooded"] += FLOOD
            await anyio.sleep(10 * THINKING_SECONDS)


CLIENTS = {"steady": steady, "vanishing": vanishing, "stalling": stalling, "flooding": flooding}


async def client(storm: Storm, number: int, sessions: int) -> None:
    """One of them; what ends it before its time is counted."""
    kind = KINDS[number * len(KINDS) // sessions]
    await anyio.sleep(number * 0.01)
    try:
        await CLIENTS[kind](storm, f"client {number}")
    except (OSError, ConnectionClosed, TimeoutError) as error:
        storm.counts[f"{kind} ended by {type(error).__name__}"] += 1


async def watch(storm: Storm, pid: int) -> None:
    """Say how the server is, now and then."""
    while time.perf_counter() < storm.end:
        await anyio.sleep(min(20.0, max(0.1, storm.end - time.perf_counter())))
        print(f"  {memory_of(pid)}, {files_of(pid)} open files, {len(storm.took):,} steps heard", flush=True)


def files_of(pid: int) -> str:
    """How many files the process has open, where the system tells."""
    folder = Path(f"/proc/{pid}/fd")
    return str(len(list(folder.iterdir()))) if folder.exists() else "?"


async def run(url: str, pid: int, sessions: int, seconds: float) -> None:
    """The storm, and what is left of it."""
    storm = Storm(url.replace("http://", "ws://") + "/ws", time.perf_counter() + seconds)
    print(f"before: {memory_of(pid)}, {files_of(pid)} open files")
    before = processor_seconds(pid)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, storm, pid)
        for number in range(sessions):
            tasks.start_soon(client, storm, number, sessions)
    ordered = sorted(storm.took)
    tail = {share: ordered[int(len(ordered) * share)] * 1000 for share in (0.99, 0.999)}
    print(f"steps of the steady: {len(ordered):,}, median {statistics.median(ordered) * 1000:.2f} ms, ", end="")
    print(f"p99 {tail[0.99]:.1f} ms, p99.9 {tail[0.999]:.1f} ms")
    print(f"counts: {dict(storm.counts)}; {processor_seconds(pid) - before:.0f} s of a processor")
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        for _ in range(120):
            page = (await http.get("/metrics")).text
            taken = next(line.split()[1] for line in page.splitlines() if line.startswith("prismenv_environment_insta"))
            if float(taken) == 0:
                break
            await anyio.sleep(1)
    print(f"afterwards: {memory_of(pid)}, {files_of(pid)} open files, {taken} places taken")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--sessions", type=int, default=1000)
    asked = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {asked.minutes:g} minutes", file=sys.stdout)
    with server(*serving("environment_echo")) as (url, pid):
        anyio.run(run, url, pid, asked.sessions, asked.minutes * 60)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
