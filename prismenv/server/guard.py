"""One connection to the service, with what uvicorn has not: limits of a request's head, and word of a client that left.

uvicorn waits for ever for the rest of a request's head, and for the first request of a connection; so many connections
that send a byte a minute would take all there may be. Here a connection that is not answering and has not sent a whole
head in time is closed, and so is one whose client does not take its answer. The body has its own deadline, in the
application; one that was answered before its body came, such as a stranger's, has that of a head.

ASGI's word for a client that left is an event which somebody has to wait for: a task for each request. Here it is a
call. And what is written within one turn of the event loop is sent at once, so that head and body of an answer wake the
client once.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

SCOPE_KEY = "prismenv.connection"  # of an ASGI scope


class GuardedProtocol(H11Protocol):
    """`header_seconds` is set on a subclass, for uvicorn makes the protocols itself; so is h11's limit of a head, and
    `send_seconds`: how long a client may take nothing of an answer that waits for it.

    `on_gone` is called when the client leaves; `gone`: it has left.
    """

    header_seconds = 10.0
    send_seconds = 30.0
    on_gone: Callable[[], None] | None = None
    gone = False
    _deadline: asyncio.TimerHandle | None = None
    _unsent: asyncio.TimerHandle | None = None
    _upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_JoiningTransport(transport, self.loop))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._head_came()
        self._taken()
        if self.on_gone is not None:
            self.on_gone()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taken()
        self._unsent = self.loop.call_later(self.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # a head is whole; the task that answers it has not run yet
            self._head_came()
            cast("dict[str, Any]", self.cycle.scope)[SCOPE_KEY] = self
        elif self._deadline is None and not self._upgraded and before.response_complete and self.conn.trailing_data[0]:
            self._expect_head()  # the next one has begun

    def on_response_complete(self) -> None:
        cycle = self.cycle
        super().on_response_complete()
        if self.cycle is cycle and self._deadline is None and self.conn.their_state is h11.SEND_BODY:
            self._expect_head()  # of the next request: nobody reads what still comes of this one's body

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._upgraded = True  # from here on the connection is another protocol's
        self._head_came()
        self._taken()
        self.transport = cast("_JoiningTransport", self.transport).direct()
        super().handle_websocket_upgrade(event)

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _taken(self) -> None:
        if self._unsent is not None:
            self._unsent.cancel()
            self._unsent = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


class _JoiningTransport(asyncio.Transport):
    """Sends what is written within one turn of the loop as one piece."""

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop
        self._written: list[bytes] = []

    def write(self, data: Any) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self._send()
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner.set_protocol(protocol)

    def direct(self) -> asyncio.Transport:
        """What is beneath, for a protocol that writes an answer as one piece."""
        self._send()
        return self._inner

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def _send(self) -> None:
        written, self._written = self._written, []
        if written and not self._inner.is_closing():
            self._inner.write(b"".join(written))


def guarded(header_seconds: float, send_seconds: float = 30.0) -> type[Any]:
    """The protocol with that time for a head, and for an answer."""
    return type("GuardedProtocol", (GuardedProtocol,), {"header_seconds": header_seconds, "send_seconds": send_seconds})
