"""A WebSocket that somebody else's server keeps, told by ASGI's events alone."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocket

from prismenv.server.environments.asgiconnection import AsgiConnection
from prismenv.server.environments.talking import WokenException

pytestmark = pytest.mark.anyio
Session = Callable[[], Awaitable[None]]


class Server:
    """What a server does: hands on what the client says, one by one, and takes what it is told, or does not."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = [{"type": "websocket.connect"}, *events]
        self.asked = 0
        self.sent: list[dict[str, Any]] = []
        self.takes = anyio.Event()
        self.takes.set()
        self.broken = False

    async def receive(self) -> dict[str, Any]:
        if self.asked == len(self.events):
            await anyio.sleep_forever()
        self.asked += 1
        return self.events[self.asked - 1]

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        if self.broken:
            raise OSError("broken pipe")
        self.sent.append(dict(message))

    async def connection(self, pending: int = 2) -> AsgiConnection:
        websocket = WebSocket({"type": "websocket"}, self.receive, self.send)
        await websocket.accept()
        self.sent.clear()
        return AsgiConnection(websocket, pending)

    @property
    def said(self) -> list[Any]:
        return [each.get("text", each.get("code")) for each in self.sent]


def text(said: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": said}


GONE = {"type": "websocket.disconnect", "code": 1006}


async def test_messages_come_in_order_binary_ones_as_none_and_the_end_comes_after_all_answers() -> None:
    server = Server(text("a"), {"type": "websocket.receive", "bytes": b"b"}, text("c"))
    connection = await server.connection()

    async def session() -> None:
        for expected in ("a", None, "c"):
            assert await connection.next_message() == expected
            connection.say(f"told {expected}")
        connection.end(1000)
        connection.say("too late")

    await connection.serve(session)
    assert server.said == ["told a", "told None", "told c", 1000]


async def test_no_more_is_read_than_may_wait() -> None:
    server = Server(*[text(str(number)) for number in range(9)])
    connection = await server.connection(pending=3)

    async def session() -> None:
        await anyio.wait_all_tasks_blocked()
        assert (connection.unread(), server.asked) == (["0", "1", "2"], 4)
        for number in range(9):
            assert await connection.next_message() == str(number)

    await connection.serve(session)


async def test_a_client_that_leaves_is_told_of_at_once_also_behind_what_it_said() -> None:
    server = Server(text("a"), GONE)
    connection = await server.connection()
    left: list[bool] = []

    async def session() -> None:
        connection.on_gone = lambda: left.append(connection.gone)
        await anyio.wait_all_tasks_blocked()
        connection.say("nobody hears it")

    await connection.serve(session)
    assert (left, server.said, connection.unread()) == ([True], [], ["a"])


async def test_who_waits_for_a_client_is_woken() -> None:
    server = Server()
    connection = await server.connection()
    woken: list[str] = []

    async def session() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(waits)
            await anyio.wait_all_tasks_blocked()
            connection.wake()

    async def waits() -> None:
        with pytest.raises(WokenException):
            await connection.next_message()
        woken.append("it")

    await connection.serve(session)
    assert woken == ["it"]


async def test_a_client_that_takes_nothing_fills_up_and_is_left_without_a_word() -> None:
    server = Server()
    connection = await server.connection()

    async def session() -> None:
        server.takes = anyio.Event()
        while not connection.full:
            connection.say("x")
        with anyio.move_on_after(0.05) as scope:
            await connection.drained()
        assert scope.cancelled_caught
        server.takes.set()
        await connection.drained()
        assert not connection.full
        await anyio.wait_all_tasks_blocked()
        server.takes = anyio.Event()
        connection.say("y")
        await anyio.wait_all_tasks_blocked()
        connection.leave()

    await connection.serve(session)
    assert "y" not in server.said


@pytest.mark.parametrize("event", [text("é" * 6), {"type": "websocket.receive", "bytes": b"x" * 11}])
async def test_a_message_that_is_too_long_ends_the_connection(event: dict[str, Any]) -> None:
    server = Server(text("x" * 10), event)
    connection = await server.connection()
    connection.limit(10)
    gone = anyio.Event()

    async def session() -> None:
        connection.on_gone = gone.set
        assert await connection.next_message() == "x" * 10
        await gone.wait()

    await connection.serve(session)
    assert server.said == [1009]


async def test_a_server_that_fails_to_send_has_lost_the_client() -> None:
    server = Server()
    connection = await server.connection()
    gone = anyio.Event()

    async def session() -> None:
        connection.on_gone = gone.set
        server.broken = True
        connection.say("x")
        await gone.wait()

    await connection.serve(session)
    assert connection.gone
