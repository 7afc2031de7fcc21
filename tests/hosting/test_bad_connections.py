"""Clients that are slow, half there, or say what no client says: they are let go, and others notice nothing."""

import base64
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
from websockets.frames import Frame, Opcode

from prismenv import BaseEnvironment, EnvironmentConfig, environment_registry
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.environments.serving import EnvironmentServeSettings, running_environments

pytestmark = pytest.mark.anyio
SECONDS = 60
ECHO, TRIED, BLOCKING = "environment_echo", "environment_tried", "environment_blocking"
HUGE = 100 * 2**20


@asynccontextmanager
async def raw(running: Any, sent: bytes = b"", name: str = ECHO) -> AsyncIterator[anyio.abc.SocketStream]:
    """A connection that asked for a WebSocket, and sent that at once besides."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /environments/{name}/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    async with await anyio.connect_tcp("127.0.0.1", int(running.url.rpartition(":")[2])) as stream:
        with anyio.fail_after(SECONDS):
            await stream.send(head.encode() + sent)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += await stream.receive()
            assert answer.startswith(b"HTTP/1.1 101 ")
            yield stream


def frame(data: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=True))


async def to_end(stream: anyio.abc.SocketStream) -> bytes:
    """All that still comes, until the server closes."""
    heard = b""
    with anyio.fail_after(SECONDS):
        try:
            while True:
                heard += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return heard


async def answers(stream: anyio.abc.SocketStream, enough: bytes) -> bytes:
    heard = b""
    with anyio.fail_after(SECONDS):
        while enough not in heard:
            heard += await stream.receive()
    return heard


async def still_serves(running: Any, talk: Any) -> None:
    async with talk(running, ECHO) as other:
        assert (await other.ask("reset"))["type"] == "observation"


async def test_a_frame_of_100_mb_is_refused_by_its_head(serve: Any, talk: Any, until: Any) -> None:
    async with serve() as running, raw(running) as stream:
        await stream.send(b"\x81\xff" + HUGE.to_bytes(8, "big") + b"mask")
        assert (1009).to_bytes(2, "big") in await to_end(stream)
        await until(lambda: running.host.active == 0)
        await still_serves(running, talk)


async def test_fragments_are_as_many_and_as_small_as_a_client_likes_but_no_longer_together(
    serve: Any, talk: Any
) -> None:
    said = json.dumps({"type": "reset", "data": {}}).encode()
    pieces = [frame(said[:1], fin=False)]
    pieces += [frame(b"", Opcode.CONT, fin=False)] * 5000
    pieces += [frame(said[at : at + 1], Opcode.CONT, fin=at + 1 == len(said)) for at in range(1, len(said))]
    async with serve(wire={"message_bytes": 10_000}) as running:
        async with raw(running) as stream:
            await stream.send(b"".join(pieces))
            assert b"Echo environment ready!" in await answers(stream, b"ready!")
        async with raw(running) as stream:
            await stream.send(frame(b"a" * 6000, fin=False) + frame(b"a" * 6000, Opcode.CONT, fin=False))
            assert (1009).to_bytes(2, "big") in await to_end(stream)
        await still_serves(running, talk)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(b"x", Opcode.CONT), 1002),  # goes on with what never began
        (b"\xf1\x80mask", 1002),  # bits that nobody agreed upon
        (b"\x81\x01x", 1002),  # not masked
        (b"\x83\x80mask", 1002),  # an opcode that there is not
        (frame(b"\xff\xfe"), 1007),
        (frame(b"\xff", fin=False) + frame(b"", Opcode.CONT), 1007),
        (frame(b"\x03", Opcode.CLOSE), 1002),
    ],
    ids=["continuation", "reserved bits", "no mask", "opcode", "text", "text in two frames", "close"],
)
async def test_what_is_no_websocket_closes_its_own_connection(
    serve: Any, talk: Any, until: Any, sent: bytes, code: int
) -> None:
    async with serve() as running, raw(running) as stream:
        await stream.send(sent)
        assert code.to_bytes(2, "big") in await to_end(stream)
        await until(lambda: running.host.active == 0)
        await still_serves(running, talk)


async def test_who_does_not_wait_for_the_handshake_harms_nobody(serve: Any, talk: Any, until: Any) -> None:
    async with serve() as running:
        async with raw(running, frame(b'{"type": "reset"}') * 1000):
            await still_serves(running, talk)
        await until(lambda: running.host.active == 0)


async def test_a_head_that_does_not_come_is_not_waited_for(serve: Any, talk: Any) -> None:
    async with serve(wire={"header_seconds": 0.2}) as running:
        for begun in (b"", b"GET /environments/environment_echo/ws HTTP/1.1\r\nHost: local"):
            async with await anyio.connect_tcp("127.0.0.1", int(running.url.rpartition(":")[2])) as stream:
                if begun:
                    await stream.send(begun)
                assert await to_end(stream) == b""
        await still_serves(running, talk)


@pytest.mark.parametrize("rest", ["Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"])
async def test_a_stranger_whose_body_does_not_end_is_left(serve: Any, http: Any, rest: str) -> None:
    token = "token-of-the-server-0123456789"
    head = f"POST /environments/{ECHO}/reset HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with serve(tokens=(token,), wire={"header_seconds": 0.3}) as running:
        async with await anyio.connect_tcp("127.0.0.1", int(running.url.rpartition(":")[2])) as stream:
            await stream.send((head + rest).encode())
            assert (await to_end(stream)).startswith(b"HTTP/1.1 401 ")
        async with http(running, token) as client:
            assert (await client.post(f"/environments/{ECHO}/reset", json={})).status_code == 200


async def test_a_message_that_never_ends_keeps_no_instance(serve: Any, until: Any) -> None:
    async with serve(limits={"lease_seconds": 0.3}) as running, raw(running) as stream:
        await stream.send(frame(b'{"type": "reset"}')[:-1])
        assert b"lease" in await answers(stream, b"lease")
        await until(lambda: running.host.active == 0)


async def test_a_client_that_is_only_half_there_is_left(serve: Any, until: Any) -> None:
    async with serve(wire={"ping_seconds": 0.1}) as running, raw(running) as stream:
        await stream.send(frame(b'{"type": "reset"}'))
        heard = await to_end(stream)  # it reads, and answers no ping
        assert b"ready!" in heard
        await until(lambda: running.host.active == 0)


async def test_large_messages_are_not_read_ahead_as_small_ones_are(serve: Any, until: Any, counts: Any) -> None:
    large = frame(json.dumps({"type": "step", "data": {"what": "x" * 4 * 2**20}}).encode())
    async with serve() as running, raw(running, name=TRIED) as stream:
        await stream.send(frame(b'{"type":"reset"}') + frame(b'{"type":"step","data":{"what":"hang"}}'))
        await until(lambda: counts["hanging"] == 1)
        with anyio.move_on_after(1) as flood:
            for _ in range(8):
                await stream.send(large)
        assert flood.cancelled_caught  # nobody takes more of them while the step runs


async def test_a_client_that_takes_no_answers_is_left_and_its_place_given_back(
    serve: Any, talk: Any, until: Any
) -> None:
    said = frame(json.dumps({"type": "step", "data": {"message": "a" * 1_000_000}}).encode())
    async with serve(wire={"send_seconds": 0.3, "pending": 2}) as running, raw(running) as stream:
        await stream.send(frame(b'{"type": "reset"}'))

        async def flood() -> None:
            with anyio.fail_after(SECONDS):
                while True:
                    await stream.send(said)

        with pytest.raises((anyio.BrokenResourceError, ConnectionError)):
            await flood()
        await until(lambda: running.host.active == 0)
        await still_serves(running, talk)


async def test_a_client_that_takes_no_answer_of_http_is_left(serve: Any, talk: Any) -> None:
    body = json.dumps({"action": {"message": "a" * 15_000_000}}).encode()
    begin = b'{"seed": 1}'
    path = f"/environments/{ECHO}"
    async with serve(wire={"send_seconds": 0.3}) as running:
        async with await anyio.connect_tcp("127.0.0.1", int(running.url.rpartition(":")[2])) as stream:
            for where, sent in (("reset", begin), ("step", body)):
                head = f"POST {path}/{where} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                await stream.send(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
                if where == "reset":
                    await answers(stream, b"ready!")
            await anyio.sleep(1.0)  # takes nothing
            assert len(await to_end(stream)) < len(body)
        await still_serves(running, talk)


async def test_a_plain_method_that_blocks_holds_up_nobody_else(hosted: HostedEnvironments, talk: Any) -> None:
    entered, free = threading.Event(), threading.Event()

    class Blocking(BaseEnvironment):
        def reset(self) -> str:
            return "ready"

        def step(self, action: str) -> str:
            entered.set()
            assert free.wait(SECONDS)
            return action

    environment_registry.register(BLOCKING)(Blocking)
    more = HostedEnvironments(hosted.services, {**hosted.configs, BLOCKING: EnvironmentConfig()})
    settings = EnvironmentServeSettings(port=0)
    async with running_environments(more, settings) as running, talk(running, BLOCKING) as slow:
        await slow.ask("reset")
        await slow.say({"type": "step", "data": {"action_str": "a"}})
        await anyio.to_thread.run_sync(entered.wait, SECONDS)
        await still_serves(running, talk)
        free.set()
        assert (await slow.hear())["type"] == "observation"
