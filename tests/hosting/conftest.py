"""A server of environments on a free port of the loopback, over scripted models, and environments to try it with."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from prismenv import (
    Action,
    BaseEnvironment,
    EnvironmentConfig,
    Observation,
    State,
    StepResult,
    environment_registry,
    tool,
)
from prismenv.contracts.services import Services
from prismenv.engine.host.host import HostLimits
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.finding.discovery import load_environments
from prismenv.finding.tokenfile import TokenEntry
from prismenv.finding.workspace import find_workspaces
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.serving import EnvironmentServeSettings, RunningEnvironments, running_environments
from prismenv.server.tokens import Tokens
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport

ECHO, TRIED, CODING = "environment_echo", "environment_tried", "environment_coding_challenge"
TOOLED = "environment_tooled"
SECONDS = 60
ANSWERS = {
    "challenge_designer": "Write a function.",
    "test_generator": "```python\nimport unittest\n\n\nclass T(unittest.TestCase):\n    def test(self): pass\n```",
    "problem_solver": "```python\ndef solution():\n    return 1\n```",
    "problem_fixer": "```python\ndef solution():\n    return 1\n```",
}


class Do(Action):
    """What to do: nothing, raise, hang, block, or end."""

    what: str = ""


class Done(Observation):
    who: int = 0
    steps: int = 0


class Tried(BaseEnvironment):
    """Misbehaves when it is told to. `counts` are how many were opened, closed, and cancelled in a step."""

    counts: dict[str, int]

    async def initialize(self) -> None:
        if self.config.get("boom"):
            raise OSError("no device")
        self.counts["opened"] += 1
        self._who = self.counts["opened"]

    async def reset(self, length: int = 99, info: dict[str, Any] | None = None) -> tuple[Done, dict[str, Any]]:
        self._length = length
        self._state = State()
        return Done(who=self._who), info or {}

    async def step(self, action: Do) -> Done:
        if action.what == "raise":
            raise ValueError("told to")
        if action.what == "hang":
            self.counts["hanging"] += 1
            try:
                await anyio.sleep_forever()
            finally:
                self.counts["cancelled"] += 1
        self._state.step_count += 1
        ends = self._state.step_count >= self._length
        return Done(who=self._who, steps=self._state.step_count, reward=1.0, done=ends, truncated=ends)

    @property
    def state(self) -> State:
        return self._state

    def system_prompt(self) -> str:
        return "Do as you are told."

    async def close(self) -> None:
        self.counts["closed"] += 1


class Tooled(BaseEnvironment):
    """A drawer."""

    async def reset(self, things: list[str] | None = None) -> dict[str, int]:
        self._drawer = list(things or [])
        return {"things": len(self._drawer)}

    async def step(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        return f"heard {action}", 0.5, action == "end", {}

    def system_prompt(self) -> str:
        if self.config.get("boom"):
            raise OSError("no device")
        return "Keep your things in order."

    @tool
    async def put(self, thing: str, times: int = 1) -> int:
        """Put a thing into the drawer."""
        self._drawer += [thing] * times
        return len(self._drawer)

    @tool
    def look(self) -> dict[str, list[str]]:
        """Look into the drawer."""
        return {"things": self._drawer}

    @tool
    def say(self, text: str) -> str:
        """Say it again."""
        return text

    @tool
    async def submit(self) -> StepResult[str]:
        """Be done."""
        return StepResult("thank you", reward=1.0, done=True, info={"llm_response": "done"})

    @tool
    def count(self, to: int) -> int:
        """Count, in a thread, and tell how far it is."""
        for number in range(to):
            self.report_progress(number + 1, to, f"at {number + 1}")
        return to

    @tool
    async def fail(self) -> None:
        """Fail."""
        raise ValueError("told to")

    @tool
    async def hang(self) -> None:
        """Hang until the call is cancelled."""
        self.report_progress(0.5)
        Tried.counts["hanging"] += 1
        try:
            await anyio.sleep_forever()
        finally:
            Tried.counts["cancelled"] += 1


@pytest.fixture
def counts() -> Iterator[dict[str, int]]:
    """What became of the instances of `environment_tried`."""
    with environment_registry.isolated():
        load_environments(find_workspaces())
        environment_registry.register(TRIED)(Tried)
        environment_registry.register(TOOLED)(Tooled)
        Tried.counts = {"opened": 0, "closed": 0, "hanging": 0, "cancelled": 0}
        yield Tried.counts


@pytest.fixture
def hosted(counts: dict[str, int]) -> HostedEnvironments:
    """Environments over a scripted model and a sandbox that passes everything."""
    clock = ManualClock()
    agents = load_agents(find_workspaces())
    interface = InProcessInterface(agents, lambda _role: ScriptedTransport(ANSWERS), clock)
    services = Services(interface=interface, sandbox=ScriptedSandbox(), clock=clock)
    configs = {name: (environment_registry.get(name).config or EnvironmentConfig)() for name in (ECHO, TRIED, CODING)}
    return HostedEnvironments(services, configs)


@pytest.fixture
def with_tools(hosted: HostedEnvironments) -> HostedEnvironments:
    """The same, and one with tools."""
    return HostedEnvironments(hosted.services, {**hosted.configs, TOOLED: EnvironmentConfig()})


Serve = Callable[..., AbstractAsyncContextManager[RunningEnvironments]]


@pytest.fixture
def serve(hosted: HostedEnvironments) -> Serve:
    """`serve(only=…, tokens=…, entries=…, limits={…}, wire={…}, config={…}, **settings)`: a server that listens."""

    @asynccontextmanager
    async def start(  # noqa: PLR0913
        *,
        only: str | None = None,
        tokens: tuple[str, ...] = (),
        limits: dict[str, Any] | None = None,
        wire: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        entries: tuple[TokenEntry, ...] = (),
        **more: Any,
    ) -> AsyncIterator[RunningEnvironments]:
        served = hosted
        if config:
            own = {name: EnvironmentConfig(**config) for name in (TRIED, TOOLED)}
            served = HostedEnvironments(hosted.services, {**hosted.configs, **own})
        settings = EnvironmentServeSettings(
            port=0,
            only=only,
            tokens=Tokens(tokens, entries),
            seed=7,
            host_limits=HostLimits(**(limits or {})),
            wire=WireLimits(**(wire or {})),
            **more,
        )
        async with running_environments(served, settings) as running:
            yield running

    return start


class Talk:
    """A client that knows nothing of us: JSON over a WebSocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, said: Any) -> None:
        """Send it as it is where it is text or bytes, else as JSON."""
        await self.connection.send(said if isinstance(said, str | bytes) else json.dumps(said))

    async def hear(self) -> dict[str, Any]:
        with anyio.fail_after(SECONDS):
            return dict(json.loads(await self.connection.recv()))

    async def ask(self, kind: str, data: Any = None) -> dict[str, Any]:
        await self.say({"type": kind} if data is None else {"type": kind, "data": data})
        return await self.hear()

    async def closed(self) -> int | None:
        """The code with which the server closed."""
        with anyio.fail_after(SECONDS):
            await self.connection.wait_closed()
        return self.connection.close_code


@pytest.fixture
def talk() -> Callable[..., AbstractAsyncContextManager[Talk]]:
    """`talk(running, environment, **options)`: a WebSocket to one; empty: at the root."""

    @asynccontextmanager
    async def open_talk(running: RunningEnvironments, name: str = TRIED, **options: Any) -> AsyncIterator[Talk]:
        path = f"/environments/{name}/ws" if name else "/ws"
        address = running.url.replace("http://", "ws://") + path
        async with connect(address, proxy=None, open_timeout=SECONDS, max_size=None, **options) as connection:
            yield Talk(connection)

    return open_talk


@pytest.fixture
def http() -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """`http(running, token)`: a client of plain HTTP."""

    @asynccontextmanager
    async def client(running: RunningEnvironments, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=SECONDS, trust_env=False) as opened:
            yield opened

    return client


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """`await until(condition)`: a test that waits for what never comes fails by its own limit."""

    async def wait(condition: Callable[[], bool]) -> None:
        with anyio.fail_after(SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await anyio.sleep(0.01)

    return wait
