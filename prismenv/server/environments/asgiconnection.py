"""The connection of a WebSocket where somebody else's server keeps it: all that is known of it are ASGI's events."""

from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.lowlevel import checkpoint
from starlette.websockets import WebSocket, WebSocketDisconnect

from prismenv.server.environments.talking import AHEAD_BYTES, ClientConnection, WokenException

CLOSING_SECONDS = 5.0  # for what was said last
_TOO_LONG = 1009
_FULL = 8  # answers that may wait for the client


class AsgiConnection(ClientConnection):
    """`pending`: how many messages wait before no more are read.

    A message is read whole before its length is known: the longest that the server takes is the server's business.
    """

    on_gone: Callable[[], None] | None = None
    gone = False

    def __init__(self, websocket: WebSocket, pending: int) -> None:
        self._websocket = websocket
        self._pending = pending
        self._most_bytes: int | None = None
        self._messages: deque[str | None] = deque()
        self._ahead = 0  # bytes that came since nothing waited
        self._answers: deque[str] = deque()
        self._code: int | None = None  # of the end
        self._woken = False
        self._changed = anyio.Event()
        self._reading = anyio.CancelScope()
        self._writing = anyio.CancelScope()

    async def serve(self, session: Callable[[], Awaitable[None]]) -> None:
        """Keep the connection while the session runs, and until the client took what it was told last."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read)
            group.start_soon(self._write)
            try:
                await session()
            finally:
                self.end(1000)
                self._writing.deadline = anyio.current_time() + CLOSING_SECONDS
                self._reading.cancel()

    async def next_message(self) -> str | None:
        await checkpoint()
        while not self._messages and not self._woken:
            await self._changed.wait()
        if self._woken:
            raise WokenException
        message = self._messages.popleft()
        if not self._messages:
            self._ahead = 0
        self._change()
        return message

    def wake(self) -> None:
        self._woken = True
        self._change()

    def unread(self) -> list[str | None]:
        return list(self._messages)

    def limit(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    def say(self, text: str) -> None:
        if not self.gone and self._code is None:
            self._answers.append(text)
            self._change()

    @property
    def full(self) -> bool:
        return len(self._answers) >= _FULL and not self._woken and not self.gone

    async def drained(self) -> None:
        while self.full:
            await self._changed.wait()

    def end(self, code: int) -> None:
        if self._code is None:
            self._code = code
            self._change()

    def leave(self) -> None:
        self._writing.cancel()

    async def _read(self) -> None:
        with self._reading:
            while not self.gone and self._code is None:
                while len(self._messages) >= self._pending or self._ahead >= AHEAD_BYTES:
                    await self._changed.wait()
                event = await self._websocket.receive()
                if event["type"] == "websocket.disconnect":
                    self._left()
                    return
                text: str | None = event.get("text")
                size = len(event.get("bytes") or b"") if text is None else len(text.encode())
                if self._most_bytes is not None and size > self._most_bytes:
                    self.end(_TOO_LONG)
                    self._left()
                    return
                self._messages.append(text)
                self._ahead += size
                self._change()

    async def _write(self) -> None:
        with self._writing:
            try:
                while not self.gone or self._code is not None:
                    if self._answers:
                        await self._websocket.send_text(self._answers[0])
                        self._answers.popleft()
                        self._change()
                    elif self._code is not None:
                        await self._websocket.close(self._code)
                        return
                    else:
                        await self._changed.wait()
            except (WebSocketDisconnect, RuntimeError, OSError):  # the client is gone, which a server tells as it likes
                pass
        self._left()

    def _left(self) -> None:
        if not self.gone:
            self.gone = True
            self._answers.clear()
            self._change()
            if self.on_gone is not None:
                self.on_gone()

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
