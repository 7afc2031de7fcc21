"""Campaigns in processes of their own: killed at any moment, with other hash seeds, two at once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.archive import Store
from prismenv.engine.survey import survey_runs
from prismenv.store.database import open_store

# Runs or resumes a recipe given as JSON and prints the report; an error is printed with its code.
PROGRAM = """\
import json, os, resource, sys
import anyio
from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.finding.workspace import find_workspaces
from prismenv.words.errors import EnvironmentException

recipe, resume, folder = json.loads(sys.argv[1])
if "TEST_FILE_BYTES" in os.environ:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["TEST_FILE_BYTES"]),) * 2)
workspaces = find_workspaces(__import__("pathlib").Path(folder))

async def main():
    return await run_campaign(
        Recipe.model_validate(recipe), workspaces=workspaces, folder=workspaces.project_folder,
        sink=lambda event: None, resume=resume,
    )

try:
    print(json.dumps(anyio.run(main).to_json()))
except EnvironmentException as error:
    print(json.dumps({"code": error.code}))
"""
NODES = 60


def start(recipe: dict[str, Any], workspace: Path, resume: str | None = None, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([recipe, resume, str(workspace)])],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0", **variables},
    )


def finish(process: subprocess.Popen) -> dict[str, Any]:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    return json.loads(output)


def dice(ledger: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "dicing",
        "environment": "environment_dice",
        "search": {"policy": "random", "nodes": NODES, "concepts": ["a", "b", "c"], "difficulties": ["easy", "hard"]},
        "options": {"ledger": str(ledger), "sleep": 0.03},
        "concurrency": {"nodes": 4},
        "seed": 11,
        **changes,
    }


def trail(store: Store, run_id: str) -> list[Any]:
    """What is stored of a run but for times."""
    return [
        (node.outcome.request, node.outcome.fault, node.outcome.result and node.outcome.result.model_dump(mode="json"))
        for node in store.nodes(run_id)
    ]


@pytest.fixture
def store(workspace: Path):
    store = open_store(workspace / ".prismenv" / "prismenv.db")
    yield store
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["random", "mcts", "adaptive"])  # the first one's order is known, the others learn
def test_a_run_that_is_killed_again_and_again_loses_no_finished_node_and_repeats_none(
    workspace: Path, store: Store, tmp_path: Path, policy: str
) -> None:
    generator = random.Random(policy)
    search = {**dice(tmp_path)["search"], "policy": policy, "stop": {"interval": None}}
    ledger = tmp_path / "ledger"
    slow = {"ledger": str(ledger), "sleep": 0.1}  # so that a busy machine does not let a run end before it is looked at
    run_id: str | None = None
    finished = 0
    kills = 0
    while True:
        process = start(dice(ledger, search=search, options=slow), workspace, run_id)
        wanted = finished + generator.randrange(1, 20)
        while process.poll() is None and finished < wanted:  # killed at some moment after so many nodes were stored
            time.sleep(generator.random() * 0.02)
            runs = store.runs()
            run_id = runs[0].run_id if runs else None
            finished = runs[0].nodes_done if runs else 0
        if process.poll() is not None or finished >= NODES:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
        assert store.runs()[0].nodes_done >= finished
    report = finish(process)
    assert kills >= 2
    assert (report["status"], report["progress"]["done"]) == ("finished", NODES)
    assert len(store.runs()) == 1
    calm = finish(start(dice(tmp_path / "other", search=search), workspace))
    killed = trail(store, report["run_id"])
    assert [request.index for request, *_ in killed] == list(range(NODES))
    # A node that was running when the kill came wrote its line and runs again; one that was stored never does.
    again = len(ledger.read_text().splitlines()) - NODES
    assert 0 <= again <= kills * 4
    assert _without_ledger(killed) == _without_ledger(trail(store, calm["run_id"]))
    assert report["surface"] == calm["surface"]
    maps = [survey_runs(store, [run_id]).beliefs.get(run_id) for run_id in (report["run_id"], calm["run_id"])]
    assert maps[0] == maps[1]
    assert (maps[0] is not None) == (policy == "adaptive")


def _without_ledger(records: list[Any]) -> list[Any]:
    return [(request, fault, result["success"], result["data_trail"]) for request, fault, result in records]


def test_the_trail_does_not_depend_on_the_hash_seed_nor_on_concurrency(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    quick = {"ledger": str(tmp_path / "ledger")}
    processes = [
        start(dice(tmp_path, options=quick, concurrency={"nodes": nodes}), workspace, PYTHONHASHSEED=hash_seed)
        for nodes, hash_seed in ((1, "0"), (16, "1"), (16, "12345"))
    ]
    trails = [trail(store, finish(process)["run_id"]) for process in processes]
    assert trails[0] == trails[1] == trails[2]
    assert len(trails[0]) == NODES


def test_a_disk_that_fills_up_ends_the_run_with_an_error_and_loses_nothing_that_was_stored(
    workspace: Path, store: Store, tmp_path: Path
) -> None:
    recipe = dice(tmp_path, options={"ledger": str(tmp_path / "ledger")})
    answer = finish(start(recipe, workspace, TEST_FILE_BYTES=str(200_000)))
    assert answer["code"].startswith("store_") or answer["code"] == "storage_failed"
    (run,) = store.runs()
    before = trail(store, run.run_id)
    assert 0 < len(before) < NODES
    report = finish(start(recipe, workspace, run.run_id))
    assert (report["status"], report["progress"]["replayed"]) == ("finished", len(before))
    assert len(trail(store, run.run_id)) == NODES


def test_two_processes_cannot_work_on_one_run(workspace: Path, store: Store, tmp_path: Path) -> None:
    first = finish(start(dice(tmp_path / "ledger", budget={"nodes": 4}), workspace))
    slow = dice(tmp_path / "ledger")
    processes = [start(slow, workspace, first["run_id"]) for _ in range(2)]
    answers = [finish(process) for process in processes]
    assert Counter(answer.get("status") or answer["code"] for answer in answers) in (
        {"finished": 1, "run_locked": 1},
        {"finished": 2},  # the second began after the first had ended
    )
    assert store.runs()[0].nodes_done == NODES
