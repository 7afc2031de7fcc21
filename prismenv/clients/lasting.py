"""A link that outlives its connection: the server keeps the instance, and a new connection goes on with it."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import anyio

from prismenv.clients.links import CLOSE_SECONDS, ConnectionLost, Link, WebSocketLink
from prismenv.contracts.clock import Clock
from prismenv.words.errors import ConfigurationException, EnvironmentException, HostException

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
_NAMED = ("reset", "step")  # the other calls change nothing, and may be done twice
_PASSING = ("unreachable", "refused")  # a server or a proxy that may be there again soon

# `connect(headers=…)`: a link that is not open yet.
Connect = Callable[..., WebSocketLink]


class LastingLink(Link):
    """`seconds`: for how long a lost connection is made again. One call at a time."""

    def __init__(self, connect: Connect, clock: Clock, seconds: float) -> None:
        if not (math.isfinite(seconds) and seconds > 0):
            raise ConfigurationException(
                f"reconnect_seconds must be more than 0, found {seconds!r}",
                code="bad_option",
                subject="reconnect_seconds",
            )
        self._connect = connect
        self._clock = clock
        self._seconds = seconds
        self._link: WebSocketLink | None = None
        self._session: Mapping[str, str] | None = None
        self._lock = anyio.Lock()

    async def open(self) -> None:
        link = self._connect()
        await link.open()
        told: Mapping[str, Any] = {}
        try:
            told = await link.call("session") or {}
        finally:
            if "token" not in told:
                await link.close()
        if "token" not in told:
            raise ConfigurationException(
                "the server keeps no sessions: reconnect_seconds is for servers of prismenv",
                code="cannot_reconnect",
                subject="reconnect_seconds",
            )
        self._session = {"X-Session-ID": str(told["session_id"]), "X-Session-Token": str(told["token"])}
        self._link = link

    async def call(self, kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        request_id = self._clock.new_id("request") if kind in _NAMED else None
        async with self._lock:
            end = self._clock.monotonic() + self._seconds
            while True:
                link = await self._resumed(end)
                try:
                    return await link.call(kind, data, request_id=request_id)
                except ConnectionLost:
                    if self._clock.monotonic() >= end:
                        raise
                    await self._clock.sleep(FIRST_PAUSE_SECONDS)

    async def _resumed(self, end: float) -> WebSocketLink:
        """The connection, made again where it was lost; at least one try is made."""
        if self._session is None:
            raise HostException("the client is not open: use `async with`, once each", code="closed")
        pause = FIRST_PAUSE_SECONDS
        while self._link is None or not self._link.is_open:
            link = self._connect(headers=self._session)
            try:
                await link.open()
                self._link = link
            except HostException as error:
                if error.code not in _PASSING or self._clock.monotonic() + pause > end:
                    raise
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return self._link

    async def schemas(self) -> dict[str, Any]:
        return await self._connect().schemas()

    async def close(self) -> None:
        """Let go of the instance; where the connection is lost it is made once more for that."""
        if self._session is None:
            return
        with anyio.move_on_after(CLOSE_SECONDS, shield=True), suppress(EnvironmentException):
            link = await self._resumed(self._clock.monotonic())
            await link.close()
        self._link = self._session = None
