"""The server of environments: an address, a process that listens there, and its end in good order.

Told to stop, the server begins nothing new, lets calls that run end, tells every session that it is over, and only then
closes the connections.
"""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import uvicorn

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.methodthreads import method_threads
from prismenv.engine.host.host import EnvironmentHost, HostLimits
from prismenv.engine.host.kept import KeptInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.admission import Admission
from prismenv.server.environments.application import EnvironmentApplication
from prismenv.server.environments.connection import session_connection
from prismenv.server.environments.health import EnvironmentHealth
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.rates import Rates
from prismenv.server.serving import HttpLimits, Server, is_local, listen, serve_there, server_config, url_of
from prismenv.server.tokens import Tokens


@dataclass(frozen=True, slots=True)
class EnvironmentServeSettings:
    """Where, for whom, and how much. Port 0 is one that is free.

    `insecure`: an address that other machines reach may be listened to without a token. `only`: the environment that is
    served at the root too, None: none is. `seed` is what episodes' seeds come from that name none. `hosts`: names by
    which browsers may reach the server. `origins`: of pages of others that may use it. `requests_per_second` is what
    one token may that has no rate of its own, None: as many as it likes.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    tokens: Tokens = field(default_factory=Tokens)
    insecure: bool = False
    only: str | None = None
    seed: int = 0
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    requests_per_second: float | None = None
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
    threads = method_threads()
    given_up = "Plain methods that go on though their calls were given up."
    meter.gauge("abandoned_threads", given_up, lambda: threads.abandoned)
    application = EnvironmentApplication(
        hosted,
        host,
        meter,
        EnvironmentHealth(hosted, clock),
        _admission(settings, clock, local=local),
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


def _admission(settings: EnvironmentServeSettings, clock: Clock, *, local: bool) -> Admission:
    """Which names browsers may use: without tokens this machine's own and those of the settings, with tokens any."""
    tokens, hosts = settings.tokens, {name.lower() for name in settings.hosts}
    if not tokens and not local:
        hosts |= {"localhost", settings.host.lower(), socket.gethostname().lower()}
    return Admission(
        tokens,
        local=local and not tokens,
        hosts=frozenset(hosts) or None,
        origins=settings.origins,
        rates=_rates(settings, clock),
    )


def _rates(settings: EnvironmentServeSettings, clock: Clock) -> Rates | None:
    if settings.requests_per_second is None and not settings.tokens.have_rates:
        return None
    return Rates(clock, settings.requests_per_second)


def _config(application: EnvironmentApplication, wire: WireLimits) -> uvicorn.Config:
    return server_config(
        application.build(),
        HttpLimits(wire.header_bytes, wire.header_seconds, wire.connections, wire.send_seconds),
        ws=session_connection(wire.pending),
        ws_max_size=wire.message_bytes,
        ws_ping_interval=wire.ping_seconds,
        ws_ping_timeout=wire.ping_seconds,
        ws_per_message_deflate=False,  # a small message may be a large one inside, and loopback has no need of it
    )
