"""The LLM interface's server: an address, a process that listens there, and its end in good order.

Told to stop, the service takes nothing new, but goes on listening while what runs ends, so that clients which poll can
come for their answers; only then are the connections closed.
"""

import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.interface import ServedInterface
from prismenv.contracts.servicebook import ServiceBook
from prismenv.server.application import Application
from prismenv.server.guard import guarded
from prismenv.server.health import HealthBoard
from prismenv.server.interface import InterfaceService
from prismenv.server.limits import ServiceLimits
from prismenv.server.scarcity import told_seldom
from prismenv.server.tokens import Tokens
from prismenv.words.errors import ConfigurationException

KEEP_ALIVE_SECONDS = 75
CLOSING_SECONDS = 5  # for answers that are being sent when all is done


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: the interface, its roles, and the name of a role's model (see HealthBoard).

    `book`: what this process shares with others that serve the same, None where it serves alone.
    """

    interface: ServedInterface
    roles: Sequence[str]
    model: Callable[[str], str]
    book: ServiceBook | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where, for whom, and how much. Port 0 is one that is free."""

    host: str = "127.0.0.1"
    port: int = 8010
    tokens: Tokens = field(default_factory=Tokens)
    limits: ServiceLimits = field(default_factory=ServiceLimits)


class RunningService:
    """A service that listens at `url`."""

    def __init__(self, url: str, service: InterfaceService, server: uvicorn.Server) -> None:
        self.url = url
        self.service = service
        self._server = server

    async def stop(self) -> None:
        """Take nothing new, let what runs end within the grace, and hand back the rest."""
        await self.service.drain()
        self._server.should_exit = True


class Server(uvicorn.Server):
    """Signals are the command line's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running_service(
    served: Served,
    settings: ServeSettings,
    clock: Clock | None = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[RunningService]:
    """The service, listening; at the end what runs is handed back at once, unless `stop` was awaited before.

    `listener` is one that listens at the settings' address already, None: it is made here. Raises
    ConfigurationException for an address that is taken, that there is not, or that is open to others without a token.
    """
    if listener is None:
        listener = listen(settings.host, settings.port, open_to_all=not settings.tokens)
    local = is_local(str(listener.getsockname()[0]))
    clock, limits = clock or SystemClock(), settings.limits
    with closing(listener):  # also where the server does not come to it
        async with anyio.create_task_group() as group:
            service = InterfaceService(served.interface, clock, group, limits, book=served.book)
            health = HealthBoard(served.interface, served.roles, served.model, clock)
            application = Application(service, health, settings.tokens, local=local and not settings.tokens)
            http = HttpLimits(limits.header_bytes, limits.header_seconds, limits.connections)
            server = Server(server_config(application.build(), http))
            url = url_of(listener)
            await service.begin_work()
            done = anyio.Event()
            group.start_soon(serve_there, server, listener, done)
            try:
                yield RunningService(url, service, server)
            finally:
                with anyio.CancelScope(shield=True):
                    service.abort()
                    server.should_exit = True
                    await done.wait()
                    await service.end_work()
                group.cancel_scope.cancel()


def listen(host: str, port: int, *, open_to_all: bool) -> socket.socket:
    """A socket that listens there. Raises ConfigurationException."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConfigurationException(f"--host {host}: there is no such address: {error}", code="no_address") from error
    family, kind, protocol, _, address = found[0]
    if open_to_all and not is_local(str(address[0])):
        raise ConfigurationException(
            f"--host {host} can be reached from other machines, and no token is asked for",
            code="no_token",
            hint="Name a token with --token-file or --token-variable, or listen on 127.0.0.1.",
        )
    # With the protocol's number: asyncio turns Nagle's algorithm, which costs 40 ms a request, off for such alone.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)  # at once: until then another process can bind the same port
        listener.setblocking(False)  # noqa: FBT003 - the library's own signature
    except OSError as error:
        listener.close()
        raise _not_bound(host, port, error) from error
    return listener


def is_local(address: str) -> bool:
    """Whether only this machine can reach it."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _not_bound(host: str, port: int, error: OSError) -> ConfigurationException:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationException(
            f"port {port} of {host} is taken: another server listens there",
            code="port_in_use",
            hint="Stop that one, or choose another: --port N, or --port 0 for one that is free.",
        )
    return ConfigurationException(
        f"cannot listen on port {port} of {host}: {error.strerror or error}", code="no_address"
    )


def url_of(listener: socket.socket) -> str:
    """The address that clients are given."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may hold: see ServiceLimits and WireLimits, of which these are."""

    header_bytes: int
    header_seconds: float
    connections: int
    send_seconds: float = 30.0


def server_config(application: Any, limits: HttpLimits, **more: Any) -> uvicorn.Config:
    """uvicorn's options, the same for all our servers; `more` are those of one alone."""
    options: dict[str, Any] = {"ws": "none", **more}
    return uvicorn.Config(
        application,
        http=guarded(limits.header_seconds, limits.send_seconds),
        lifespan="off",
        log_config=None,
        log_level="critical",  # what a client does wrong is no line of ours
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.header_bytes,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        **options,
    )


async def serve_there(server: uvicorn.Server, listener: socket.socket, done: anyio.Event) -> None:
    """Serve until the server is told to stop; then the listener is closed and `done` is set."""
    try:
        with told_seldom():
            await server.serve(sockets=[listener])
    finally:
        listener.close()
        done.set()
