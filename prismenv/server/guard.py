"""One connection to the service, with limits that uvicorn has not: a head that is too large or does not come is cut.

uvicorn waits for ever for the rest of a request's head, and for the first request of a connection; so many connections
that send a byte a minute would take all there may be. Here a connection that is not answering and has not sent a whole
head in time is closed. The body has its own deadline, in the application.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class GuardedProtocol(H11Protocol):
    """`header_seconds` is set on a subclass, for uvicorn makes the protocols itself; so is h11's limit of a head."""

    header_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # a head is whole
            self._head_came()
        elif self._deadline is None and before.response_complete and self.conn.trailing_data[0]:
            self._expect_head()  # the next one has begun

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def guarded(header_seconds: float) -> type[Any]:
    """The protocol with that time for a head."""
    return type("GuardedProtocol", (GuardedProtocol,), {"header_seconds": header_seconds})
