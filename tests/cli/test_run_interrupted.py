"""Interrupts, kills and readers that go away: nothing finished is lost, nothing is done twice."""

import json
import signal
from typing import Any

import pytest

# Sleeps, and writes a line for each execution into the workspace: that is how a repeated node would be seen.
SLOW = """
import anyio
from pathlib import Path
from prismenv import environment_registry

LOG = Path(__file__).parents[1] / "executed.txt"

@environment_registry.register_environment_method("environment_slow", "execute_node")
async def execute_node(self, concept, difficulty_level, seconds=0.15, **options):
    await anyio.sleep(seconds)
    with LOG.open("a") as log:
        log.write(f"{concept} {difficulty_level}\\n")
    return {"success": True}
"""
RECIPE = """
environment: environment_slow
search: {tree: tree_configs, concepts: [loops, sorting, recursion, functions]}
concurrency: {nodes: 2}
"""
NODES = 20


@pytest.fixture
def slow(workspace: Any) -> Any:
    """A workspace whose recipe `slow` runs for a while."""
    workspace.write("environments/environment_slow.py", SLOW)
    workspace.write("configs/runs/slow.yaml", RECIPE)
    return workspace


def started(shell: Any, *words: str, nodes: int = 4) -> tuple[Any, str]:
    """A run that has finished that many nodes, and its id."""
    process = shell.start("run", "slow", "--json", *words)
    run, done = "", 0
    while not run or done < nodes:
        line = json.loads(process.stdout.readline())
        run = line["run_id"]
        done += line["event"] == "node_finished"
    return process, run


def executed(shell: Any) -> list[str]:
    """The nodes that were executed, in the order in which they ended."""
    return (shell.folder / "executed.txt").read_text().splitlines()


def finish(shell: Any, run: str) -> dict[str, Any]:
    """Resume the run to its end and give the report."""
    answer = shell("run", "--resume", run, "--json", "--set", "concurrency.nodes=20")
    assert answer.code == 0, answer.err
    return answer.lines[-1]


def test_one_interrupt_finishes_what_runs_and_the_rest_is_done_on_resume(slow: Any) -> None:
    process, run = started(slow)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "press Ctrl-C again to stop now" in err
    lines = [json.loads(line) for line in out.splitlines()]
    report = lines[-1]
    assert report["status"] == "interrupted"
    assert report["progress"]["done"] == len(executed(slow)) < NODES
    assert finish(slow, run)["progress"]["done"] == NODES
    assert len(executed(slow)) == len(set(executed(slow))) == NODES


def test_two_interrupts_stop_at_once(slow: Any) -> None:
    process, run = started(slow, "--option", "seconds=20", nodes=0)
    line = json.loads(process.stdout.readline())
    run = line["run_id"]
    while line["event"] != "node_started":
        line = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    while "again" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["status"] == "interrupted"
    shown = slow("runs", "list", "--json").json
    assert [(item["run_id"], item["status"], item["nodes_done"]) for item in shown] == [(run, "interrupted", 0)]


def test_after_kill_9_no_finished_node_is_lost_and_none_is_done_twice(slow: Any) -> None:
    process, run = started(slow)
    process.kill()
    process.communicate(timeout=200)
    kept = slow("runs", "list", "--json").json[0]
    assert (kept["run_id"], kept["status"]) == (run, "killed")
    assert kept["nodes_done"] >= 4
    before = len(executed(slow))
    report = finish(slow, run)
    assert report["progress"]["done"] == NODES
    assert report["progress"]["replayed"] == kept["nodes_done"]
    assert len(executed(slow)) - before == NODES - kept["nodes_done"]


def test_a_run_that_somebody_works_on_is_not_resumed_by_another(slow: Any) -> None:
    process, run = started(slow, "--option", "seconds=60", nodes=0)
    second = slow("run", "--resume", run)
    process.kill()
    process.communicate(timeout=200)
    assert second.code == 3
    assert run in second.err


def test_a_reader_that_goes_away_leaves_a_run_that_can_be_resumed(slow: Any) -> None:
    process, run = started(slow)
    process.stdout.close()
    assert process.wait(60) == 141
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert slow("runs", "list", "--json").json[0]["status"] == "interrupted"
    assert finish(slow, run)["progress"]["done"] == NODES
