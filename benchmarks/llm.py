"""What the LLM interface costs: CPU for each call, and ten thousand sessions that wait at once.

    python benchmarks/llm.py [--sessions 10000] [--calls 10000] [--http-calls 3000]

Prints one JSON document. `waiting`: that many sessions ask at once, of a model that takes two seconds; all in this
process, over a transport in it and then over HTTP (the provider `openai`, to `prismenv.testing.openai_server` in a
process of its own). Wall time may be two seconds and the CPU that the calls take. For `run_queue_seconds` of it this
process was ready to run and other programs had the processors; `own_wall_seconds` is without them, and too low where
they fell into the two seconds: an idle machine tells the truth. `cpu_ms_per_call` is of this process alone, over calls
that are answered at once, 64 at a time. `interpreter_cpu_ms` is the machine's own baseline: what a Python that does
nothing takes. Over HTTP each waiting session has a connection: the limit of open files must allow it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from baseline import interpreter_cpu_ms
from loguru import logger

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext
from prismenv.finding.plugins import providers
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.local import InProcessInterface
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.usage import Usage

LATENCY_SECONDS = 2.0
AT_ONCE = 64
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SDKS = ("aiohttp", "anthropic", "httpx", "litellm", "openai", "opentelemetry")
PROBLEM = "Write `add(a, b)` that returns the sum of two integers.\n" * 10
ANSWER = "```python\ndef add(a, b):\n    return a + b\n```\n"
AGENT = AgentFile.model_validate(
    {
        "role": "problem_solver",
        "system_prompt": "You solve programming challenges.\n" * 20,
        "model_params": {"temperature": 0.2, "max_tokens": 4096},
        "interaction_templates": {
            "default": {
                "template": "Solve this challenge.\n\n{problem_statement}",
                "inputs": [{"name": "problem_statement"}],
                "outputs": [{"name": "response", "type": "code"}],
            }
        },
    }
)
SERVER = f"""
import sys
from prismenv.testing.openai_server import OpenAIServer
with OpenAIServer(lambda body: {ANSWER!r}, latency_seconds=float(sys.argv[1]), keep=1) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
IMPORTS = f"""
import sys
sys.argv = ["prismenv", "--help"]
import prismenv
from prismenv.cli.main import main
try:
    main()
except SystemExit:
    pass
sys.stderr.write(" ".join(sorted(set({SDKS!r}) & set(sys.modules))))
"""


class WaitingModel(ChatTransport):
    """Takes `seconds` for an answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._usage = Usage(model="waiting", calls=1, prompt_tokens=10, completion_tokens=10)

    async def complete(self, request: ChatRequest) -> ChatReply:  # noqa: ARG002 - whatever is asked
        if self._seconds:
            await anyio.sleep(self._seconds)
        return ChatReply(ANSWER, self._usage)

    async def ping(self) -> None:
        return


def run_queue_seconds() -> float:
    """How long this thread has waited for a processor since it began; 0 where the system does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


class Peak:
    """The most resident memory that was seen."""

    def __init__(self) -> None:
        self.bytes = 0

    def look(self) -> None:
        """Note how much it is now."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.bytes = max(self.bytes, pages * PAGE_BYTES)

    async def watch(self) -> None:
        """Look ten times a second."""
        while True:
            self.look()
            await anyio.sleep(0.1)


async def ask_all(transport: ChatTransport, sessions: int, at_once: int) -> dict[str, Any]:
    """One question in each of so many sessions; what that took."""
    clock, peak, answered = SystemClock(), Peak(), 0
    asked = guarded(transport, clock)  # as runs ask: of ten thousand connections at once, some find no room at first
    interface = InProcessInterface({AGENT.role: AGENT}, lambda _: asked, clock, models=lambda _: "test-model")
    numbers = iter(range(sessions))

    async def ask() -> None:
        nonlocal answered
        for _ in numbers:
            session = await interface.initialize_session(AGENT.role, seed=1)
            answer = await interface.interact(session, AGENT.role, {"problem_statement": PROBLEM})
            answered += answer.text.startswith("def add")
            await interface.cleanup_session(session)
            if at_once == sessions:
                return  # every session has a task of its own

    cpu, wall, queued = time.process_time(), time.perf_counter(), run_queue_seconds()
    async with anyio.create_task_group() as watching:
        watching.start_soon(peak.watch)
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(ask)
        cpu, wall, queued = time.process_time() - cpu, time.perf_counter() - wall, run_queue_seconds() - queued
        peak.look()
        watching.cancel_scope.cancel()
    if answered != sessions:
        raise SystemExit(f"the run is no measurement: {answered} of {sessions} were answered")
    return {
        "served": answered,
        "wall_seconds": round(wall, 3),
        "run_queue_seconds": round(queued, 3),
        "cpu_seconds": round(cpu, 3),
        "cpu_ms_per_call": round(1000 * cpu / sessions, 3),
        "peak_rss_bytes": peak.bytes,
    }


async def over_http(url: str, sessions: int, at_once: int) -> dict[str, Any]:
    """The same over HTTP, warm."""
    context = ProviderContext(clock=SystemClock(), folder=Path.cwd(), seed=0)
    reference = ModelReference("openai", "test-model", url)
    async with providers()["openai"].open(reference, context) as transport:
        await ask_all(transport, AT_ONCE, AT_ONCE)
        return await ask_all(transport, sessions, at_once)


def waiting(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures of sessions that wait at once, with what is allowed."""
    allowed = LATENCY_SECONDS + figures["cpu_seconds"]
    own = figures["wall_seconds"] - figures["run_queue_seconds"]
    return {**figures, "own_wall_seconds": round(own, 3), "allowed_wall_seconds": round(allowed, 3)}


@contextmanager
def server(latency_seconds: float) -> Iterator[str]:
    """The address of a server in a process of its own."""
    words = [sys.executable, "-c", SERVER, str(latency_seconds)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def sdks_imported() -> list[str]:
    """Model SDKs that `import prismenv` and `prismenv --help` import."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    return done.stderr.split()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000, help="sessions that wait at once (%(default)s)")
    parser.add_argument("--calls", type=int, default=10_000, help="calls in process (%(default)s)")
    parser.add_argument("--http-calls", type=int, default=3_000, help="calls over HTTP (%(default)s)")
    wanted = parser.parse_args()
    logger.remove()
    figures: dict[str, Any] = {"interpreter_cpu_ms": interpreter_cpu_ms(), "sdks_imported": sdks_imported()}
    anyio.run(ask_all, WaitingModel(0.0), 1000, AT_ONCE)  # warm
    figures["in_process"] = anyio.run(ask_all, WaitingModel(0.0), wanted.calls, AT_ONCE)
    figures["waiting_in_process"] = waiting(
        anyio.run(ask_all, WaitingModel(LATENCY_SECONDS), wanted.sessions, wanted.sessions)
    )
    with server(0.0) as url:
        figures["over_http"] = anyio.run(over_http, url, wanted.http_calls, AT_ONCE)
    with server(LATENCY_SECONDS) as url:
        figures["waiting_over_http"] = waiting(anyio.run(over_http, url, wanted.sessions, wanted.sessions))
    figures["targets"] = {"in_process_cpu_ms": 0.8, "over_http_cpu_ms": 2.5, "waiting_rss_bytes": 2**30}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
