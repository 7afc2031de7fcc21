"""Phases after a policy that has none: what it found hard is measured in depth, whatever policy found it."""

import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.location import store_location
from prismenv.engine.report import RunReport
from prismenv.engine.runtree import write_run_tree
from prismenv.engine.switch import StopSwitch
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome

Make = Callable[..., Recipe]
# Cannot do c1, nor anything hard with c2; says how many problems it was told of.
ENVIRONMENT = """\
from prismenv import BaseEnvironment, environment_registry


@environment_registry.register("environment_known")
class Known(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, previous_problems=(), **options):
        success = concept != "c1" and (concept, difficulty_level) != ("c2", "hard")
        record = {"problem_statement": f"problem {self.seed}", "success": success}
        if not success:
            record["fault"] = "candidate"
        return {"success": success, "data_trail": [record], "told": len(previous_problems)}
"""
PHASES = """\
phase_3: {phase_params: {variations_per_concept: 3, max_iterations: 50}, environment: {name: environment_known}}
"""
SEARCHES: dict[str, dict[str, Any]] = {
    "grid": {},
    "random": {"nodes": 60},
    "adaptive": {"nodes": 60, "stop": {"interval": None}},
    "mcts": {"nodes": 60},
}


@pytest.fixture
def following(recipe: Make, workspace: Path) -> Make:
    (workspace / "configs").mkdir(exist_ok=True)
    (workspace / "configs" / "deep.yaml").write_text(PHASES, encoding="utf-8")
    (workspace / "environments" / "environment_known.py").write_text(ENVIRONMENT, encoding="utf-8")

    def make(policy: str, **more: Any) -> Recipe:
        search = {
            "policy": policy,
            "phases": "deep",
            "then": ["phase_3"],
            "max_concepts": 1,
            **SEARCHES.get(policy, {}),
        }
        return recipe(environment="environment_known", search=search | more.pop("search", {}), **more)

    return make


def run(
    workspaces: WorkspaceSet, recipe: Recipe | None, resume: str | None = None, drain_after: int | None = None
) -> RunReport:
    stop, done = StopSwitch(), [0]

    def sink(event: Event) -> None:
        done[0] += event.type == "node_finished"
        if done[0] == drain_after:
            stop.drain()

    async def main() -> RunReport:
        folder = workspaces.project_folder
        return await run_campaign(recipe, workspaces=workspaces, folder=folder, sink=sink, resume=resume, stop=stop)

    return anyio.run(main)


def stored(workspaces: WorkspaceSet, run_id: str) -> list[NodeOutcome]:
    with closing(open_store(store_location(None, workspaces))) as store:
        return [node.outcome for node in store.nodes(run_id)]


@pytest.mark.parametrize("policy", SEARCHES)
def test_what_any_policy_found_hard_is_measured_in_depth(
    policy: str, following: Make, workspaces: WorkspaceSet
) -> None:
    report = run(workspaces, following(policy))
    assert report.status == "finished", report.note
    outcomes = stored(workspaces, report.run_id)
    first = [each for each in outcomes if each.request.phase is None]
    deep = outcomes[len(first) :]
    assert {each.request.phase for each in deep} == {"phase_3"}
    hard = {each.request.node_id for each in first if not each.success}
    assert {"c1|easy", "c1|hard", "c2|hard"} >= hard > set()
    assert sorted(each.request.node_id for each in deep) == sorted(f"{name}#{n}" for name in hard for n in (1, 2, 3))
    statements = [each.result.data_trail[0].problem_statement for each in outcomes if each.result]
    assert len(set(statements)) == len(statements)
    for each in deep:
        before = int(each.request.node_id.partition("#")[2])
        assert each.result is not None
        assert each.result["told"] >= before  # the node's own problems, and those of the variants before
    tree = io.StringIO()
    with closing(open_store(store_location(None, workspaces))) as store:
        write_run_tree(store, report.run_id, workspaces, tree)
    kept = {node["id"]: len(node["run_results"]) for node in json.loads(tree.getvalue())["nodes"]}
    assert sum(kept.values()) == len(outcomes)


def test_it_is_the_same_at_any_concurrency_and_after_any_stop(following: Make, workspaces: WorkspaceSet) -> None:
    def trail(run_id: str) -> list[Any]:
        return [(each.request, each.success) for each in stored(workspaces, run_id)]

    whole = run(workspaces, following("grid", concurrency={"nodes": 1}))
    beside = run(workspaces, following("grid", concurrency={"nodes": 16}))
    assert trail(whole.run_id) == trail(beside.run_id)
    stopped = run(workspaces, following("grid", concurrency={"nodes": 1}), drain_after=5)
    assert stopped.status == "interrupted"
    again = run(workspaces, None, resume=stopped.run_id, drain_after=10)
    assert again.status == "interrupted"
    assert run(workspaces, None, resume=stopped.run_id).status == "finished"
    assert trail(stopped.run_id) == trail(whole.run_id)


def test_where_nothing_was_hard_the_phases_end_at_once(following: Make, workspaces: WorkspaceSet) -> None:
    report = run(workspaces, following("grid", search={"concepts": ["c0"]}))
    assert (report.status, report.progress["done"]) == ("finished", 2)


@pytest.mark.parametrize(
    ("policy", "more", "words"),
    [
        ("grid", {"search": {"then": ["phase_9"]}}, "search.then: there is no phase 'phase_9'"),
        ("prismbench", {}, "the policy 'prismbench' goes through the phases of its experiment"),
    ],
)
def test_phases_that_cannot_follow_are_told_before_anything_runs(
    policy: str, more: dict[str, Any], words: str, following: Make, workspaces: WorkspaceSet
) -> None:
    with pytest.raises(ConfigurationException, match=words):
        run(workspaces, following(policy, **more))


def test_an_environment_with_nodes_of_its_own_has_no_phases(
    recipe: Make, following: Make, workspaces: WorkspaceSet
) -> None:
    search = {"phases": "deep", "then": ["phase_3"], "concepts": None, "difficulties": None}
    with pytest.raises(ConfigurationException, match=r"search\.then: phases make nodes of concepts"):
        run(workspaces, recipe(environment="environment_problems", search=search))
