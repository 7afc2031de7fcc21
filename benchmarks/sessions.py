"""What interpreters that stay open cost, in each kind of isolation, measured in one run.

    python benchmarks/sessions.py [--calls N] [--open N] [--kinds full,userns,alone,portable]

Prints one JSON document: milliseconds of a call in an open session (median, 95th percentile, and CPU of parent and
child together), of opening one with its first call, and what many open sessions take of the machine's memory, each
having made a call: proportional memory of all their processes, and by how much the memory that is available fell.
The plain tool is an interpreter that reads code from a pipe without a jail, limits or a reader of hostile answers.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SessionSettings
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.processes import TICKS, descendants
from prismenv.isolation.sessionkeeper import SessionKeeper

CODE = "total = 0\nfor number in range(10):\n    total += number\nprint(total)\ntotal"
PLAIN = """
import sys
names = {}
for line in sys.stdin:
    exec(compile(eval(line), "<call>", "exec"), names)
    print("done", flush=True)
"""
MOST = SessionSettings(most=10_000, memory_bytes=6 * 2**30)


def made(form: str) -> Sandbox:
    """A sandbox of that form with room for many sessions."""
    keeper = SessionKeeper(MOST, SystemClock())
    if form == "portable":
        return PortableSandbox(1, sessions=keeper)
    return JailedSandbox(1, form=form, sessions=keeper)  # type: ignore[arg-type]  # one of FORMS


def cpu_seconds() -> float:
    """Of this process and all below it, ended or not."""
    total = 0.0
    for pid in descendants(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / TICKS
    return total


def memory_bytes() -> tuple[int, int]:
    """Proportional memory of all processes below this one, and what the machine has left."""
    total = 0
    for pid in descendants(os.getpid())[1:]:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    found = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return total, next(int(line.split()[1]) for line in found if line.startswith("MemAvailable")) * 1024


def spread(times: list[float]) -> dict[str, float]:
    """Of milliseconds."""
    ordered = sorted(times)
    return {"median": round(statistics.median(ordered), 3), "p95": round(ordered[int(len(ordered) * 0.95)], 3)}


def plain_call(calls: int) -> dict[str, float]:
    """The plain tool's."""
    with subprocess.Popen([sys.executable, "-u", "-c", PLAIN], stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            process.stdin.write(f"{CODE!r}\n")
            while process.stdout.readline() != "done\n":
                pass
            times.append((time.perf_counter() - begun) * 1000)
        process.stdin.close()
    return spread(times)


async def calls_of(form: str, calls: int) -> dict[str, Any]:
    """Calls in one open session."""
    async with made(form) as sandbox, await sandbox.open() as session:
        for _ in range(20):
            await session.execute(CODE)
        times, before = [], cpu_seconds()
        for _ in range(calls):
            begun = time.perf_counter()
            done = await session.execute(CODE)
            times.append((time.perf_counter() - begun) * 1000)
            assert done.result == "45", done
        return {"call_ms": spread(times), "call_cpu_ms": round((cpu_seconds() - before) * 1000 / calls, 3)}


async def opened_of(form: str, count: int) -> dict[str, Any]:
    """Many open ones at once, each with a call."""
    async with made(form) as sandbox:
        first = await sandbox.open()
        await first.execute(CODE)
        held, left = memory_bytes()
        times, sessions = [], []
        for _ in range(count):
            begun = time.perf_counter()
            session = await sandbox.open()
            await session.execute(CODE)
            times.append((time.perf_counter() - begun) * 1000)
            sessions.append(session)
        for session in sessions:
            assert (await session.execute("total")).result == "45"
        now, still_left = memory_bytes()
        return {
            "open_and_first_call_ms": spread(times),
            "open_at_once": count,
            "all_sessions_gb": round((now - held) / 2**30, 3),
            "available_fell_by_gb": round((left - still_left) / 2**30, 3),
        }


async def measured(form: str, calls: int, count: int) -> dict[str, Any]:
    """All figures of one form."""
    return {**await calls_of(form, calls), **await opened_of(form, count)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--open", type=int, default=500)
    parser.add_argument("--kinds", default=",".join([*FORMS, "portable"]))
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": platform.platform(), "plain_call_ms": plain_call(asked.calls)}
    run: Callable[..., Any] = anyio.run
    for form in asked.kinds.split(","):
        problem = problem_of(form) if form in FORMS else ""
        found[form] = {"missing": problem} if problem else run(measured, form, asked.calls, asked.open)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
