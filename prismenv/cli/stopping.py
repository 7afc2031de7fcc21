"""How a server that was started here is told to stop: by a signal, and at once by the next one."""

import signal
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

from prismenv.cli.output import print_error


async def until_told(
    stop: Callable[[], Awaitable[None]], everything: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """Return when the server has ended in good order, by `stop`, or at once at the second signal."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        task_status.started()
        told = False
        async with anyio.create_task_group() as ending:
            async for _number in received:
                if told:
                    everything.cancel()
                    return
                told = True
                print_error("beginning nothing new, and finishing what runs; once more to stop now")
                ending.start_soon(_stop, stop, everything)


async def _stop(stop: Callable[[], Awaitable[None]], everything: anyio.CancelScope) -> None:
    await stop()
    everything.cancel()
