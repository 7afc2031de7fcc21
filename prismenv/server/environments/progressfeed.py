"""An answer over HTTP that may be preceded by notifications: JSON where there are none, else a stream of events."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prismenv.contracts.progress import ProgressReport, progress_listener
from prismenv.server.environments.jsonrpc import notification_of

PENDING = 64  # reports that a slow client has not taken; what comes beyond is left out
_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class ProgressFeed:
    """Hears the reports of a call, from whatever thread, and hands them on in the event loop's. They always grow."""

    def __init__(self, token: str | int) -> None:
        self._token = token
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._last = float("-inf")
        self._send, self.received = anyio.create_memory_object_stream[dict[str, Any]](PENDING)

    def __call__(self, report: ProgressReport) -> None:
        if threading.get_ident() == self._thread:
            self._put(report)
        else:
            self._loop.call_soon_threadsafe(self._put, report)

    def close(self) -> None:
        """Nothing comes any more."""
        self._send.close()

    def _put(self, report: ProgressReport) -> None:
        if report.progress <= self._last:
            return
        params: dict[str, Any] = {"progressToken": self._token, "progress": report.progress}
        if report.total is not None:
            params["total"] = report.total
        if report.message is not None:
            params["message"] = report.message
        with suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._send.send_nowait(notification_of("notifications/progress", params))
            self._last = report.progress


class ProgressResponse(Response):
    """Does the work while it answers. `work` gives the last message, and never raises."""

    def __init__(self, work: Callable[[], Awaitable[dict[str, Any]]], feed: ProgressFeed) -> None:
        super().__init__()
        self._work = work
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        done: list[dict[str, Any]] = []
        begun = False
        async with self._feed.received, anyio.create_task_group() as tasks:
            tasks.start_soon(self._run, done)
            async for event in self._feed.received:
                if not begun:
                    await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
                    begun = True
                await send({"type": "http.response.body", "body": _event(event), "more_body": True})
        if begun:
            await send({"type": "http.response.body", "body": _event(done[0])})
        else:
            response = Response(json.dumps(done[0]).encode(), media_type="application/json")
            await response(scope, receive, send)

    async def _run(self, done: list[dict[str, Any]]) -> None:
        progress_listener.set(self._feed)
        try:
            done.append(await self._work())
        finally:
            self._feed.close()


def _event(message: dict[str, Any]) -> bytes:
    return f"event: message\r\ndata: {json.dumps(message)}\r\n\r\n".encode()
