"""The service over a scripted model, on a free port of the loopback, and clients for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.recipe import HttpInterface
from prismenv.contracts.sessions import SessionArchive
from prismenv.network.retry import RetryPolicy
from prismenv.server.limits import ServiceLimits
from prismenv.server.serving import RunningService, Served, ServeSettings, running_service
from prismenv.server.tokens import Tokens
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.http import HttpInterfaceClient
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.store.servicestore import open_service_book
from prismenv.store.sessionstore import open_sessions
from prismenv.testing.transport import ScriptedTransport

FENCED = "```python\ndef solution():\n    return 1\n```"
ANSWERS = {
    "challenge_designer": "Write a function.",
    "problem_solver": FENCED,
    "test_generator": "There are no tests.",  # of no use: its output is code
}
AGENTS = (
    {
        "role": "challenge_designer",
        "interaction_templates": {
            "default": {"inputs": [{"name": "concepts"}], "outputs": [{"name": "response", "type": "str"}]}
        },
    },
    *(
        {
            "role": role,
            "system_prompt": "Be brief.",
            "interaction_templates": {
                "default": {
                    "template": "Do: {problem_statement}",
                    "inputs": [{"name": "problem_statement"}],
                    "outputs": [{"name": "response", "type": "code"}],
                },
                "fix": {"inputs": [{"name": "error_feedback"}], "outputs": [{"name": "response", "type": "code"}]},
            },
        }
        for role in ("problem_solver", "test_generator")
    ),
)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """`await until(condition)`: a test that waits for what never comes fails by its own limit.

    A condition may be asynchronous.
    """

    async def wait(condition: Callable[[], Any]) -> None:
        with anyio.fail_after(60):
            while True:
                holds = condition()
                if await holds if isinstance(holds, Awaitable) else holds:
                    return
                await anyio.sleep(0.01)

    return wait


@pytest.fixture
def agents() -> dict[str, AgentFile]:
    return {file.role: file for file in map(AgentFile.model_validate, AGENTS)}


@pytest.fixture
def in_process(agents: dict[str, AgentFile]) -> Callable[..., InProcessInterface]:
    quick = RetryPolicy(tries=3, first_seconds=0.001)

    def build(transport: ScriptedTransport, archive: SessionArchive | None = None) -> InProcessInterface:
        clock = SystemClock()
        tuning = LocalTuning(keeper=None if archive is None else SessionKeeper(archive, clock))
        return InProcessInterface(agents, lambda _: guarded(transport, clock, quick), clock, tuning=tuning)

    return build


async def _has_no_sessions(running: RunningService) -> bool:
    return not await running.service.sessions("")


@pytest.fixture
def has_no_sessions() -> Callable[[RunningService], Awaitable[bool]]:
    """A condition for `until`."""
    return _has_no_sessions


Serve = Callable[..., AbstractAsyncContextManager[RunningService]]


@pytest.fixture
def serve(in_process: Callable[..., InProcessInterface], agents: dict[str, AgentFile]) -> Serve:
    """`serve(transport, tokens=…, store=FILE, **limits)`: a service that listens, a worker where there is a store."""

    @asynccontextmanager
    async def start(
        transport: ScriptedTransport | None = None,
        *,
        tokens: tuple[str, ...] = (),
        store: Path | None = None,
        **limits: Any,
    ) -> AsyncIterator[RunningService]:
        transport = transport or ScriptedTransport(ANSWERS)
        settings = ServeSettings(port=0, tokens=Tokens(tokens), limits=ServiceLimits(**limits))
        with ExitStack() as stack:
            archive = book = None
            if store is not None:
                archive = stack.enter_context(closing(open_sessions(store)))
                book = stack.enter_context(closing(open_service_book(store)))
            interface = in_process(transport, archive)
            served = Served(interface, tuple(sorted(agents)), lambda role: f"scripted/{role}", book)
            async with running_service(served, settings) as running:
                yield running

    return start


@pytest.fixture
def http() -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """`http(running, token)`: a client that knows nothing of us."""

    @asynccontextmanager
    async def client(running: RunningService, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=60, trust_env=False) as opened:
            yield opened

    return client


@pytest.fixture
def connect(agents: dict[str, AgentFile]) -> Callable[..., AbstractAsyncContextManager[HttpInterfaceClient]]:
    """`connect(running, token, **settings)`: the client that environments use."""

    @asynccontextmanager
    async def client(running: RunningService, token: str = "", **settings: Any) -> AsyncIterator[HttpInterfaceClient]:
        if token:
            settings["token_variable"] = "TOKEN"
        made = HttpInterface(type="http", url=running.url, **settings)
        retry = RetryPolicy(tries=3, first_seconds=0.01)
        async with HttpInterfaceClient(made, agents, SystemClock(), environ={"TOKEN": token}, retry=retry) as opened:
            yield opened

    return client
