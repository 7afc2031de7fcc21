"""Clients that mean harm, or are broken: what they send is bounded in size and time, and others are served."""

import json
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import pytest

from prismenv.testing.transport import HeldTransport

pytestmark = pytest.mark.anyio
FENCED = "```python\ndef solution():\n    return 1\n```"
SOLVER = "problem_solver"
BODY = json.dumps({"session_id": "s", "role": SOLVER, "input_data": {"problem_statement": "P"}}).encode()
HEAD = b"POST /interact HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
ASKED = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


async def connect(running: Any) -> anyio.abc.SocketStream:
    parts = urlsplit(running.url)
    return await anyio.connect_tcp(parts.hostname, parts.port)


async def until_closed(stream: anyio.abc.SocketStream) -> bytes:
    """All that comes until the other side closes, which it does."""
    received = b""
    with anyio.fail_after(60):
        try:
            while True:
                received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


async def send_slowly(stream: anyio.abc.SocketStream, data: bytes) -> None:
    for byte in data:
        await stream.send(bytes([byte]))
        await anyio.sleep(0.05)


async def test_a_head_that_does_not_come_is_not_waited_for(serve: Any, http: Any) -> None:
    async def dawdle(begun: bytes) -> None:
        async with await connect(running) as stream:
            if begun:
                await stream.send(begun)
            received = await until_closed(stream)
        assert received.startswith(b"HTTP/1.1 200") == (b"/health " in begun)

    async def drip() -> None:
        async with await connect(running) as stream:
            with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(60):
                await send_slowly(stream, b"X-Slow: " + b"x" * 10_000)

    async with serve(header_seconds=1.0) as running, http(running) as client:
        async with anyio.create_task_group() as group:
            for begun in (b"", b"POST /inter", HEAD, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea"):
                group.start_soon(dawdle, begun)
            group.start_soon(drip)
        assert (await client.get("/health")).status_code == 200


async def test_a_connection_between_two_requests_and_a_long_answer_are_no_slow_heads(
    serve: Any, http: Any, until: Any
) -> None:
    transport = HeldTransport({SOLVER: FENCED})
    async with serve(transport, header_seconds=1.0) as running, await connect(running) as stream:
        await stream.send(ASKED)
        await until(lambda: transport.begun == 1)
        await anyio.sleep(1.3)
        transport.release.set()
        assert (await stream.receive()).startswith(b"HTTP/1.1 200")
        await anyio.sleep(1.3)
        await stream.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"HTTP/1.1 200" in await until_closed(stream)


async def test_a_body_that_does_not_come_is_not_waited_for(serve: Any) -> None:
    async with serve(body_seconds=0.3) as running, await connect(running) as stream:
        await stream.send(HEAD + b"Content-Length: 1000\r\n\r\n{")
        assert (await until_closed(stream)).startswith(b"HTTP/1.1 408")


async def test_a_head_without_end_and_what_is_no_http_are_refused(serve: Any, http: Any) -> None:
    async with serve(header_bytes=10_000) as running, http(running) as client:
        for sent in (
            HEAD + b"X-Large: " + b"x" * 1_000_000,
            HEAD + b"".join(b"X-%d: y\r\n" % number for number in range(100_000)),
            b"GET /" + b"a" * 1_000_000,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET / HTTP/9.9\r\n\r\n",
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
            HEAD + b"Content-Length: -5\r\n\r\n{}",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        ):
            async with await connect(running) as stream:
                try:
                    await stream.send(sent)
                except anyio.BrokenResourceError:
                    continue  # closed before all of it was taken
                await stream.send_eof()
                assert not (await until_closed(stream)).startswith(b"HTTP/1.1 2")
        assert (await client.get("/health")).status_code == 200


async def test_requests_that_come_in_one_piece_are_answered_in_their_order(serve: Any) -> None:
    async with serve() as running, await connect(running) as stream:
        last = b"GET /session_history/s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await stream.send(ASKED + b"GET /active_sessions HTTP/1.1\r\nHost: localhost\r\n\r\n" + last)
        answers = (await until_closed(stream)).split(b"HTTP/1.1 ")[1:]
        assert [answer[:3] for answer in answers] == [b"200"] * 3
        assert b'"message"' in answers[0]
        assert b'"exchanges"' in answers[1]
        assert b'"history"' in answers[2]


async def test_a_client_that_is_killed_has_its_call_cancelled(serve: Any, until: Any) -> None:
    transport = HeldTransport({SOLVER: FENCED})
    async with serve(transport) as running:
        stream = await connect(running)
        await stream.send(ASKED)
        await until(lambda: transport.begun == 1)
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as the kernel sends
        await stream.aclose()
        await until(lambda: transport.cancelled == 1)


async def test_there_is_an_end_to_connections(serve: Any, http: Any) -> None:
    async with (
        serve(connections=3) as running,
        await connect(running),
        await connect(running),
        await connect(running) as last,
    ):
        await last.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await last.receive()).startswith(b"HTTP/1.1 503")
