"""Who is at work on a service that several processes offer.

Each worker says every BEAT_SECONDS that it is there, which holds for the lease (limits.py). What a worker ran that
did not say so for longer, because it was killed or hangs, has failed for everybody: the first other that looks says so.
"""

import json
from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread
from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.servicebook import BookedWorker, WorkerRegister
from prismenv.server.meter import Meter
from prismenv.server.refusal import RETRY_SECONDS, Refusal
from prismenv.server.sharedtasks import ending_text
from prismenv.words.errors import StorageException

BEAT_SECONDS = 3.0


def lost() -> Refusal:
    """What is told of a task whose worker is gone."""
    return Refusal(503, "worker_lost", "the worker that ran it is gone; ask again", RETRY_SECONDS)


class Roll:
    """This worker among all, by the name `worker`."""

    def __init__(
        self, register: WorkerRegister, clock: Clock, meter: Meter, state: Callable[[], str], lease_seconds: float
    ) -> None:
        self.worker = clock.new_id("worker")
        self._register = register
        self._clock = clock
        self._meter = meter
        self._state = state
        self._lease_seconds = lease_seconds
        self._lease_until = float("-inf")

    async def keep(self) -> None:
        """Be at work still, where that was not said for so long that others may doubt it."""
        if self._clock.monotonic() > self._lease_until:
            await self.beat()

    async def beat(self) -> None:
        """Say that this worker is at work, and bury those that do not.

        Where the store kept it waiting, it keeps the others waiting too: this worker says it again, and buries nobody
        until they had the time for that.
        """
        if not await self._say():
            await self._say()
            return
        found = await anyio.to_thread.run_sync(self._register.bury, ending_text(None, lost()), self._clock.now())
        if found:
            logger.warning("{} tasks of a worker that is gone were given up", found)

    async def _say(self) -> bool:
        """Say that this worker is at work. False: by the time that it was written, much of the lease was over."""
        began, now = self._clock.monotonic(), self._clock.now()
        samples = json.dumps(self._meter.samples())
        worker = BookedWorker(self.worker, self._state(), now + self._lease_seconds, samples)
        await anyio.to_thread.run_sync(self._register.beat, worker)
        self._lease_until = began + self._lease_seconds
        return self._clock.monotonic() - began <= self._lease_seconds / 3

    async def run(self) -> None:
        """For ever: say so."""
        while True:
            try:
                await self.beat()
            except StorageException as error:
                logger.warning("the worker could not say that it is at work: {}", error)
            await self._clock.sleep(min(BEAT_SECONDS, self._lease_seconds / 5))

    async def all(self) -> Sequence[BookedWorker]:
        """All that are at work, this one among them."""
        return await anyio.to_thread.run_sync(self._register.workers)

    def silent_seconds(self, worker: BookedWorker) -> float:
        """For how long it has not said that it is at work."""
        return max(0.0, self._clock.now() - (worker.lease_until - self._lease_seconds))

    async def leave(self) -> None:
        """This worker ends."""
        try:
            await anyio.to_thread.run_sync(self._register.leave, self.worker)
        except StorageException as error:
            logger.warning("the worker could not say that it ends: {}", error)
