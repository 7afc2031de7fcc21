"""An OpenAI-compatible service on the loopback that can be told to misbehave, call by call.

Theory of operation. One thread runs an event loop; a connection is a task that reads requests and answers them, so that
thousands may wait at once. Chat completions (plain and streamed, `n`, `stop`, usage), the list of models, keys and
context lengths work as they do at OpenAI's; what a call meets instead stands in `script`, one entry a call (None: the
true answer), and after that in `always`. Errors about a key repeat it whole, as careless services do.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from prismenv.testing.openai_answers import completion, events_of
from prismenv.testing.openai_faults import Fault

Respond = Callable[[Mapping[str, Any]], str]
MAX_BODY_BYTES = 2**26
_DONE = b"data: [DONE]\n\n"


def repeat_question(body: Mapping[str, Any]) -> str:
    """The last message's own text: what a server answers by itself."""
    return str(body["messages"][-1]["content"])


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A request as it came in. `at` is on the scale of time.monotonic()."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: Any
    at: float


@dataclass(frozen=True, slots=True)
class _Plain:
    """An answer in one piece. `declared` None: as long as it is."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class OpenAIServer:
    """A context manager; `url`, which ends in `/v1`, is valid inside it.

    `respond(body)` gives the text of an answer. `key` is asked for in every request, None takes any. `models` are the
    ones there are. `context_tokens`, of four characters each, bounds a prompt. `latency_seconds` is what every answer
    takes; `keep` bounds how many requests stay in `requests`.
    """

    def __init__(  # noqa: PLR0913 - by keyword, but for the first
        self,
        respond: Respond = repeat_question,
        *,
        key: str | None = None,
        models: tuple[str, ...] = ("test-model",),
        context_tokens: int | None = None,
        latency_seconds: float = 0.0,
        keep: int = 10_000,
    ) -> None:
        self.respond = respond
        self.key = key
        self.models = models
        self.context_tokens = context_tokens
        self.latency_seconds = latency_seconds
        self.requests: deque[SeenCall] = deque(maxlen=keep)
        self.script: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.abandoned = 0  # answers whose client went away before they were sent whole
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """The base address, with a port that was free."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def calls(self) -> list[SeenCall]:
        """The chat completions that were asked for, in order."""
        return [seen for seen in self.requests if seen.path == "/v1/chat/completions"]

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=4096, limit=2**20)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (seen := await _read(reader)) is not None:
                self.requests.append(seen)
                if not await self._answer(seen, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            self.abandoned += 1
        except asyncio.CancelledError:
            return  # the server stops
        finally:
            writer.close()

    async def _answer(self, seen: SeenCall, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        if self.key is not None and (given := seen.headers.get("authorization")) != f"Bearer {self.key}":
            wrong = Fault.error(401, f"Incorrect API key provided: {given}.", code="invalid_api_key")
            return await _send_plain(writer, _plain(wrong.status, wrong.payload))
        if seen.method == "GET" and seen.path == "/v1/models":
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self.models]
            return await _send_plain(writer, _plain(200, {"object": "list", "data": data}))
        if (seen.method, seen.path) != ("POST", "/v1/chat/completions"):
            return await _send_plain(writer, _plain(404, {"error": {"message": "Not Found", "code": None}}))
        fault = self.script.popleft() if self.script else self.always
        return await self._complete(seen.body, fault or self._refused(seen.body) or Fault(), writer)

    def _refused(self, body: Mapping[str, Any]) -> Fault | None:
        if body["model"] not in self.models:
            message = f"The model `{body['model']}` does not exist or you do not have access to it."
            return Fault.error(404, message, code="model_not_found")
        length = sum(len(str(message["content"])) for message in body["messages"])
        if self.context_tokens is not None and length > 4 * self.context_tokens:
            return Fault.context_too_long()
        return None

    async def _complete(self, body: Mapping[str, Any], fault: Fault, writer: asyncio.StreamWriter) -> bool:
        wait = self.latency_seconds + (0.0 if fault.kind == "drip" else fault.delay_seconds)
        if wait:
            await asyncio.sleep(wait)
        if fault.kind == "reset":
            writer.transport.abort()
            return False
        if fault.kind == "status":
            return await _send_plain(writer, _plain(fault.status, fault.payload, fault.headers))
        answer: Any = completion(body, self.respond(body))
        if fault.kind == "replaced":
            answer = {**answer, **fault.payload} if isinstance(fault.payload, dict) else fault.payload
        if body.get("stream"):
            return await _send_stream(writer, body, answer, fault)
        return await _send_answer(writer, answer, fault)


async def _read(reader: asyncio.StreamReader) -> SeenCall | None:
    """The next request of a connection; None where there is none."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = min(int(headers.get("content-length", 0)), MAX_BODY_BYTES)
    body = json.loads(await reader.readexactly(length)) if length else None
    return SeenCall(method, path, headers, body, time.monotonic())


def _plain(status: int, payload: Any, headers: Mapping[str, str] | None = None) -> _Plain:
    if isinstance(payload, str):
        return _Plain(status, payload.encode(), {"Content-Type": "text/html", **(headers or {})})
    return _Plain(status, json.dumps(payload).encode(), {"Content-Type": "application/json", **(headers or {})})


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _send_plain(writer: asyncio.StreamWriter, answer: _Plain) -> bool:
    writer.write(_head(answer.status, {**answer.headers, "Content-Length": str(len(answer.body))}) + answer.body)
    await writer.drain()
    return True


async def _send_answer(writer: asyncio.StreamWriter, answer: Any, fault: Fault) -> bool:
    """An answer in one piece, as far as the fault lets it come."""
    if fault.kind == "stream_error":
        return await _send_plain(writer, _plain(fault.status, fault.payload))
    plain = _plain(200, answer)
    if fault.kind == "malformed":
        return await _send_plain(writer, _Plain(200, plain.body[:-9], plain.headers))
    if fault.kind in ("cut", "unfinished"):
        head = _head(200, {**plain.headers, "Content-Length": str(len(plain.body))})
        writer.write(head + plain.body[: len(plain.body) // 2])
        await writer.drain()
        return False
    if fault.kind != "drip":
        return await _send_plain(writer, plain)
    writer.write(_head(200, {**plain.headers, "Content-Length": str(len(plain.body))}))
    for start in range(0, len(plain.body), 8):
        writer.write(plain.body[start : start + 8])
        await writer.drain()
        await asyncio.sleep(fault.delay_seconds)
    return True


async def _send_stream(writer: asyncio.StreamWriter, body: Mapping[str, Any], answer: Any, fault: Fault) -> bool:
    """An answer in server-sent events, as far as the fault lets it come."""
    writer.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
    async for event in _misbehaving(events_of(body, answer), fault):
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        if fault.kind == "drip":
            await asyncio.sleep(fault.delay_seconds)
    if fault.kind == "cut":
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _misbehaving(events: list[Any], fault: Fault) -> AsyncIterator[bytes]:
    broken = fault.kind in ("cut", "unfinished", "stream_error", "malformed")
    for event in events[: len(events) // 2] if broken else events:
        yield b"data: " + json.dumps(event).encode() + b"\n\n"
    if fault.kind == "stream_error":
        yield b"data: " + json.dumps(fault.payload).encode() + b"\n\n"
    elif fault.kind == "malformed":
        yield b'data: {"choices": [{"delta": \n\n'
    elif not broken:
        yield _DONE
