"""What is told when there are no descriptors left for more connections: a line a minute.

The event loop tells it with a trace, for each connection that it tries to take: thousands of times a second for as long
as clients hold what there is, by which whoever opens a thousand connections fills the disk that the log is on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loguru import logger

SECONDS = 60.0
_NOT_TAKEN = "socket.accept() out of system resource"  # the event loop's words
_RESUMING = "BaseSelectorEventLoop._start_serving"


@contextmanager
def told_seldom() -> Iterator[None]:
    """While this holds, the running event loop tells that scarcity once in a while, and all else as before."""
    loop = asyncio.get_running_loop()
    before, told_at = loop.get_exception_handler(), float("-inf")

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told_at
        if _RESUMING in str(context.get("message")) and isinstance(context.get("exception"), ValueError):
            return  # asyncio would take connections again, one timer for each that it could not: the server is closed
        if context.get("message") != _NOT_TAKEN:
            loop.default_exception_handler(context) if before is None else before(loop, context)
        elif loop.time() - told_at >= SECONDS:
            told_at = loop.time()
            logger.warning("no more connections are taken for now: {}; allow more open files", context["exception"])

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
