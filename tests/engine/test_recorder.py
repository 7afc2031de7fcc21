"""The recorder: a node is durable before it is told, and a store that fails is heard of."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.engine.outcomes import unwrap
from prismenv.engine.recorder import open_recorder
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults


def record(index: int) -> NodeRecord:
    request = NodeRequest(index, f"n{index}|easy", (f"n{index}",), "easy", seed=index)
    return NodeRecord(NodeOutcome(request, ChallengeResults(success=True)))


@pytest.fixture
def store(tmp_path: Path):
    store = open_store(tmp_path / "runs.db")
    store.save_run(RunRecord("run-1", "test", "fake", "running", 0, {}, 1.0))
    yield store
    store.close()


def indexes(store: Store) -> list[int]:
    return [node.outcome.request.index for node in store.nodes("run-1")]


def test_a_saved_node_can_be_read_by_others_at_once(store: Store, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_recorder(store, "run-1") as recorder:
            await recorder.save(record(0))
            other = open_store(tmp_path / "runs.db")
            assert indexes(other) == [0]
            other.close()

    anyio.run(main)


def test_many_at_once_are_all_saved(store: Store) -> None:
    async def main() -> None:
        async with open_recorder(store, "run-1") as recorder, anyio.create_task_group() as tasks:
            for index in range(200):
                tasks.start_soon(recorder.save, record(index))

    anyio.run(main)
    assert indexes(store) == list(range(200))


def test_a_node_that_was_handed_over_is_saved_although_its_task_is_cancelled(store: Store) -> None:
    async def main() -> None:
        async with open_recorder(store, "run-1") as recorder, anyio.create_task_group() as tasks:
            for index in range(20):
                tasks.start_soon(recorder.save, record(index))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert indexes(store) == list(range(20))


def test_the_task_whose_node_was_refused_hears_of_it_and_the_others_do_not(store: Store) -> None:
    refused, saved = [], []

    async def main() -> None:
        async with open_recorder(store, "run-1") as recorder:

            async def save(index: int) -> None:
                try:
                    await recorder.save(record(index))
                    saved.append(index)
                except StorageException as error:
                    refused.append(error.code)

            await recorder.save(record(3))
            async with anyio.create_task_group() as tasks:
                for index in range(6):
                    tasks.start_soon(save, index)

    anyio.run(main)
    assert refused == ["duplicate_node"]
    assert sorted(saved) == [0, 1, 2, 4, 5]


def test_a_store_that_is_gone_ends_in_an_error_and_no_wait(store: Store, tmp_path: Path) -> None:
    async def main() -> None:
        async with open_recorder(store, "run-nowhere") as recorder:
            await recorder.save(record(0))

    with pytest.raises((StorageException, ExceptionGroup)) as caught:
        anyio.run(main)
    assert isinstance(unwrap(caught.value), StorageException)


def test_without_a_store_nothing_is_kept() -> None:
    async def main() -> None:
        async with open_recorder(None, "run-1") as recorder:
            await recorder.save(record(0))

    anyio.run(main)
