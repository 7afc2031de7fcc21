"""HTTP clients for many requests at once.

httpx looks through all connections of a client for each request, and asks the system about every idle one: 4 ms of CPU
with 64 of them. So each client here has one connection, is lent to one request at a time, and the one that came back
last is lent first.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

MOST = 512  # requests at once; what comes beyond waits
KEPT = 64  # idle connections


class HttpClients:
    """Lends clients that send `headers` to the service at `url`."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        # One context for all: each takes longer to make than a request.
        verify = httpx.create_ssl_context(trust_env=False) if url.startswith("https:") else False
        self._options: dict[str, Any] = {
            "headers": headers,
            "limits": httpx.Limits(max_connections=1, max_keepalive_connections=1),
            "follow_redirects": False,
            "trust_env": False,  # neither proxies nor .netrc passwords from the surroundings
            "verify": verify,
        }
        self._slots = anyio.Semaphore(MOST)
        self._idle: list[httpx.AsyncClient] = []
        self._closed = False

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that nobody else uses meanwhile."""
        async with self._slots:
            client = self._idle.pop() if self._idle else httpx.AsyncClient(**self._options)
            try:
                yield client
            finally:
                if len(self._idle) < KEPT and not self._closed:
                    self._idle.append(client)
                else:
                    with anyio.CancelScope(shield=True):
                        await client.aclose()

    async def aclose(self) -> None:
        """Close all; those that are lent once they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().aclose()
