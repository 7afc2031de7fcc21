"""`prismenv runs` and `prismenv rejudge`: what was kept of a run, for people and for programs."""

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.archive import NodeRecord
from prismenv.store.database import open_store

COMMAND = (sys.executable, "-m", "prismenv.cli.main")


@pytest.fixture(scope="module")
def finished(example: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace with one run of its example, to be copied, and the run's id."""
    folder = tmp_path_factory.mktemp("finished") / "workspace"
    shutil.copytree(example, folder)
    program = [*COMMAND, "run", "example", "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PRISMENV_")}
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=True)
    return folder, json.loads(done.stdout.splitlines()[-1])["run_id"]


@pytest.fixture
def stored(shell: Any, finished: tuple[Path, str]) -> tuple[Any, str]:
    """The command in a copy of that workspace, and the run's id."""
    folder, run = finished
    shutil.copytree(folder, shell.folder, dirs_exist_ok=True)
    return shell, run


def test_without_a_store_the_list_is_empty_and_none_is_made(shell: Any) -> None:
    answer = shell("runs", "list", "--json")
    assert (answer.code, answer.json) == (0, [])
    assert "There is no store" in answer.err
    assert shell("runs", "show", "run-1").code == 2
    assert shell("rejudge", "run-1").code == 2
    assert not list(shell.folder.iterdir())


def test_runs_are_listed_shown_and_found_by_the_beginning_of_their_id(stored: tuple[Any, str]) -> None:
    shell, run = stored
    listed = shell("runs", "list", "--json").json
    assert [(item["run_id"], item["status"], item["nodes_done"]) for item in listed] == [(run, "finished", 4)]
    assert run in shell("runs", "list").out
    shown = shell("runs", "show", run[:8])
    assert shown.code == 0
    assert "solved 4 of 4" in shown.out
    assert shell("runs", "show", run, "--json").json["surface"]["nodes"] == 4
    unknown = shell("runs", "show", run[:-1] + "x")
    assert unknown.code == 2
    assert f"Did you mean {run}?" in unknown.err


@pytest.mark.parametrize("columns", [80, 60])
def test_an_id_is_listed_whole_on_a_narrow_terminal(stored: tuple[Any, str], columns: int) -> None:
    shell, run = stored
    shown = shell.on_terminal("runs", "list", columns=columns)
    assert run in shown.out


def test_a_run_is_exported_as_json_lines_and_as_csv(stored: tuple[Any, str]) -> None:
    shell, run = stored
    lines = shell("runs", "export", run, "--format", "jsonl").lines
    assert len(lines) == 8
    assert {line["run_id"] for line in lines} == {run}
    rows = list(csv.DictReader(io.StringIO(shell("runs", "export", run, "--format", "csv").out)))
    assert [row["solution_code"] for row in rows] == [line["solution_code"] for line in lines]
    written = shell("runs", "export", run, "-o", "attempts.jsonl")
    assert (written.code, written.out) == (0, "")
    assert "8 attempts written" in written.err
    assert len((shell.folder / "attempts.jsonl").read_text().splitlines()) == 8
    again = shell("runs", "export", run, "-o", "attempts.jsonl")
    assert again.code == 2
    assert "exists" in again.err
    nowhere = shell("runs", "export", run, "-o", "no/folder/attempts.jsonl")
    assert nowhere.code == 2
    assert "cannot be written: No such file or directory" in nowhere.err


def test_rejudging_finds_the_same_verdicts(stored: tuple[Any, str]) -> None:
    shell, run = stored
    answer = shell("rejudge", run)
    assert (answer.code, answer.out) == (0, "8 judged, 0 changed\n")


def with_another_solution(node: NodeRecord) -> NodeRecord:
    """The node as if its last attempt had been this program, and the verdict of then had been given for it."""
    result = node.outcome.result
    assert result is not None
    last = result.data_trail[-1].model_copy(update={"solution_code": "def double(number):\n    return 7\n"})
    trail = (*result.data_trail[:-1], last)
    return replace(node, outcome=replace(node.outcome, result=result.model_copy(update={"data_trail": trail})))


def test_rejudging_shows_which_verdicts_changed_and_changes_nothing(stored: tuple[Any, str]) -> None:
    shell, run = stored
    with closing(open_store(shell.folder / ".prismenv" / "prismenv.db", create=False)) as store:
        store.save_run(replace(store.runs()[0], run_id="run-altered"))
        for index, node in enumerate(store.nodes(run)):
            store.save_nodes("run-altered", [with_another_solution(node) if index == 1 else node])
    answer = shell("rejudge", "run-altered")
    assert answer.code == 1
    assert "changed verdicts" in answer.out
    assert re.search(r"passed 1/0/0 +failed 0/1/0", answer.out)
    again = shell("rejudge", "run-altered", "--json").json
    assert (again["judged"], again["changed"], again["changes"][0]["node_index"]) == (8, 1, 1)


def test_pruning_tells_first_and_removes_only_what_it_is_told_to(stored: tuple[Any, str]) -> None:
    shell, run = stored
    bare = shell("runs", "prune")
    assert bare.code == 2
    assert "--older-than-days" in bare.err
    assert "--keep" in bare.err
    dry = shell("runs", "prune", "--keep", "0", "--dry-run", "--json").json
    assert dry == {"dry_run": True, "removed": [run], "busy": [], "answers": 0}
    assert shell("runs", "prune", "--keep", "1", "--json").json["removed"] == []
    assert shell("runs", "prune", "--keep", "1").out.split("\n")[0] == "no run is to be removed"
    assert run in shell("runs", "prune", "--keep", "0").out
    assert shell("runs", "list", "--json").json == []


def test_a_damaged_run_is_listed_shown_exported_and_pruned_but_not_resumed(stored: tuple[Any, str]) -> None:
    shell, run = stored
    with closing(sqlite3.connect(shell.folder / ".prismenv" / "prismenv.db")) as store:
        store.execute("UPDATE runs SET recipe = '{bad', started_at = 'abc'")
        store.commit()
    listed = shell("runs", "list")
    assert listed.code == 0
    assert f"{run}  " in listed.out
    assert "damaged" in listed.out
    assert "cannot be read back" in listed.err
    assert "cannot be read back" in shell("runs", "show", run).out
    assert len(shell("runs", "export", run).lines) == 8
    resumed = shell("run", "--resume", run)
    assert resumed.code == 3
    assert "cannot be read back" in resumed.err
    assert "Traceback" not in resumed.err
    assert run in shell("runs", "prune", "--keep", "0").out
    assert shell("runs", "list", "--json").json == []
