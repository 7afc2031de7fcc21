"""HTTP clients that are lent to one request at a time."""

import pytest

from prismenv.sessions.connections import KEPT, HttpClients

pytestmark = pytest.mark.anyio


async def test_the_client_that_came_back_last_is_lent_first_and_to_one_at_a_time() -> None:
    clients = HttpClients("http://127.0.0.1:1", {"X-Mine": "yes"})
    async with clients.lent() as first, clients.lent() as second:
        assert first is not second
        assert first.headers["X-Mine"] == second.headers["X-Mine"] == "yes"
    async with clients.lent() as again:
        assert again is first
        await clients.aclose()
        assert (first.is_closed, second.is_closed) == (False, True)
    assert first.is_closed


async def test_only_so_many_idle_connections_are_kept() -> None:
    clients = HttpClients("http://127.0.0.1:1", {})
    lent = [clients.lent() for _ in range(KEPT + 3)]
    opened = [await each.__aenter__() for each in lent]
    for each in lent:
        await each.__aexit__(None, None, None)
    assert sum(client.is_closed for client in opened) == 3
    await clients.aclose()
    assert all(client.is_closed for client in opened)
