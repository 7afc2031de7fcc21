"""The server of environments: an address, a process that listens there, and its end in good order.

Told to stop, the server begins nothing new, lets calls that run end, tells every session that it is over, and only then
closes the connections.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import uvicorn

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.engine.host.host import EnvironmentHost, HostLimits
from prismenv.engine.host.kept import KeptInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.environments.admission import Admission
from prismenv.server.environments.application import EnvironmentApplication
from prismenv.server.environments.health import EnvironmentHealth
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.guard import guarded
from prismenv.server.serving import CLOSING_SECONDS, KEEP_ALIVE_SECONDS, Server, is_local, listen, serve_there, url_of
from prismenv.server.tokens import Tokens


@dataclass(frozen=True, slots=True)
class EnvironmentServeSettings:
    """Where, for whom, and how much. Port 0 is one that is free.

    `insecure`: an address that other machines reach may be listened to without a token. `only`: the environment that is
    served at the root too, None: none is. `seed` is what episodes' seeds come from that name none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tokens: Tokens = field(default_factory=Tokens)
    insecure: bool = False
    only: str | None = None
    seed: int = 0
    host_limits: HostLimits = field(default_factory=HostLimits)
    wire: WireLimits = field(default_factory=WireLimits)


class RunningEnvironments:
    """A server that listens at `url`."""

    def __init__(self, url: str, host: EnvironmentHost, server: uvicorn.Server, grace_seconds: float) -> None:
        self.url = url
        self.host = host
        self._server = server
        self._grace_seconds = grace_seconds

    async def stop(self) -> None:
        """Begin nothing new, let calls that run end within the grace, and close all sessions."""
        await self.host.drain(self._grace_seconds)
        self._server.should_exit = True


@asynccontextmanager
async def running_environments(
    hosted: HostedEnvironments, settings: EnvironmentServeSettings, clock: Clock | None = None
) -> AsyncIterator[RunningEnvironments]:
    """The server, listening; at the end sessions are closed at once, unless `stop` was awaited before.

    Raises ConfigurationException for an address that is taken, that there is not, or that is open to others without a
    token.
    """
    open_to_all = not settings.tokens and not settings.insecure
    listener = listen(settings.host, settings.port, open_to_all=open_to_all)
    local = is_local(listener.getsockname()[0])
    clock, wire = clock or SystemClock(), settings.wire
    host = EnvironmentHost(hosted.make, clock, settings.host_limits, seed=settings.seed)
    meter = EnvironmentMeter()
    meter.gauge("instances", "Places of the host that are taken.", lambda: host.active)
    meter.gauge("waiting", "Callers that wait for a place.", lambda: host.waiting)
    application = EnvironmentApplication(
        hosted,
        host,
        meter,
        EnvironmentHealth(hosted, clock),
        Admission(settings.tokens, local=local and not settings.tokens),
        wire,
        clock,
        settings.only,
        KeptInstances(clock, secrets.token_urlsafe),
    )
    server = Server(_config(application, wire))
    async with anyio.create_task_group() as group:
        group.start_soon(host.sweep)
        done = anyio.Event()
        group.start_soon(serve_there, server, listener, done)
        try:
            yield RunningEnvironments(url_of(listener), host, server, wire.grace_seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await host.close()
                server.should_exit = True
                await done.wait()
            group.cancel_scope.cancel()


def _config(application: EnvironmentApplication, wire: WireLimits) -> uvicorn.Config:
    return uvicorn.Config(
        application.build(),
        http=guarded(wire.header_seconds),
        ws="websockets-sansio",
        ws_max_size=wire.message_bytes,
        ws_per_message_deflate=False,  # a small message may be a large one inside, and loopback has no need of it
        lifespan="off",
        log_config=None,
        log_level="critical",  # what a client does wrong is no line of ours
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=wire.connections,
        h11_max_incomplete_event_size=wire.header_bytes,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=CLOSING_SECONDS,
    )
