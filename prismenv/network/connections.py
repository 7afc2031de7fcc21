"""HTTP/1.1 to one service, for many requests at once, and no more of it than a service that speaks JSON needs.

Theory of operation. h11 knows the protocol, anyio the sockets; here are the connections between requests. Each is lent
to one request at a time, and the one that came back last is lent first. A service may close an idle one at any moment:
there is something to read then, its end, and it is not used again. What is left of that risk, as of any connection that
breaks, is the caller's: `Broken` does not say whether the request was done.

It is by hand because a question to a service is mostly this: an HTTP library of the general kind takes three times as
long, and after a pause, when nothing of it is in the processor's caches, that is more than a millisecond.
"""

import select
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

import anyio
import certifi
import h11
from anyio.abc import ByteStream, SocketAttribute

MOST = 512  # requests at once; what comes beyond waits
KEPT = 64  # idle connections
CONNECT_SECONDS = 10.0
_PIECE_BYTES = 2**16
_PORTS = {"http": 80, "https": 443}
_FOR_EVER = nullcontext()
_BROKEN = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, h11.ProtocolError)


class ConnectionTrouble(Exception):
    """Why there is no answer; one of the three below."""


class NotConnected(ConnectionTrouble):
    """No connection was made: the service cannot have acted."""


class TooSlow(ConnectionTrouble):
    """Nothing came for too long."""


class Broken(ConnectionTrouble):
    """The connection broke, or what came was no HTTP."""


class TooLong(ConnectionTrouble):
    """The answer is longer than what is read."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `path` is quoted already; an empty `body` is none."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole. Names of headers are in small letters; of several of one name the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Connection:
    stream: ByteStream
    state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    def usable(self) -> bool:
        """False where there is something to read: nothing was asked for, so it is the end."""
        try:
            poll = select.poll()
            poll.register(self.stream.extra(SocketAttribute.raw_socket), select.POLLIN)  # noqa: S610 - no database
            return not poll.poll(0)
        except (OSError, ValueError, anyio.TypedAttributeLookupError):  # it is closed already
            return False

    def next_round(self) -> bool:
        """Whether it is ready for another request now."""
        done = self.state.our_state is h11.DONE and self.state.their_state is h11.DONE
        if not done or self.state.trailing_data[0]:
            return False
        self.state.start_next_cycle()
        return True

    async def close(self) -> None:
        with suppress(*_BROKEN):
            await anyio.aclose_forcefully(self.stream)


class HttpConnections:
    """Connections to the service at `url`, each request with `headers`. No proxy and no redirect is followed."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        name = parts.hostname or ""
        self._host = name if name.isascii() else name.encode("idna").decode()
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=certifi.where())
        host = f"[{self._host}]" if ":" in self._host else self._host
        host += "" if self._port == _PORTS[parts.scheme] else f":{self._port}"
        self._folder = quote(parts.path, safe="/%:@!$&'()*+,;=~")
        self._headers = [(name.encode(), value.encode()) for name, value in {"Host": host, **headers}.items()]
        self._slots = anyio.Semaphore(MOST, fast_acquire=True)
        self._idle: list[_Connection] = []
        self._closed = False

    async def exchange(self, asked: Request, *, read_seconds: float | None, most_bytes: int) -> Response:
        """The answer to one request. `read_seconds`: within which something has to come. Raises ConnectionTrouble."""
        request = self._head(asked)
        async with self._slots:
            connection = await self._lent()
            kept = False
            try:
                response = await _spoken(connection, request, asked.body, read_seconds, most_bytes)
                kept = len(self._idle) < KEPT and not self._closed and connection.next_round()
            except TimeoutError as error:
                raise TooSlow("nothing came in time") from error
            except _BROKEN as error:
                raise Broken(str(error) or type(error).__name__) from error
            finally:
                if kept:
                    self._idle.append(connection)
                else:
                    await connection.close()
        return response

    async def aclose(self) -> None:
        """Close all; those that are lent once they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    def _head(self, asked: Request) -> h11.Request:
        target = self._folder + asked.path + (f"?{urlencode(asked.query)}" if asked.query else "")
        headers = [*self._headers, *asked.headers]
        if asked.body:
            headers.append((b"Content-Length", b"%d" % len(asked.body)))
        return h11.Request(method=asked.method, target=target, headers=headers)

    async def _lent(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            await connection.close()
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                if self._tls is None:
                    return _Connection(await anyio.connect_tcp(self._host, self._port))
                stream = await anyio.connect_tcp(
                    self._host, self._port, ssl_context=self._tls, tls_standard_compatible=False
                )
                return _Connection(stream)
        except TimeoutError as error:
            raise NotConnected("it took too long") from error
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise NotConnected(str(error) or type(error).__name__) from error


async def _spoken(
    connection: _Connection, request: h11.Request, body: bytes, read_seconds: float | None, most_bytes: int
) -> Response:
    state, stream = connection.state, connection.stream
    pieces = [state.send(request), state.send(h11.Data(data=body)) if body else b"", state.send(h11.EndOfMessage())]
    with _within(read_seconds), suppress(anyio.BrokenResourceError):  # it may have refused it meanwhile
        await stream.send(b"".join(piece or b"" for piece in pieces))
    status, headers, found = 0, dict[str, str](), bytearray()
    while True:
        event = state.next_event()
        if event is h11.NEED_DATA:
            with _within(read_seconds):
                state.receive_data(await _received(stream))
        elif isinstance(event, h11.Data):
            found += event.data
            if len(found) > most_bytes:
                raise TooLong
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif not isinstance(event, h11.InformationalResponse):
            return Response(status, headers, bytes(found))


def _within(seconds: float | None) -> AbstractContextManager[object]:
    return _FOR_EVER if seconds is None else anyio.fail_after(seconds)


async def _received(stream: ByteStream) -> bytes:
    try:
        return await stream.receive(_PIECE_BYTES)
    except anyio.EndOfStream:
        return b""  # as h11 has it
