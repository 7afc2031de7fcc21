"""The store with more than one process, and with one that dies."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prismenv.store.database import open_store
from prismenv.words.errors import StorageException

WRITER = """
import sys
from prismenv.contracts.archive import CallRecord, NodeRecord, RunRecord
from prismenv.store.database import open_store
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.usage import Usage
store = open_store(sys.argv[1])
run_id, count = sys.argv[2], int(sys.argv[3])
store.save_run(RunRecord(run_id, "n", "e", "running", 0, {}, 1.0))
for index in range(count):
    result = ChallengeResults(success=True, data_trail=(TrailRecord(success=True, output="x" * 3000),))
    outcome = NodeOutcome(NodeRequest(index, "a", ("a",), "easy", 1), result)
    store.save_nodes(run_id, [NodeRecord(outcome, [CallRecord("s", "m", "p", "a", Usage(calls=1), 0.1)] * 3)])
    print(index, flush=True)
store.close()
"""
HOLDER = """
import sys, time
from prismenv.store.database import open_store
store = open_store(sys.argv[1])
with store.lock_run("run-1"):
    print("held", flush=True)
    sys.stdin.read()
store.close()
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("seed", range(3))
def test_a_process_killed_at_any_moment_loses_no_finished_node_and_leaves_no_half(place: str, seed: int) -> None:
    with start(WRITER, place, "run-1", 100_000) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        time.sleep(random.Random(seed).uniform(0.0, 0.05))
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout if line.endswith("\n")]
    with closing(open_store(place)) as store:
        nodes = list(store.nodes("run-1"))
    assert [node.outcome.request.index for node in nodes] == list(range(len(nodes)))
    assert len(nodes) in (len(told), len(told) + 1)  # the last may have been written and not told
    assert all(len(node.calls) == 3 and len(node.outcome.result.data_trail) == 1 for node in nodes)


def test_processes_that_open_a_new_store_at_once_all_write_to_it(place: str) -> None:
    writers = [start(WRITER, place, f"run-{number}", 20) for number in range(5)]
    for writer in writers:
        with writer:
            writer.communicate(timeout=200)
        assert writer.returncode == 0
    with closing(open_store(place)) as store:
        assert {run.run_id: run.nodes_done for run in store.runs()} == {f"run-{number}": 20 for number in range(5)}


@pytest.fixture
def holder(place: str) -> Iterator[subprocess.Popen[str]]:
    with start(HOLDER, place) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_that_another_process_works_on_is_refused_and_other_runs_are_not(holder, place: str) -> None:
    with closing(open_store(place)) as store:
        with pytest.raises(StorageException, match="run-1 is being worked on") as caught, store.lock_run("run-1"):
            pass
        assert caught.value.code == "run_locked"
        with store.lock_run("run-2"):
            pass


def test_the_lock_dies_with_its_holder(holder, place: str) -> None:
    holder.kill()
    holder.wait()
    with closing(open_store(place)) as store, store.lock_run("run-1"):
        pass


def test_the_lock_is_given_back_also_after_an_error_and_leaves_no_file(place: str, tmp_path: Path) -> None:
    with closing(open_store(place)) as store:
        with pytest.raises(ValueError, match="oops"), store.lock_run("run-1"):
            raise ValueError("oops")
        with store.lock_run("run-1"), pytest.raises(StorageException), store.lock_run("run-1"):
            pass
    assert [path.name for path in tmp_path.glob("*/*")] == [Path(place).name] * ("://" not in place)


def test_a_run_id_never_becomes_a_path(file: Path) -> None:
    with closing(open_store(file)) as store, store.lock_run("../../etc/\ud800\x00"):
        assert all(path.parent == file.parent for path in file.parent.iterdir())
