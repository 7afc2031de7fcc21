"""Writes finished nodes to the store, off the event loop.

Theory of operation: node tasks hand their record to `save` and wait until it is durable. One writer task takes what is
waiting (at most BATCH records), writes it in one trip to a worker thread and one transaction, and wakes the waiting
tasks, each with its own success or failure: where the transaction fails, each record is tried in one of its own. The
queue is bounded by the tasks that wait, so memory is too. One task writes, so the store sees one writer; a trip carries
all that waits, so trips do not grow with concurrency. When the writer's context ends, what was handed over is written
first, also when the run is cancelled.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from prismenv.contracts.archive import NodeRecord, Store
from prismenv.words.errors import EnvironmentException, StorageException

BATCH = 32


class _Pending:
    """A record on its way; `error` None after `written` means that it is durable."""

    __slots__ = ("error", "record", "written")

    def __init__(self, record: NodeRecord) -> None:
        self.record = record
        self.written = anyio.Event()
        self.error: EnvironmentException | None = None


class Recorder:
    """Saves the nodes of one run. Made by `open_recorder`."""

    def __init__(self, queue: MemoryObjectSendStream[_Pending] | None) -> None:
        self._queue = queue

    async def save(self, record: NodeRecord) -> None:
        """Return when `record` is durable; raises StorageException when it could not be written.

        It is not interrupted by cancellation: a node that finished is never half told.
        """
        if self._queue is None:
            return
        pending = _Pending(record)
        with anyio.CancelScope(shield=True):
            await self._queue.send(pending)
            await pending.written.wait()
        if pending.error is not None:
            raise pending.error


@asynccontextmanager
async def open_recorder(store: Store | None, run_id: str) -> AsyncIterator[Recorder]:
    """A recorder for one run; with `store` None it keeps nothing."""
    if store is None:
        yield Recorder(None)
        return
    send, receive = anyio.create_memory_object_stream[_Pending](BATCH)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write_all, store, run_id, receive)
        try:
            yield Recorder(send)
        finally:
            send.close()


async def _write_all(store: Store, run_id: str, queue: MemoryObjectReceiveStream[_Pending]) -> None:
    with anyio.CancelScope(shield=True):  # ends when the sender closes
        async with queue:
            async for first in queue:
                batch = [first]
                while len(batch) < BATCH and queue.statistics().current_buffer_used:
                    batch.append(queue.receive_nowait())
                await anyio.to_thread.run_sync(_write, store, run_id, batch)
                for pending in batch:
                    pending.written.set()


def _write(store: Store, run_id: str, batch: list[_Pending]) -> None:
    """Write what came together at once; where that fails, each by itself, so that one takes no other along."""
    _save(store, run_id, batch)
    if len(batch) > 1 and batch[0].error is not None:
        for pending in batch:
            pending.error = None
            _save(store, run_id, [pending])


def _save(store: Store, run_id: str, batch: list[_Pending]) -> None:
    """One transaction; when it fails, every record of it has the error."""
    error: EnvironmentException | None = None
    try:
        store.save_nodes(run_id, [pending.record for pending in batch])
    except EnvironmentException as failure:
        error = failure
    except Exception as failure:  # noqa: BLE001 - boundary: whatever a store raises reaches the task that waits for it
        indices = ", ".join(str(pending.record.outcome.request.index) for pending in batch)
        error = StorageException(f"node {indices} of {run_id}: {failure!r}")
        error.__cause__ = failure
    for pending in batch:
        pending.error = error
