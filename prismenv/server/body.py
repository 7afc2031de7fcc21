"""The body of a request, read up to limits of size and time."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from prismenv.server.asking import read_object
from prismenv.server.refusal import Refusal

S = TypeVar("S", bytes, str)
T = TypeVar("T")
_LARGE = 2**18  # bytes or characters: reading more takes milliseconds, in which others are to have their turn
_DISCARDED = 8  # times the limit: how much of a body that is too large is read and thrown away


async def read_body(request: Request, most_bytes: int, seconds: float, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in the body; Refusal says what is wrong with it. `optional`: none is an empty object."""
    body = await read_json_bytes(request, most_bytes, seconds, optional=optional)
    return await read_in_turn(read_object, body) if body else {}


async def read_in_turn(read: Callable[[S], T], written: S) -> T:
    """What `read` makes of a message, beside the event loop where it is a large one."""
    return await anyio.to_thread.run_sync(read, written) if len(written) > _LARGE else read(written)


async def read_json_bytes(request: Request, most_bytes: int, seconds: float, *, optional: bool = False) -> bytes:
    """The body of a request that says it is JSON, whatever it is; empty only where `optional`, or it is empty."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    bodyless = optional and not kind
    if kind != "application/json" and not bodyless:
        raise Refusal(415, "wrong_type", "expected Content-Type: application/json")
    body, size = bytearray(), 0
    length = request.headers.get("content-length", "")
    declared = int(length[:20]) if length.isdigit() else 0
    with anyio.move_on_after(seconds) as scope:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= most_bytes:
                body += chunk
            elif max(size, declared) > _DISCARDED * most_bytes:
                break  # else it is read to its end: who still sends would not see the answer
    if size > most_bytes:
        raise Refusal(413, "too_large", f"the body is longer than {most_bytes:,} bytes")
    if scope.cancelled_caught:
        raise Refusal(408, "too_slow", "the body did not come in time")
    if body and bodyless:
        raise Refusal(415, "wrong_type", "expected Content-Type: application/json")
    if not body and not optional:
        read_object(b"")  # says what is wrong with it
    return bytes(body)
