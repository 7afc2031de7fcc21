"""The tree of a stored run: written from the store for every search, and reported as the run itself is."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from prismenv.cli.main import build_app
from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.location import store_location
from prismenv.engine.publishedtree import read_tree
from prismenv.engine.report import RunReport
from prismenv.engine.survey import survey_runs
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store

Make = Callable[..., Recipe]
SEARCHES = {
    "grid": {"repeats": 2},
    "random": {"nodes": 20},
    "adaptive": {"nodes": 20},
    "mcts": {"nodes": 40},
    "prismbench": {"phases": "small_phases"},
}

PHASES = """\
phase_1: {phase_params: {max_iterations: 30}}
phase_2: {phase_params: {max_iterations: 20}}
phase_3: {phase_params: {max_iterations: 10, variations_per_concept: 2}, environment: {name: environment_dice}}
"""


def run(workspaces: WorkspaceSet, recipe: Recipe) -> RunReport:
    async def main() -> RunReport:
        folder = workspaces.project_folder
        return await run_campaign(recipe, workspaces=workspaces, folder=folder, sink=lambda _: None)

    return anyio.run(main)


def tree_of(workspace: Path, run_id: str, *words: str) -> Any:
    """What the command says, and the file that it wrote."""
    store = workspace / ".prismenv" / "prismenv.db"
    path = workspace / f"{run_id}.json"
    said = ["runs", "tree", run_id, "--output", str(path), "--store", str(store), "--workspace", str(workspace), *words]
    return CliRunner().invoke(build_app(said), said), path


@pytest.mark.parametrize("policy", SEARCHES)
def test_the_tree_of_a_run_is_reported_as_the_run_is(
    policy: str, recipe: Make, workspace: Path, workspaces: WorkspaceSet
) -> None:
    (workspace / "configs").mkdir()
    (workspace / "configs" / "small_phases.yaml").write_text(PHASES)
    given = recipe(search={"policy": policy, **SEARCHES[policy]}, options={"fail": "c1"}, budget={"nodes": 60})
    report = run(workspaces, given)
    answer, path = tree_of(workspace, report.run_id)
    assert answer.exit_code == 0, answer.stderr
    tree, told = json.loads(path.read_text()), read_tree(path).to_json(0.5)
    with closing(open_store(store_location(None, workspaces))) as store:
        run_itself = survey_runs(store, [report.run_id]).to_json(0.5)
        measured = [node.outcome for node in store.nodes(report.run_id)]
    assert told["areas"] == run_itself["areas"]
    assert told["total"] == run_itself["total"]
    assert told["total"]["left_out"] == sum(not each.measured for each in measured) > 0
    kept = {node["id"]: len(node["run_results"]) + sum(node["left_out"].values()) for node in tree["nodes"]}
    assert sum(kept.values()) == len(measured)
    assert {each.request.node_id for each in measured} <= kept.keys()
    assert any(node["parents"] for node in tree["nodes"]) is (policy in ("mcts", "prismbench"))
    assert all(node["visits"] for node in tree["nodes"] if node["run_results"])


def test_a_tree_is_written_whole_or_not_at_all_and_over_nothing(
    recipe: Make, workspace: Path, workspaces: WorkspaceSet
) -> None:
    report = run(workspaces, recipe())
    path = workspace / f"{report.run_id}.json"
    path.write_text("mine")
    answer, _ = tree_of(workspace, report.run_id)
    assert answer.exit_code == 2
    assert "exists; name a new file" in answer.stderr
    assert path.read_text() == "mine"
    path.unlink()
    before = set(workspace.iterdir())
    answer, _ = tree_of(workspace, "run-unknown")
    assert answer.exit_code == 2
    assert "There is no run run-unknown" in answer.stderr
    assert set(workspace.iterdir()) == before


def test_a_run_whose_search_has_changed_is_told_and_can_be_written_without_edges(
    recipe: Make, workspace: Path, workspaces: WorkspaceSet
) -> None:
    (workspace / "configs").mkdir()
    configs = workspace / "configs" / "own_tree.yaml"
    configs.write_text("tree_configs: {concepts: [c0, c1, c2], difficulties: [easy, hard]}\n")
    search = {"policy": "mcts", "nodes": 12, "tree": "own_tree", "concepts": None, "difficulties": None}
    report = run(workspaces, recipe(search=search))
    configs.write_text("tree_configs: {concepts: [c2, c1], difficulties: [easy, hard]}\n")
    answer, path = tree_of(workspace, report.run_id)
    assert answer.exit_code == 2
    assert "the search now asks for" in answer.stderr
    assert not path.exists()
    answer, path = tree_of(workspace, report.run_id, "--flat")
    assert answer.exit_code == 0, answer.stderr
    assert read_tree(path).to_json(0.5)["total"]["measured"] == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"left_out": {"moon": 1}}, "nodes.0.left_out: found 'moon'; expected infrastructure, environment or tests"),
        ({"left_out": {"tests": -1}}, "nodes.0.left_out"),
        ({"run_results": [{"success": True, "problems": 3}]}, "nodes.0.run_results.0.problems: found 3"),
    ],
)
def test_a_tree_of_ours_that_was_changed_by_hand_is_told_with_the_place(
    change: Any, words: str, recipe: Make, workspace: Path, workspaces: WorkspaceSet
) -> None:
    _, path = tree_of(workspace, run(workspaces, recipe()).run_id)
    tree = json.loads(path.read_text())
    tree["nodes"][0].update(change)
    path.write_text(json.dumps(tree))
    answer = CliRunner().invoke(build_app(["report", str(path)]), ["report", str(path)])
    assert answer.exit_code == 2
    assert words in answer.stderr
