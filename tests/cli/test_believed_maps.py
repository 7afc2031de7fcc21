"""`prismenv report` of runs whose search has a map of its own: what it believed beside what was counted."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prismenv.cli.main import build_app
from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.contracts.policy import PolicyContext
from prismenv.contracts.recipe import SearchSettings
from prismenv.search.adaptive.policy import AdaptivePolicy
from prismenv.search.cells import plan_cells
from prismenv.store.database import open_store
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults

CONCEPTS, DIFFICULTIES = ("loops", "sorting"), ("easy", "hard")
Solved = Callable[[NodeRequest], bool]
Reference = tuple[NodeOutcome, ...]


def easy_only(request: NodeRequest) -> bool:
    return request.difficulty == "easy"


@dataclass
class Desk:
    """The command in a folder whose store is at hand."""

    folder: Path
    store: Store

    def __call__(self, *words: object) -> Any:
        said = [*map(str, words), "--store", str(self.folder / "runs.db")]
        answer = CliRunner().invoke(build_app(said), said)
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    def text(self, *words: object) -> str:
        return " ".join(self(*words).split())

    def rows(self, *words: object) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self(*words, "--format", "csv"))))

    def play(self, run_id: str, solved: Solved = easy_only, reference: Reference = (), **search: Any) -> dict[str, Any]:
        """A stored run of the adaptive policy; gives its own map."""
        recipe = {"name": "small", "search": {"policy": "adaptive", **search}}
        self.store.save_run(RunRecord(run_id, "small", "environment_x", "running", 1, recipe, 1000.0), [])
        settings = SearchSettings.model_validate(recipe["search"])
        nodes = plan_cells(CONCEPTS, DIFFICULTIES, pairs=settings.pairs)
        policy = AdaptivePolicy(PolicyContext(nodes, settings, 1, CONCEPTS, DIFFICULTIES, reference=reference))
        told = []
        while not policy.finished:
            for request in policy.ask(1):
                success = solved(request)
                outcome = NodeOutcome(request, ChallengeResults(success=success), "none" if success else "candidate")
                policy.tell(outcome)
                told.append(NodeRecord(outcome, (), ()))
        self.store.save_nodes(run_id, told)
        found = dict(policy.state()["map"])
        self.end(run_id, found)
        return found

    def end(self, run_id: str, found: object) -> None:
        (run,) = (run for run in self.store.runs() if run.run_id == run_id)
        ended = Event("run_finished", run_id, 1010.0, {"status": "finished", "note": "", "map": found})
        known = (run_id, run.name, run.environment, "finished", run.seed, run.recipe, run.started_at)
        self.store.save_run(RunRecord(*known, ended_at=1010.0), [ended])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    with closing(open_store(tmp_path / "runs.db")) as store:
        yield Desk(tmp_path, store)


def test_what_the_search_believed_stands_beside_the_counts_with_its_n(desk: Desk) -> None:
    found = desk.play("run-a", nodes=200, stop={"interval": 0.2})
    assert found["held"] is True
    text = desk.text("report", "run-a")
    assert f"made of {found['told']} nodes" in text
    assert "looked for: which cells lie under 50%" in text
    assert "the search ended by: precision search.stop held at the end: 100% of 4 cells lie on one side" in text
    for cell in found["cells"]:
        side = ">" if cell["difficulty"] == "easy" else "<"
        ends = f"[{100 * cell['low']:.0f}-{100 * cell['high']:.0f}]"
        assert f"{side}{100 * cell['rate']:.0f}% {ends} n {cell['measured']}" in text
    assert "Map" in text
    assert f"{sum(cell['solved'] for cell in found['cells'])}/{found['told']}" in text


def test_the_same_belief_is_in_every_format(desk: Desk) -> None:
    found = desk.play("run-a", nodes=30, pairs=True, stop={"interval": None})
    (kept,) = json.loads(desk("report", "run-a", "--format", "json"))["search_maps"]
    assert kept == {"run_id": "run-a", "nodes": 30, **found}
    assert (kept["held"], kept["known"]) == (None, None)
    rows = {
        (row["name"], row["difficulty"]): row for row in desk.rows("report", "run-a") if row["kind"] == "believed_cell"
    }
    assert len(rows) == 6
    for cell in found["cells"]:
        row = rows[" + ".join(cell["concepts"]), cell["difficulty"]]
        assert [float(row[name]) for name in ("rate", "low", "high", "under")] == [
            cell[name] for name in ("rate", "low", "high", "under")
        ]
        assert (row["solved"], row["measured"]) == (str(cell["solved"]), str(cell["measured"]))
        assert row["method"] == "credible 90 %"
    (ability,) = (row for row in desk.rows("report", "run-a") if row["kind"] == "believed_ability")
    assert (float(ability["rate"]), ability["measured"]) == (found["ability"]["rate"], "30")
    markdown = desk("report", "run-a", "--format", "markdown")
    assert "## The search's own map" in markdown
    assert "| loops + sorting |" in markdown


def test_a_cell_that_was_never_measured_has_an_estimate_and_no_n(desk: Desk) -> None:
    found = desk.play("run-a", nodes=2, stop={"interval": None})
    never = [cell for cell in found["cells"] if not cell["measured"]]
    assert len(never) >= 2
    text = desk.text("report", "run-a")
    assert all(f"[{100 * cell['low']:.0f}-{100 * cell['high']:.0f}] n 0" in text for cell in never)


@pytest.mark.parametrize(("interval", "word"), [(0.45, "held"), (0.01, "did not hold")])
def test_whether_the_stop_held_is_told_for_mean_ability_too(desk: Desk, interval: float, word: str) -> None:
    desk.play("run-a", objective="ability", nodes=25, stop={"interval": interval})
    text = desk.text("report", "run-a")
    assert "looked for: mean ability over all cells" in text
    assert f"search.stop {word} at the end: asked for was mean ability to ±{100 * interval:g} points" in text


def test_a_difference_is_shown_in_points_above_and_below_the_reference(desk: Desk) -> None:
    desk.play("run-a", lambda _: True, nodes=60, stop={"interval": None})
    reference = tuple(node.outcome for node in desk.store.nodes("run-a"))
    found = desk.play("run-b", nodes=120, objective="difference", stop={"interval": None}, reference=reference)
    hard = [cell["difference"] for cell in found["cells"] if cell["difficulty"] == "hard"]
    text = desk.text("report", "run-b")
    for difference in hard:
        assert difference["high"] < 0
        low, high = (f"{100 * difference[end]:+.0f}" for end in ("low", "high"))
        assert f"<{100 * difference['rate']:+.0f} [{low} to {high}]" in text


@pytest.mark.parametrize("columns", ["80", "60"])
def test_a_narrow_terminal_breaks_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    desk.play("run-a", nodes=20, pairs=True, stop={"interval": 0.1})
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, desk("report", "run-a").splitlines())) <= int(columns)


def test_several_runs_keep_their_maps_apart(desk: Desk) -> None:
    for run_id in ("run-a", "run-b"):
        desk.play(run_id, nodes=10, stop={"interval": None})
    text = desk.text("report", "run-a", "run-b")
    assert "The search's own map of run-a" in text
    assert "The search's own map of run-b" in text


def test_a_killed_run_says_that_the_map_is_missing_and_a_later_sitting_how_old_it_is(desk: Desk) -> None:
    found = desk.play("run-a", nodes=10, stop={"interval": None})
    (run,) = desk.store.runs()
    (first,) = list(desk.store.nodes("run-a"))[:1]
    late = NodeOutcome(NodeRequest(10, *_identity(first.outcome.request)), first.outcome.result, first.outcome.fault)
    desk.store.save_nodes("run-a", [NodeRecord(late, (), ())])
    assert "made of 10 nodes of the 11 that are stored by now" in desk.text("report", "run-a")
    recipe = dict(run.recipe)
    desk.store.save_run(RunRecord("run-b", "small", "environment_x", "running", 1, recipe, 1000.0), [])
    assert "it is stored when a sitting ends, and this run's process was killed" in desk.text("report", "run-b")
    assert json.loads(desk("report", "run-b", "--format", "json"))["search_maps"] == []
    assert found["told"] == 10


def _identity(request: NodeRequest) -> tuple[Any, ...]:
    return (request.node_id, request.concepts, request.difficulty, request.seed)


@pytest.mark.parametrize("broken", [7, {}, {"objective": "threshold", "cells": [{"rate": 5}]}])
def test_a_map_of_another_version_is_said_to_be_unreadable_and_the_counts_are_reported(desk: Desk, broken: Any) -> None:
    desk.play("run-a", nodes=10, stop={"interval": None})
    desk.end("run-a", broken)
    text = desk.text("report", "run-a")
    assert "it is stored in a form that this version of prismenv cannot read" in text
    assert "of 10 (" in text
    assert json.loads(desk("report", "run-a", "--format", "json"))["search_maps"] == []
    assert not [row for row in desk.rows("report", "run-a") if row["kind"].startswith("believed")]
