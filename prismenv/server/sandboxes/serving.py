"""The sandbox's server: an address, a process that listens there, and its end in good order.

Told to stop, the service takes nothing new, lets what runs and waits end within the grace, and only then closes the
connections.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

import anyio
import uvicorn

from prismenv import __version__
from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.sandboxwire import PROTOCOL, ServiceCard
from prismenv.server.admission import Admission
from prismenv.server.sandboxes.application import SandboxApplication
from prismenv.server.sandboxes.desk import Desk
from prismenv.server.sandboxes.health import SandboxHealth
from prismenv.server.sandboxes.kept import KeptSessions
from prismenv.server.sandboxes.limits import SandboxServiceLimits
from prismenv.server.sandboxes.meter import SandboxMeter
from prismenv.server.serving import HttpLimits, Server, is_local, listen, serve_there, server_config, url_of
from prismenv.server.tokens import Tokens
from prismenv.words.verdict import DEFAULT_VERDICT, VerdictMode


@dataclass(frozen=True, slots=True)
class ServedSandbox:
    """A sandbox that is open, and what its card says beside what it says itself; `workers` run at once."""

    sandbox: Sandbox
    workers: int
    verdict: VerdictMode = DEFAULT_VERDICT
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SandboxServeSettings:
    """Where, for whom, and how much. Port 0 is one that is free."""

    host: str = "127.0.0.1"
    port: int = 8020
    tokens: Tokens = field(default_factory=Tokens)
    limits: SandboxServiceLimits = field(default_factory=SandboxServiceLimits)


class RunningSandboxService:
    """A service that listens at `url`."""

    def __init__(self, url: str, desk: Desk, calls: Desk, server: uvicorn.Server) -> None:
        self.url = url
        self.desk = desk
        self.calls = calls
        self._server = server

    async def stop(self) -> None:
        """Take nothing new, and let what runs end within the grace."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.desk.drain)
            group.start_soon(self.calls.drain)
        self._server.should_exit = True


@asynccontextmanager
async def running_sandbox_service(
    served: ServedSandbox, settings: SandboxServeSettings, clock: Clock | None = None
) -> AsyncIterator[RunningSandboxService]:
    """The service, listening; at the end what runs is given up at once, unless `stop` was awaited before.

    Raises ConfigurationException for an address that is taken, that there is not, or that is open to others without a
    token: whoever reaches it runs programs here.
    """
    clock, limits = clock or SystemClock(), settings.limits
    listener = listen(settings.host, settings.port, open_to_all=not settings.tokens)
    with closing(listener):  # also where the server does not come to it
        local = is_local(str(listener.getsockname()[0]))
        meter = SandboxMeter()
        desk = Desk(served.workers, limits, clock, meter.waited)
        meter.gauge("running", "Runs that have their turn.", lambda: desk.running)
        meter.gauge("waiting", "Runs that wait for their turn.", lambda: desk.waiting)
        calls = Desk(limits.session_calls, limits, clock, meter.waited)
        kept = KeptSessions(limits.sessions_per_token)
        meter.gauge("sessions", "Sessions that are open.", lambda: kept.open_sessions)
        application = SandboxApplication(
            served.sandbox,
            _card(served, limits),
            desk,
            SandboxHealth(served.sandbox, clock),
            meter,
            Admission(settings.tokens, local=local and not settings.tokens),
            limits,
            clock,
            kept,
            calls,
        )
        http = HttpLimits(limits.header_bytes, limits.header_seconds, limits.connections)
        server = Server(server_config(application.build(), http))
        async with anyio.create_task_group() as group:
            done = anyio.Event()
            group.start_soon(serve_there, server, listener, done)
            try:
                yield RunningSandboxService(url_of(listener), desk, calls, server)
            finally:
                with anyio.CancelScope(shield=True):
                    desk.abort()
                    calls.abort()
                    server.should_exit = True
                    await done.wait()
                    await kept.close_all()
                group.cancel_scope.cancel()


def _card(served: ServedSandbox, limits: SandboxServiceLimits) -> ServiceCard:
    return ServiceCard(
        service="sandbox",
        protocol=PROTOCOL,
        version=__version__,
        isolation=served.sandbox.isolation,
        verdict=served.verdict,
        workers=served.workers,
        ceiling=served.sandbox.ceiling,
        packages=tuple(served.packages),
        queue_seconds=limits.queue_seconds,
        body_bytes=limits.body_bytes,
    )
