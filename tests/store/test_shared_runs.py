"""Whole runs by the command, on either database: at once, resumed twice, and through the loss of the server."""

import json
import os
import subprocess
import sysconfig
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prismenv.store.database import open_store

COMMAND = Path(sysconfig.get_path("scripts")) / "prismenv"
SECONDS = 300
ENVIRONMENT = """
import anyio
from prismenv import BaseEnvironment, environment_registry

@environment_registry.register("environment_slow")
class Slow(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, **options):
        await anyio.sleep(0.02)
        return {"success": True, "data_trail": []}
"""


class Shell:
    """The command in a workspace of its own, with one store."""

    def __init__(self, folder: Path, place: str) -> None:
        self.folder, self.place = folder, place
        (folder / "environments").mkdir(parents=True)
        (folder / "prismenv.yaml").write_text("name: shared\n")
        (folder / "environments" / "environment_slow.py").write_text(ENVIRONMENT)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRISMENV_", "PG"))}
        return subprocess.Popen(
            [COMMAND, *words],
            cwd=self.folder,
            env={**kept, "PRISMENV_STORE": self.place},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str) -> tuple[int, str, str]:
        return finish(self.start(*words))

    def run(self, nodes: int, *more: str) -> "subprocess.Popen[str]":
        return self.start("run", "environment_slow", *policy(nodes), "--json", *more)


def policy(nodes: int) -> list[str]:
    names = {"policy": "random", "nodes": nodes, "concepts": '["a", "b"]', "difficulties": '["easy"]'}
    return [word for name, value in names.items() for word in ("--set", f"search.{name}={value}")]


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    assert "right" not in out + err  # the password
    return process.returncode, out, err


def report_of(out: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(out.splitlines()[-1])
    return report


@pytest.fixture
def shell(place: str, tmp_path: Path) -> Shell:
    return Shell(tmp_path / "workspace", place)


def test_runs_share_a_store_at_once_and_one_that_is_resumed_twice_is_done_once(shell: Shell) -> None:
    processes = [shell.run(nodes) for nodes in (10, 20)]
    ended = [finish(process) for process in processes]
    assert [code for code, *_ in ended] == [0, 0], ended
    reports = [report_of(out) for _, out, _ in ended]
    assert [report["progress"]["done"] for report in reports] == [10, 20]
    code, out, err = finish(shell.run(400, "--set", "budget.nodes=5"))
    assert report_of(out)["status"] == "budget_reached", (code, err)
    run = report_of(out)["run_id"]
    with closing(open_store(shell.place)) as store:
        resumed = shell.start("run", "--resume", run, "--set", "budget.nodes=100000", "--json")
        wait_for(lambda: done_of(store, run) > 5, resumed)
        code, _, err = shell("run", "--resume", run, "--set", "budget.nodes=100000", "--json")
        assert code == 3
        assert f"Run {run} is being worked on by another process" in err
        code, _, err = finish(resumed)
        assert code == 0, err
        assert done_of(store, run) == 400
        assert len(list(store.nodes(run))) == 400


def test_a_run_that_loses_its_server_says_what_to_do_and_goes_on_with_all_that_was_finished(
    postgres: Any, tmp_path: Path
) -> None:
    own = type(postgres)(postgres.programs, auth="scram-sha-256")
    try:
        shell = Shell(tmp_path / "workspace", own.schema("lost"))
        process = shell.run(300)
        with closing(open_store(shell.place)) as store:
            wait_for(lambda: any(run.nodes_done > 5 for run in store.runs()), process)
        own.stop()
        code, out, err = finish(process)
        assert code == 3
        assert "run --resume" in out + err
        own.start()
        with closing(open_store(shell.place)) as store:
            (run,) = store.runs()
            before = list(store.nodes(run.run_id))
        assert 5 < len(before) < 300
        code, out, err = shell("run", "--resume", run.run_id, "--json")
        assert code == 0, err
        assert report_of(out)["progress"]["replayed"] == len(before)
        with closing(open_store(shell.place)) as store:
            after = list(store.nodes(run.run_id))
        assert after[: len(before)] == before
        assert [node.outcome.request.index for node in after] == list(range(300))
        commands_read_the_store(shell, run.run_id)
    finally:
        own.remove()


def commands_read_the_store(shell: Shell, run: str) -> None:
    for words in (
        ("runs", "list"),
        ("runs", "show", run),
        ("runs", "export", run),
        ("rejudge", run),
        ("run", "environment_slow", "--show-config"),
    ):
        code, out, err = shell(*words)
        assert code == 0, (words, out, err)
        assert run in out or words[0] in ("run", "rejudge"), words
    assert "1 run" in shell("doctor")[1]


def done_of(store: Any, run_id: str) -> int:
    return next(run.nodes_done for run in store.runs() if run.run_id == run_id)


def wait_for(condition: Any, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"it ended too soon: {process.communicate()}")
        assert time.monotonic() < deadline
        time.sleep(0.02)
