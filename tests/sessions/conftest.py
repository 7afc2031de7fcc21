"""Agents and interfaces for the tests of the LLM interface."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.recipe import HttpInterface
from prismenv.network.retry import RetryPolicy
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.http import HttpInterfaceClient
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.testing.interface_server import InterfaceServer
from prismenv.testing.transport import Answers, ScriptedTransport

SOLVER = {
    "role": "problem_solver",
    "system_prompt": "You solve {problem_statement} literally.",
    "model_params": {"temperature": 0.5, "made_up": [1, 2]},
    "interaction_templates": {
        "default": {
            "template": "Solve this.\n\n{problem_statement}",
            "inputs": [{"name": "problem_statement", "type": "str", "description": "The challenge."}],
            "outputs": [{"name": "response", "type": "code", "description": "The program."}],
        },
        "fix": {
            "template": "Again: {error_feedback}",
            "inputs": [{"name": "error_feedback"}],
            "outputs": [{"name": "response", "type": "code"}],
        },
    },
}
WRITER = {
    "role": "writer",
    "interaction_templates": {
        "default": {
            "inputs": [{"name": "concepts", "type": "list[str]"}, {"name": "mood"}],
            "outputs": [{"name": "response", "type": "str", "description": "A story."}],
        },
        "count": {
            "inputs": [{"name": "numbers", "type": "list[int]"}],
            "outputs": [{"name": "response", "type": "dict"}],
        },
    },
}


class HastyClock(SystemClock):
    """Nothing is waited for, and time passes by what was asked for alone, which is in `slept`."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(0)


@pytest.fixture
def agents() -> dict[str, AgentFile]:
    files = [AgentFile.model_validate(data) for data in (SOLVER, WRITER)]
    return {file.role: file for file in files}


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock()


@pytest.fixture
def interface_for(agents: dict[str, AgentFile], clock: Clock) -> Callable[..., InProcessInterface]:
    """An interface over one transport, or over answers for a scripted one."""

    def build(answers: Answers | ScriptedTransport, tuning: LocalTuning | None = None) -> InProcessInterface:
        transport = answers if isinstance(answers, ScriptedTransport) else ScriptedTransport(answers)
        chain = guarded(transport, clock)
        return InProcessInterface(agents, lambda _role: chain, clock, tuning=tuning)

    return build


FENCED = "```python\ndef solution():\n    return 1\n```"
QUICK = RetryPolicy(tries=3, first_seconds=0.01)
Connect = Callable[..., AbstractAsyncContextManager[HttpInterfaceClient]]


def respond(role: str, inputs: Mapping[str, Any], history: list[dict[str, Any]]) -> str:
    if "break" in inputs.values():
        raise RuntimeError("the model is gone")
    return FENCED if role == "problem_solver" else f"turn {len(history)}: {json.dumps(inputs)}"


@pytest.fixture
def serve() -> Iterator[Callable[..., InterfaceServer]]:
    servers: list[InterfaceServer] = []

    def start(**options: Any) -> InterfaceServer:
        server = InterfaceServer(options.pop("respond", respond), **options)
        servers.append(server.__enter__())
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def connect(agents: dict[str, AgentFile]) -> Connect:
    @asynccontextmanager
    async def client(
        server: InterfaceServer | str,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        **settings: Any,
    ) -> AsyncIterator[HttpInterfaceClient]:
        url = server if isinstance(server, str) else server.url
        made = HttpInterface(type="http", url=url, **settings)
        async with HttpInterfaceClient(
            made, agents, clock or SystemClock(), environ=environ or {}, retry=QUICK
        ) as opened:
            yield opened

    return client
