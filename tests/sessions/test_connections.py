"""HTTP to one service: connections that are used again, and what can go wrong with them."""

import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.streams.tls
import certifi
import pytest

from prismenv.network.connections import (
    KEPT,
    Broken,
    HttpConnections,
    NotConnected,
    Request,
    Response,
    TooLong,
    TooSlow,
)

pytestmark = pytest.mark.anyio
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mine: yes\r\n\r\nok"
Answer = Callable[[bytes, anyio.abc.ByteStream], Awaitable[None]]


class Service:
    """Listens, and does what `answer` does with each request's head; counts connections and requests."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while True:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += await stream.receive()
                    self.requests.append(head)
                    await self.answer(head, stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return


@asynccontextmanager
async def service(
    answer: bytes | Answer = OK, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Service, str]]:
    async def said(_head: bytes, stream: anyio.abc.ByteStream) -> None:
        assert isinstance(answer, bytes)
        await stream.send(answer)

    listening: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    running = Service(said if isinstance(answer, bytes) else answer)
    running.port = listening.extra(anyio.abc.SocketAttribute.local_port)
    if context is not None:
        listening = anyio.streams.tls.TLSListener(listening, context, standard_compatible=False)
    async with listening, anyio.create_task_group() as group:
        group.start_soon(listening.serve, running.serve)
        try:
            yield running, f"{'http' if context is None else 'https'}://127.0.0.1:{running.port}"
        finally:
            group.cancel_scope.cancel()


def opened(url: str, headers: Mapping[str, str] | None = None) -> "aclosing[HttpConnections]":
    return aclosing(HttpConnections(url, headers or {}))


async def ask(connections: HttpConnections, seconds: float | None = 30.0, **request: Any) -> Response:
    asked = Request(**{"method": "GET", "path": "/x", **request})
    return await connections.exchange(asked, read_seconds=seconds, most_bytes=1000)


async def test_one_after_the_other_goes_over_one_connection() -> None:
    async with service() as (running, url), opened(f"{url}/folder", {"Accept": "a/b"}) as connections:
        for _ in range(3):
            answer = await ask(connections, query={"a": "b c"}, headers=[(b"X", b"y")])
            assert (answer.status, answer.body, answer.headers["x-mine"]) == (200, b"ok", "yes")
        assert running.connections == 1
        lines = running.requests[0].decode().split("\r\n")
        assert lines[0] == "GET /folder/x?a=b+c HTTP/1.1"
        assert {f"Host: 127.0.0.1:{running.port}", "Accept: a/b", "X: y"} <= set(lines)


async def test_many_at_once_have_one_each_and_only_so_many_are_kept() -> None:
    gate = anyio.Event()

    async def answer(_head: bytes, stream: anyio.abc.ByteStream) -> None:
        await gate.wait()
        await stream.send(OK)

    many = KEPT + 3

    async with service(answer) as (running, url), opened(url) as connections:

        async def ask_all() -> None:
            begun = len(running.requests)
            async with anyio.create_task_group() as group:
                for _ in range(many):
                    group.start_soon(ask, connections)
                with anyio.fail_after(60):
                    while len(running.requests) < begun + many:  # noqa: ASYNC110 - what is waited for has no event
                        await anyio.sleep(0.01)
                gate.set()

        await ask_all()
        assert running.connections == many
        gate = anyio.Event()
        await ask_all()
        assert running.connections == many + 3
        await connections.aclose()
        for number in (4, 5):  # what comes back after that is closed
            await ask(connections)
            assert running.connections == many + number


async def test_a_connection_that_the_service_closed_is_not_used_again() -> None:
    async def answer(_head: bytes, stream: anyio.abc.ByteStream) -> None:
        await stream.send(OK)
        await stream.aclose()  # without having said so

    async with service(answer) as (running, url), opened(url) as connections:
        for number in range(1, 4):
            await ask(connections)
            assert running.connections == number
            with anyio.fail_after(60):
                while connections._idle[0].usable():  # noqa: ASYNC110 - what is waited for has no event
                    await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_other_forms_of_an_answer_are_read(answer: bytes) -> None:
    async with service(answer) as (_, url), opened(url) as connections:
        for _ in range(2):
            assert (await ask(connections)).body == b"ok"


async def test_an_answer_that_nobody_asked_for_is_not_taken_for_one() -> None:
    async with service(OK + OK) as (running, url), opened(url) as connections:
        for number in (1, 2):
            assert (await ask(connections)).body == b"ok"
            assert running.connections == number


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"no HTTP at all\r\n\r\n", Broken),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + 1001 * b"x", TooLong),
        (b"HTTP/1.1 200 OK\r\nX: " + 200_000 * b"x" + b"\r\n\r\n", Broken),
    ],
)
async def test_answers_that_are_none(answer: bytes, trouble: type[Exception]) -> None:
    async with service(answer) as (_, url), opened(url) as connections:
        with pytest.raises(trouble):
            await ask(connections)


async def test_a_connection_that_breaks_off_and_one_that_stands_still() -> None:
    async def cut(_head: bytes, stream: anyio.abc.ByteStream) -> None:
        await stream.send(OK[:-1])
        await stream.aclose()

    async with service(cut) as (_, url), opened(url) as connections:
        with pytest.raises(Broken):
            await ask(connections)
    async with service(b"HTTP/1.1 200 OK\r\n") as (_, url), opened(url) as connections:
        with pytest.raises(TooSlow):
            await ask(connections, seconds=0.05)


async def test_an_answer_before_the_whole_request_was_taken_is_read() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with service(refusal) as (_, url), opened(url) as connections:
        assert (await ask(connections, method="POST", body=10_000 * b"x")).status == 413


async def test_nobody_who_listens_is_no_connection() -> None:
    async with service() as (_, url):
        pass
    async with opened(url) as connections:
        with pytest.raises(NotConnected):
            await ask(connections)


async def test_a_service_behind_tls_is_spoken_to_where_its_certificate_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        await anyio.run_process([*words, *names])
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs openssl's command line, to make a certificate")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with service(context=context) as (running, url):
        async with opened(url) as connections:
            with pytest.raises(NotConnected, match="certificate"):
                await ask(connections)
        monkeypatch.setattr(certifi, "where", lambda: str(certificate))
        async with opened(url) as connections:
            for _ in range(3):
                assert (await ask(connections)).body == b"ok"
        assert running.connections == 1
