"""The wire to a server under test: HTTP and WebSockets, and what went over it last."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from prismenv.network.connections import ConnectionTrouble, HttpConnections, Request
from prismenv.words.errors import ConfigurationException, HostException

MOST_BYTES = 16 * 2**20
SHOWN = 400  # characters of what was sent and got
OPEN_SECONDS = 10.0


class WireTrouble(Exception):
    """There is no answer, or none that can be read."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is under test: its address, the token (None: none), and what its checks need to know of it.

    `environment` is PrismBench's name of one, `action` a valid action of OpenEnv's; None: the checks choose.
    """

    url: str
    token: str | None = None
    environment: str | None = None
    action: Mapping[str, Any] | None = None
    answer_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP. `document` is its JSON, the last message of a stream of events, or None."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    document: Any


class Wire:
    """One check's own connections. `sent` and `got` are what went over them last."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.sent = ""
        self.got = ""
        headers = {} if subject.token is None else {"Authorization": f"Bearer {subject.token}"}
        self._headers = headers
        self._http = HttpConnections(subject.url.rstrip("/"), headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def require_server(self) -> None:
        """HostException where nobody listens at the address."""
        try:
            await self.ask("GET", "/health")
        except WireTrouble as error:
            raise HostException(f"{_shown(self.subject.url)} cannot be reached: {error}", code="unreachable") from error

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; a `body` that is bytes is sent as it is, anything else as JSON. None: there is none."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        own = {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
        self.sent = _cut(f"{method} {path} {content.decode(errors='replace')}".strip())
        self.got = ""
        asked = Request(method, path, query, [(name.encode(), value.encode()) for name, value in own.items()], content)
        try:
            found = await self._http.exchange(asked, read_seconds=self.subject.answer_seconds, most_bytes=MOST_BYTES)
        except ConnectionTrouble as error:
            raise WireTrouble(str(error) or type(error).__name__) from error
        self.got = _cut(f"{found.status} {found.body.decode(errors='replace')}".strip())
        kind = found.headers.get("content-type", "")
        return Answer(found.status, found.headers, found.body, _document(found.body, kind))

    @asynccontextmanager
    async def talk(self) -> AsyncIterator["Talk"]:
        """A WebSocket at `/ws`."""
        try:
            from websockets.asyncio.client import connect  # noqa: PLC0415 - an extra's library is imported where it is used
            from websockets.exceptions import WebSocketException  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationException(
                "the protocol needs websockets, which is not installed",
                code="missing_extra",
                subject="websockets",
                hint="Install it: pip install 'prismenv[client]'",
            ) from error
        scheme, _, rest = self.subject.url.rstrip("/").partition("://")
        address = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws"
        self.sent = f"a WebSocket to {_shown(address)}"
        try:
            connection = await connect(
                address,
                additional_headers=self._headers,
                open_timeout=OPEN_SECONDS,
                max_size=MOST_BYTES,
                compression=None,
                proxy=None,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            raise WireTrouble(f"it does not open: {error}") from error
        try:
            yield Talk(self, connection)
        finally:
            await connection.close()


class Talk:
    """One WebSocket, which speaks JSON."""

    def __init__(self, wire: Wire, connection: Any) -> None:
        self._wire = wire
        self._connection = connection

    async def say(self, said: Any) -> None:
        """Send text or bytes as they are, anything else as JSON."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        self._wire.sent = _cut(said if isinstance(said, str) else str(said) if isinstance(said, bytes) else "")
        self._wire.sent = self._wire.sent or _cut(json.dumps(said))
        self._wire.got = ""
        try:
            await self._connection.send(said if isinstance(said, str | bytes) else json.dumps(said))
        except ConnectionClosed as error:
            raise WireTrouble(f"the connection was closed: {error}") from error

    async def hear(self) -> dict[str, Any]:
        """The next message, which has to be a JSON object."""
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        try:
            text = await self._connection.recv()
            self._wire.got = _cut(str(text))
            found = json.loads(text)
        except ConnectionClosed as error:
            raise WireTrouble(f"the connection was closed: {error}") from error
        except ValueError as error:
            raise WireTrouble(f"no JSON: {self._wire.got}") from error
        if not isinstance(found, dict):
            raise WireTrouble(f"no object: {self._wire.got}")
        return found

    async def ask(self, kind: str, data: Any = None) -> dict[str, Any]:
        """A message of OpenEnv's and its answer; `data` None: the message has none."""
        await self.say({"type": kind} if data is None else {"type": kind, "data": data})
        return await self.hear()

    async def closed(self) -> int | None:
        """The code with which the server closes; None: it went without one."""
        await self._connection.wait_closed()
        code: int | None = self._connection.close_code
        self._wire.got = _cut(f"{self._wire.got} closed with {code}".strip())
        return code


def _document(body: bytes, kind: str) -> Any:
    """The JSON of a body; of a stream of events that of the last one. None where it is none."""
    text = body.decode(errors="replace")
    if kind.startswith("text/event-stream"):
        lines = [line.partition(":")[2] for line in text.splitlines() if line.startswith("data:")]
        text = lines[-1] if lines else ""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _shown(url: str) -> str:
    """An address without what may be a secret in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
