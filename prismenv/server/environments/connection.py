"""The connection of a WebSocket as a session uses it: whole messages, answers, and word of a client that left.

ASGI has an event for each of these, and uvicorn a queue of them, a task that waits for each, and two calls of the
system for each message that turn reading off and on. Here only the handshake goes that way. A session that was
accepted takes messages from its connection, which reads on until a few are waiting, or as much as one large message is,
and is called when the client leaves. A client that takes no answers is not waited for when the connection ends: what it
did not take is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from anyio.lowlevel import checkpoint
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame

from prismenv.server.environments.talking import AHEAD_BYTES, WokenException
from prismenv.server.guard import SCOPE_KEY

_NOT_UTF_8 = 1007


class SessionConnection(WebSocketsSansIOProtocol):
    """A ClientConnection.

    `pending`, set on a subclass for uvicorn makes the protocols: how many messages wait before no more is read.
    """

    pending = 8
    on_gone: Callable[[], None] | None = None
    gone = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages: deque[str | None] = deque()
        self._ahead = 0  # bytes that came since nothing waited
        self._wanted: asyncio.Future[None] | None = None
        self._woken = False
        self._whole = bytearray()  # of a message that comes in several frames, however many and however small

    # What a session uses.

    async def next_message(self) -> str | None:
        """The next message; None: it was binary. Others run first, also where one waits already.

        WokenException after `wake`.
        """
        if self._messages:
            await checkpoint()
        else:
            self._wanted = self.loop.create_future()
            try:
                await self._wanted
            finally:
                self._wanted = None
        if self._woken:
            raise WokenException
        message = self._messages.popleft()
        if not self._messages:
            self._ahead = 0
            if self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    def wake(self) -> None:
        """End every wait for this client, now and from now on."""
        self._woken = True
        self.writable.set()
        self._arrived()

    def unread(self) -> list[str | None]:
        """What came and was not taken."""
        return list(self._messages)

    def limit(self, most_bytes: int) -> None:
        """Take no message that is longer."""
        self.conn.max_message_size = most_bytes

    def say(self, text: str) -> None:
        """Send text, sooner or later; to a client that left, nothing."""
        if self.gone or self.close_sent:
            return
        try:
            self.conn.send_text(text.encode())
        except InvalidState:  # it is leaving
            return
        self.transport.write(b"".join(self.conn.data_to_send()))

    @property
    def full(self) -> bool:
        """Whether more is unsent than should be; `drained` waits for it."""
        return not self.writable.is_set()

    async def drained(self) -> None:
        """Wait until the client took most of what was sent."""
        await self.writable.wait()

    def end(self, code: int) -> None:
        """Close in good order, and soon: a client that does not answer is left."""
        if self.gone or self.close_sent:
            return
        try:
            self.conn.send_close(code)
        except InvalidState:
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._messages.clear()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()  # for the client's own close
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def leave(self) -> None:
        """Close without a word; what was not sent yet is dropped."""
        self.transport.abort()

    # What uvicorn calls.

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # the task that answers it has not run yet
            cast("dict[str, Any]", self.scope)[SCOPE_KEY] = self

    def handle_text(self, event: Frame) -> None:
        self.curr_msg_data_type = "text"
        self._began(event)

    def handle_bytes(self, event: Frame) -> None:
        self.curr_msg_data_type = "bytes"
        self._began(event)

    def handle_cont(self, event: Frame) -> None:
        self._whole += event.data
        if event.fin:
            self._came(bytes(self._whole))
            self._whole = bytearray()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._left()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._left()

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self._left()

    def send_keepalive_ping(self) -> None:
        if self.read_paused:  # its answer would not be read either
            self.schedule_ping()
        else:
            super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        if self.read_paused:
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()
            self.leave()

    def _began(self, event: Frame) -> None:
        if event.fin:
            self._came(event.data)
        else:
            self._whole = bytearray(event.data)

    def _came(self, data: Any) -> None:
        if self.close_sent or self.gone:
            return
        try:
            self._messages.append(str(data, "utf-8") if self.curr_msg_data_type == "text" else None)
        except UnicodeDecodeError:
            self.conn.send_close(_NOT_UTF_8)
            self.handle_parser_exception()
            return
        self._arrived()
        self._ahead += len(data)
        if (len(self._messages) >= self.pending or self._ahead >= AHEAD_BYTES) and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _arrived(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def _left(self) -> None:
        if not self.gone:
            self.gone = True
            if self.on_gone is not None:
                self.on_gone()


def session_connection(pending: int) -> type[Any]:
    """The protocol with that many messages read ahead."""
    return type("SessionConnection", (SessionConnection,), {"pending": pending})
