"""A sandbox's service on a free port of the loopback, over a sandbox that is told what to do, and clients for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.remote import RemoteSandbox
from prismenv.network.retry import RetryPolicy
from prismenv.network.secret import Secret
from prismenv.server.sandboxes.limits import SandboxServiceLimits
from prismenv.server.sandboxes.serving import (
    RunningSandboxService,
    SandboxServeSettings,
    ServedSandbox,
    running_sandbox_service,
)
from prismenv.server.tokens import Tokens
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.verdict import Verdict

SECONDS = 60
QUICK = RetryPolicy(tries=5, first_seconds=0.01, longest_seconds=0.1)


class HeldSandbox(ScriptedSandbox):
    """Judges nothing until `go` is set; counts what began and what was cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.go = anyio.Event()
        self.begun = 0
        self.cancelled = 0

    async def judge(self, *arguments: Any, **options: Any) -> Verdict:
        self.begun += 1
        try:
            await self.go.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        # As if each began with the mode that it was asked for in, which is what a client holds an answer to.
        verdict = await super().judge(*arguments, **options)
        return verdict.model_copy(update={"verdict_mode": options.get("verdict") or "split"})


@pytest.fixture
def held() -> HeldSandbox:
    return HeldSandbox()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """`await until(condition)`: a test that waits for what never comes fails by its own limit."""

    async def wait(condition: Callable[[], Any]) -> None:
        with anyio.fail_after(SECONDS):
            while True:
                if condition():
                    return
                await anyio.sleep(0.01)

    return wait


Serve = Callable[..., AbstractAsyncContextManager[RunningSandboxService]]
Connect = Callable[..., AbstractAsyncContextManager[Sandbox]]


@pytest.fixture
def serve() -> Serve:
    """`serve(sandbox, workers=…, tokens=…, **limits)`: a service that listens."""

    @asynccontextmanager
    async def start(
        sandbox: Sandbox | None = None, *, workers: int = 2, tokens: tuple[str, ...] = (), port: int = 0, **limits: Any
    ) -> AsyncIterator[RunningSandboxService]:
        settings = SandboxServeSettings(port=port, tokens=Tokens(tokens), limits=SandboxServiceLimits(**limits))
        async with running_sandbox_service(ServedSandbox(sandbox or ScriptedSandbox(), workers), settings) as running:
            yield running

    return start


@pytest.fixture
def connect() -> Connect:
    """`connect(url, token=…, workers=…, **settings)`: the client that a recipe gets."""

    @asynccontextmanager
    async def client(url: str, token: str = "", workers: int | None = None, **settings: Any) -> AsyncIterator[Sandbox]:
        made = SandboxSettings(url=url, **settings)
        async with RemoteSandbox(made, workers, Secret(token), patience=QUICK) as opened:
            yield opened

    return client


@pytest.fixture
def http() -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """`http(running, token)`: a client that knows nothing of us."""

    @asynccontextmanager
    async def client(running: RunningSandboxService, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=SECONDS, trust_env=False) as opened:
            yield opened

    return client
