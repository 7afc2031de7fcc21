"""What the sandbox's service costs over the sandbox in process, on the loopback, measured by turns in one run.

    python benchmarks/sandbox_service.py [--runs N] [--rounds N]

Prints one JSON document: median latency of one call in process and through the service, with split and shared verdicts;
judged runs per second with a worker for each processor, in process, call by call and in batches; and, with a sandbox
that judges nothing, the CPU milliseconds that a call costs the service and its client, and its round trip: what the
service adds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from server_process import processor_seconds

from prismenv import JudgeCase, Sandbox, Verdict
from prismenv.server.sandboxes.serving import SandboxServeSettings, ServedSandbox, running_sandbox_service
from prismenv.testing.jail import ScriptedSandbox
from sandbox import SOLUTION, TESTS

TICKS = os.sysconf("SC_CLK_TCK")
CALLERS = 8


@dataclass(frozen=True)
class Service:
    """Another process of this file."""

    url: str
    process_id: int

    def cpu_seconds(self) -> float:
        """What it used so far, without its children."""
        return processor_seconds(self.process_id)


@contextmanager
def service(kind: str) -> Iterator[Service]:
    """The service in a process of its own: of the real sandbox, or of one that judges nothing."""
    with subprocess.Popen([sys.executable, __file__, "--serve", kind], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield Service(started.stdout.readline().strip(), started.pid)
        finally:
            started.terminate()


@asynccontextmanager
async def served(kind: str) -> AsyncIterator[ServedSandbox]:
    """What is served."""
    if kind == "scripted":
        verdict = Verdict(outcome="passed", tests_passed_num=5, verdict_mode="split", output="All tests passed.")
        yield ServedSandbox(ScriptedSandbox(lambda _solution, _tests: verdict), os.cpu_count() or 1)
    else:
        async with Sandbox() as sandbox:
            yield ServedSandbox(sandbox, os.cpu_count() or 1)


async def serve(kind: str) -> None:
    """Until it is told to end; says its address."""
    async with served(kind) as what, running_sandbox_service(what, SandboxServeSettings(port=0)) as running:
        print(running.url, flush=True)
        await anyio.sleep_forever()


async def latency(sandbox: Sandbox, runs: int) -> float:
    """Median milliseconds of one call after the other."""
    took = []
    for _ in range(runs):
        begun = time.perf_counter()
        verdict = await sandbox.judge(SOLUTION, TESTS)
        took.append(time.perf_counter() - begun)
        assert verdict.success, verdict.output
    return statistics.median(took) * 1000


async def rate(sandbox: Sandbox, runs: int) -> float:
    """Judged runs per second, CALLERS at once."""
    left = iter(range(runs))

    async def caller() -> None:
        for _ in left:
            assert (await sandbox.judge(SOLUTION, TESTS)).success

    begun = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(caller)
    return runs / (time.perf_counter() - begun)


async def batch_rate(sandbox: Sandbox, runs: int) -> float:
    """Judged runs per second, in batches."""
    cases = [JudgeCase(solution=SOLUTION, tests=TESTS)] * runs
    begun = time.perf_counter()
    assert all(verdict.success for verdict in await sandbox.judge_batch(cases))
    return runs / (time.perf_counter() - begun)


async def share(at: Service, runs: int) -> dict[str, float]:
    """CPU milliseconds of a call in the service and in the client, where nothing is judged."""
    found: dict[str, float] = {}
    async with Sandbox(url=at.url) as sandbox:
        for name, work in (("call", rate), ("batch", batch_rate)):
            await work(sandbox, 200)
            there, here = at.cpu_seconds(), time.process_time()
            await work(sandbox, runs)
            found[f"service_ms_per_{name}"] = round((at.cpu_seconds() - there) / runs * 1000, 3)
            found[f"client_ms_per_{name}"] = round((time.process_time() - here) / runs * 1000, 3)
        found["round_trip_ms"] = round(await latency(sandbox, runs), 3)
    return found


async def compared(url: str, mode: Any, runs: int, rounds: int) -> dict[str, float]:
    """Medians over the rounds; in each round everything has its turn."""
    told: dict[str, list[float]] = {}
    async with Sandbox(verdict=mode) as here, Sandbox(url=url, verdict=mode) as there:
        await latency(here, 20)
        await latency(there, 20)
        for _ in range(rounds):
            one, other = await latency(here, runs), await latency(there, runs)
            measured = {
                "latency_ms_in_process": one,
                "latency_ms_service": other,
                "latency_ms_more": other - one,
                "runs_per_second_in_process": await rate(here, 4 * runs),
                "runs_per_second_service": await rate(there, 4 * runs),
                "runs_per_second_service_batch": await batch_rate(there, 4 * runs),
            }
            for name, value in measured.items():
                told.setdefault(name, []).append(value)
    return {name: round(statistics.median(values), 2) for name, values in told.items()}


async def measure(runs: int, rounds: int) -> dict[str, Any]:
    """All of it."""
    found: dict[str, Any] = {"python": platform.python_version(), "processors": os.cpu_count()}
    found["load_before"] = os.getloadavg()[0]
    with service("scripted") as scripted:
        found["share"] = await share(scripted, 10 * runs)
    with service("real") as real:
        for mode in ("split", "shared"):
            found[mode] = await compared(real.url, mode, runs, rounds)
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=("scripted", "real"))
    options = parser.parse_args()
    if options.serve:
        anyio.run(serve, options.serve)
    else:
        print(json.dumps(anyio.run(measure, options.runs, options.rounds), indent=2))


if __name__ == "__main__":
    main()
