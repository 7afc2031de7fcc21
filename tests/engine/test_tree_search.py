"""The search in phases as a run: phases with environments of their own, repeatable at any concurrency, resumed."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import plan_campaign, run_campaign
from prismenv.engine.location import store_location
from prismenv.engine.report import RunReport
from prismenv.engine.switch import StopSwitch
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException, RegistryException
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome

PHASES = """\
phase_1: {phase_params: {max_iterations: 12}}
phase_2: {phase_params: {max_iterations: 8}}
phase_3:
  phase_params: {max_iterations: 10, variations_per_concept: 2}
  environment: {name: environment_thorough}
"""
THOROUGH = """\
from prismenv import BaseEnvironment, environment_registry


@environment_registry.register("environment_thorough")
class Thorough(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, previous_problems=(), **options):
        record = {"problem_statement": f"problem {self.seed}", "success": False, "fault": "candidate"}
        return {"success": False, "data_trail": [record], "told": len(previous_problems)}
"""
Make = Callable[..., Recipe]


@pytest.fixture
def tree_recipe(recipe: Make, workspace: Path) -> Make:
    (workspace / "configs").mkdir(exist_ok=True)
    (workspace / "configs" / "small_phases.yaml").write_text(PHASES, encoding="utf-8")
    (workspace / "environments" / "environment_thorough.py").write_text(THOROUGH, encoding="utf-8")

    def make(**more: Any) -> Recipe:
        search = {"policy": "prismbench", "phases": "small_phases", **more.pop("search", {})}
        return recipe(search=search, **more)

    return make


def run(
    workspaces: WorkspaceSet, recipe: Recipe | None, resume: str | None = None, drain_after: int | None = None
) -> RunReport:
    stop, done = StopSwitch(), Counter[str]()

    def sink(event: Event) -> None:
        done[event.type] += 1
        if done["node_finished"] == drain_after:
            stop.drain()

    async def main() -> RunReport:
        return await run_campaign(
            recipe, workspaces=workspaces, folder=workspaces.project_folder, sink=sink, resume=resume, stop=stop
        )

    return anyio.run(main)


def stored(workspaces: WorkspaceSet, run_id: str) -> list[NodeOutcome]:
    store = open_store(store_location(None, workspaces))
    try:
        return [node.outcome for node in store.nodes(run_id)]
    finally:
        store.close()


def trail(workspaces: WorkspaceSet, run_id: str) -> list[Any]:
    return [
        (each.request, each.result.model_dump(mode="json") if each.result else None)
        for each in stored(workspaces, run_id)
    ]


def test_phases_measure_with_their_own_environments(tree_recipe: Make, workspaces: WorkspaceSet) -> None:
    report = run(workspaces, tree_recipe())
    assert report.status == "finished"
    outcomes = stored(workspaces, report.run_id)
    assert [each.request.phase for each in outcomes] == sorted(str(each.request.phase) for each in outcomes)
    by_phase = {(each.request.phase, each.request.environment) for each in outcomes}
    assert by_phase == {("phase_1", None), ("phase_2", None), ("phase_3", "environment_thorough")}
    assert {type(each.result and each.result["told"]) for each in outcomes if each.request.environment} == {int}


def test_the_search_is_the_same_at_any_concurrency_and_after_any_stop(
    tree_recipe: Make, workspaces: WorkspaceSet
) -> None:
    whole = run(workspaces, tree_recipe(concurrency={"nodes": 1}))
    beside = run(workspaces, tree_recipe(concurrency={"nodes": 16}))
    assert trail(workspaces, whole.run_id) == trail(workspaces, beside.run_id)
    stopped = run(workspaces, tree_recipe(), drain_after=5)
    assert stopped.status == "interrupted"
    again = run(workspaces, None, resume=stopped.run_id, drain_after=9)
    assert again.status == "interrupted"
    assert run(workspaces, None, resume=stopped.run_id).status == "finished"
    assert trail(workspaces, stopped.run_id) == trail(workspaces, whole.run_id)


def test_a_plan_names_the_agents_of_all_phases_and_nothing_is_measured(
    tree_recipe: Make, workspaces: WorkspaceSet
) -> None:
    plan = plan_campaign(tree_recipe(), workspaces=workspaces, folder=workspaces.project_folder)
    assert plan["nodes"] is None
    assert plan["first_nodes"]


@pytest.mark.parametrize(
    ("search", "error"),
    [
        ({"experiment": "no_such_file"}, ConfigurationException),
        ({"phases": "no_such_file"}, ConfigurationException),
        ({"concepts": ["a", "a"]}, ConfigurationException),
    ],
)
def test_what_a_tree_search_has_wrong_is_told_before_anything_runs(
    tree_recipe: Make, workspaces: WorkspaceSet, search: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(workspaces, tree_recipe(search=search))


def test_an_environment_of_a_phase_that_is_not_there_is_told_before_anything_runs(
    tree_recipe: Make, workspaces: WorkspaceSet, workspace: Path
) -> None:
    path = workspace / "configs" / "small_phases.yaml"
    path.write_text(PHASES.replace("environment_thorough", "environment_thorogh"), encoding="utf-8")
    with pytest.raises(RegistryException, match="environment_thorough"):
        run(workspaces, tree_recipe())


def test_a_role_that_only_a_phases_environment_asks_is_told_with_the_line_to_add(
    recipe: Make, workspaces: WorkspaceSet
) -> None:
    roles = ("challenge_designer", "test_generator", "problem_solver", "problem_fixer")
    given = recipe(
        environment="environment_coding_challenge",
        search={"policy": "prismbench"},
        models=dict.fromkeys(roles, "simulated/weak"),
    )
    with pytest.raises(ConfigurationException) as caught:
        run(workspaces, given)
    assert caught.value.code == "no_model"
    assert "phase_3 measures with environment_enhanced_coding_challenge" in str(caught.value)
    assert "the line `challenge_designer_advanced: simulated/weak`" in str(caught.value)
