"""The service over a scripted model, on a free port of the loopback, and clients for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.recipe import HttpInterface
from prismenv.server.limits import ServiceLimits
from prismenv.server.serving import RunningService, Served, ServeSettings, running_service
from prismenv.server.tokens import Tokens
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.http import HttpInterfaceClient
from prismenv.sessions.local import InProcessInterface
from prismenv.sessions.retry import RetryPolicy
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
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """`await until(condition)`: a test that waits for what never comes fails by its own limit."""

    async def wait(condition: Callable[[], bool]) -> None:
        with anyio.fail_after(60):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await anyio.sleep(0.01)

    return wait


@pytest.fixture
def agents() -> dict[str, AgentFile]:
    return {file.role: file for file in map(AgentFile.model_validate, AGENTS)}


@pytest.fixture
def in_process(agents: dict[str, AgentFile]) -> Callable[[ScriptedTransport], InProcessInterface]:
    quick = RetryPolicy(tries=3, first_seconds=0.001)

    def build(transport: ScriptedTransport) -> InProcessInterface:
        clock = SystemClock()
        return InProcessInterface(agents, lambda _: guarded(transport, clock, quick), clock)

    return build


Serve = Callable[..., AbstractAsyncContextManager[RunningService]]


@pytest.fixture
def serve(in_process: Callable[[ScriptedTransport], InProcessInterface], agents: dict[str, AgentFile]) -> Serve:
    """`serve(transport, tokens=…, **limits)`: a service that listens."""

    @asynccontextmanager
    async def start(
        transport: ScriptedTransport | None = None, *, tokens: tuple[str, ...] = (), **limits: Any
    ) -> AsyncIterator[RunningService]:
        transport = transport or ScriptedTransport(ANSWERS)
        settings = ServeSettings(port=0, tokens=Tokens(tokens), limits=ServiceLimits(**limits))
        served = Served(in_process(transport), tuple(sorted(agents)), lambda role: f"scripted/{role}")
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
