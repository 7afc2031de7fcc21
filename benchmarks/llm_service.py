"""What the service adds to a question, beside what any HTTP service adds on this machine in the same run.

    python benchmarks/llm_service.py [--questions N]

A fake model answers at once, or after a time between 0.5 and 1 s that it draws and tells. `median_ms` is what a
question took without the model's time, `quick_ms` the same of the quickest twentieth (where the machine does other
things besides, it says more), `server_cpu_ms` and `client_cpu_ms` the CPU of a question in either process. `in process`
is the question without a service, `echo` a bare starlette application behind uvicorn that answers with the body, asked
with one httpx client, whose pool is slow with 64 connections. `polling` asks for its task every 0.5 s.

`in the store` is a service whose sessions other workers may serve too. `a question every 0.5 to 1 s` is the echo asked
as seldom, once with httpx and once over a socket: after a pause nothing of either process is in the processor's caches,
and the same work takes two or three times as long. So a model that thinks for a while makes whatever stands around it
look slower, also an answer that needs none.

64 clients on a model that answers at once do nothing but wait for each other: only the CPU and `wall_ms`, the time of a
question among them all, say something there. Server and clients are a process each. Prints one JSON document.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import uvicorn
from server_process import processor_seconds
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.recipe import HttpInterface
from prismenv.contracts.sessions import SessionArchive
from prismenv.contracts.transport import ChatTransport
from prismenv.server.serving import Served, ServeSettings, listen, running_service
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.http import HttpInterfaceClient
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.store.servicestore import open_service_book
from prismenv.store.sessionstore import open_sessions
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.usage import Usage

ROLE = "writer"
AGENTS = {
    ROLE: AgentFile.model_validate(
        {
            "role": ROLE,
            "system_prompt": "You write.",
            "interaction_templates": {
                "default": {"inputs": [{"name": "topic"}], "outputs": [{"name": "response", "type": "str"}]}
            },
        }
    )
}
TOPIC = {"topic": "A paragraph of ordinary length, as a problem statement has it. " * 20}
CLIENTS = 64
ALL = f"{CLIENTS} clients"
POLL_SECONDS = 0.5
Ask = Callable[[int], Awaitable[float]]  # asks once as that client, and returns the model's own time


class TimedModel(ChatTransport):
    """Answers with the seconds that it took: none, or between `shortest` and twice that."""

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self._random = random.Random(0)
        self._usage = Usage(model="timed", calls=1, prompt_tokens=10, completion_tokens=10)

    async def complete(self, request: ChatRequest) -> ChatReply:  # noqa: ARG002 - the seam's name
        began = time.perf_counter()
        if self._shortest:
            await anyio.sleep(self._random.uniform(self._shortest, 2 * self._shortest))
        return ChatReply(str(time.perf_counter() - began if self._shortest else 0.0), self._usage)

    async def ping(self) -> None:
        return


def interface(shortest: float, archive: SessionArchive | None = None) -> InProcessInterface:
    """The LLM interface over the fake model."""
    model, clock = TimedModel(shortest), SystemClock()
    tuning = LocalTuning(keeper=None if archive is None else SessionKeeper(archive, clock))
    return InProcessInterface(AGENTS, lambda _: model, clock, tuning=tuning)


async def serve(shortest: float, store: Path | None = None) -> None:
    """The service, until it is killed; says its address."""
    archive = None if store is None else open_sessions(store)
    book = None if store is None else open_service_book(store)
    served = Served(interface(shortest, archive), (ROLE,), lambda _: "timed", book)
    async with running_service(served, ServeSettings(port=0)) as running:
        print(running.url, flush=True)
        await anyio.sleep_forever()


async def echo() -> None:
    """The bare application, until it is killed; says its address."""

    async def answer(request: Request) -> Response:
        return Response(await request.body(), media_type="application/json")

    listener = listen("127.0.0.1", 0, open_to_all=True)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    application = Starlette(routes=[Route("/", answer, methods=["POST"])])
    config = uvicorn.Config(application, http="h11", lifespan="off", log_config=None, access_log=False)
    await uvicorn.Server(config).serve(sockets=[listener])


@dataclass(frozen=True)
class Server:
    """Another process of this file."""

    url: str
    process_id: int

    def cpu_seconds(self) -> float:
        """What it used so far."""
        return processor_seconds(self.process_id)


@contextmanager
def process(*words: str) -> Iterator[Server]:
    """This file as another process, which says its address."""
    with subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield Server(started.stdout.readline().strip(), started.pid)
        finally:
            started.kill()


@asynccontextmanager
async def asking(client: Any) -> AsyncIterator[Ask]:
    """Questions in one session for each client, new every 20 questions, as attempts are."""
    sessions: dict[int, tuple[str, int]] = {}

    async def ask(number: int) -> float:
        session, count = sessions.get(number, ("", 0))
        if count % 20 == 0:
            if session:
                await client.cleanup_session(session)
            session = await client.initialize_session(ROLE)
        began = time.perf_counter()
        answer = await client.interact(session, ROLE, TOPIC)
        sessions[number] = (session, count + 1)
        return time.perf_counter() - began - float(answer.text)

    yield ask
    for session, _ in sessions.values():
        await client.cleanup_session(session)


async def measure(
    ask: Ask, clients: int, questions: int, server: Server | None = None, spread: float = 0.0
) -> dict[str, float]:
    """What `ask` returns and costs, with so many clients that ask so often each and begin within `spread` seconds."""
    taken: list[float] = []
    starts = random.Random(1)

    async def client(number: int, delay: float) -> None:
        await anyio.sleep(delay)
        await ask(number)  # warm: a connection, a session
        taken.extend([await ask(number) for _ in range(questions)])

    began, own, its = time.perf_counter(), time.process_time(), server.cpu_seconds() if server else 0.0
    async with anyio.create_task_group() as group:
        for number in range(clients):
            group.start_soon(client, number, starts.uniform(0, spread))
    count = clients * (questions + 1) / 1000
    found = {
        "median_ms": 1000 * statistics.median(taken),
        "quick_ms": 1000 * sorted(taken)[len(taken) // 20],
        "wall_ms": (time.perf_counter() - began) / count,
        "client_cpu_ms": (time.process_time() - own) / count,
    }
    return found | ({"server_cpu_ms": (server.cpu_seconds() - its) / count} if server else {})


async def through(server: Server, clients: int, questions: int, spread: float = 0.0) -> dict[str, float]:
    """As `measure`, through the service."""
    settings = HttpInterface(type="http", url=server.url)
    async with HttpInterfaceClient(settings, AGENTS, SystemClock()) as client, asking(client) as ask:
        return await measure(ask, clients, questions, server, spread)


async def here(shortest: float, clients: int, questions: int, spread: float = 0.0) -> dict[str, float]:
    """As `measure`, in process."""
    async with interface(shortest) as client, asking(client) as ask:
        return await measure(ask, clients, questions, spread=spread)


async def echoed(server: Server, clients: int, questions: int) -> dict[str, float]:
    """As `measure`, with the bare application."""
    async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=CLIENTS)) as client:

        async def ask(_: int) -> float:
            began = time.perf_counter()
            (await client.post(server.url, json=TOPIC)).json()
            return time.perf_counter() - began

        return await measure(ask, clients, questions, server)


async def echoed_seldom(server: Server, questions: int) -> dict[str, dict[str, float]]:
    """As `echoed` by one client that waits in between, by httpx and by a socket in turns."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps(TOPIC).encode()
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    pauses, taken = random.Random(2), dict[str, list[float]](httpx=[], socket=[])
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        await anyio.connect_tcp(host, int(port)) as stream,
    ):
        for _ in range(questions):
            await anyio.sleep(pauses.uniform(POLL_SECONDS, 2 * POLL_SECONDS))
            began = time.perf_counter()
            (await client.post(server.url, json=TOPIC)).json()
            taken["httpx"].append(time.perf_counter() - began)
            await anyio.sleep(pauses.uniform(POLL_SECONDS, 2 * POLL_SECONDS))
            began, answer = time.perf_counter(), b""
            await stream.send(head + body)
            while not answer.endswith(body):
                answer += await stream.receive()
            json.loads(answer.partition(b"\r\n\r\n")[2])
            taken["socket"].append(time.perf_counter() - began)
    return {name: {"median_ms": 1000 * statistics.median(values)} for name, values in taken.items()}


async def polled(server: Server, questions: int) -> dict[str, float]:
    """As `measure`, with a client that opens a session and asks for its task every 0.5 s."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as client:
        session = (await client.post("/initialize", json={"role": ROLE})).json()["session_id"]

        async def ask(_: int) -> float:
            began = time.perf_counter()
            body = {"session_id": session, "input_data": TOPIC}
            task = (await client.post("/interact", json=body)).json()["task_id"]
            while (found := (await client.get(f"/task_status/{task}")).json())["status"] != "completed":  # noqa: ASYNC110
                await anyio.sleep(POLL_SECONDS)
            return time.perf_counter() - began - float(found["result"]["response"])

        return await measure(ask, 1, questions, server)


async def main(questions: int) -> None:
    """All of it."""
    many = max(4, questions // 20)
    found: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    with process("--echo") as server:
        found["echo"] = {
            "1 client": await echoed(server, 1, questions),
            ALL: await echoed(server, CLIENTS, many),
            "a question every 0.5 to 1 s": await echoed_seldom(server, many),
        }
    with process("--serve", "0") as server:
        found["instant"] = {
            "in process": await here(0.0, 1, questions),
            "1 client": await through(server, 1, questions),
            ALL: await through(server, CLIENTS, many),
        }
    with tempfile.TemporaryDirectory() as folder, process("--serve", "0", "--store", f"{folder}/s.db") as server:
        found["instant, in the store"] = {
            "1 client": await through(server, 1, questions),
            ALL: await through(server, CLIENTS, many),
        }
    with process("--serve", str(POLL_SECONDS)) as server:
        found["0.5 to 1 s"] = {
            "in process": await here(POLL_SECONDS, CLIENTS, many, 1.0),
            "1 client": await through(server, 1, many),
            ALL: await through(server, CLIENTS, many, 1.0),
            "polling": await polled(server, many),
        }
    found["load_average_after"] = os.getloadavg()[0]
    print(json.dumps(rounded(found), indent=1))


def rounded(value: Any) -> Any:
    """To hundredths."""
    return {key: rounded(inner) for key, inner in value.items()} if isinstance(value, dict) else round(value, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400, help="of one client on a model that answers at once")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        anyio.run(echo)
    elif options.serve is not None:
        anyio.run(serve, options.serve, options.store)
    else:
        anyio.run(main, options.questions)
