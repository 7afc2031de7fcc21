"""Campaigns: from a recipe to a report, through real plugins, the real store and the real sandbox's door."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import load_stored_recipe, plan_campaign, run_campaign
from prismenv.engine.location import store_location
from prismenv.engine.report import RunReport
from prismenv.engine.switch import StopSwitch
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException, RegistryException, StorageException
from prismenv.words.events import Event

Make = Callable[..., Recipe]


@dataclass
class Stage:
    """Runs recipes in one workspace and keeps the events."""

    workspaces: WorkspaceSet
    events: list[Event] = field(default_factory=list)
    on_event: Callable[[Event, StopSwitch], None] = lambda event, stop: None

    def run(self, recipe: Recipe | None, resume: str | None = None) -> RunReport:
        stop = StopSwitch()

        def sink(event: Event) -> None:
            self.events.append(event)
            self.on_event(event, stop)

        async def main() -> RunReport:
            return await run_campaign(
                recipe,
                workspaces=self.workspaces,
                folder=self.workspaces.project_folder,
                sink=sink,
                resume=resume,
                stop=stop,
            )

        return anyio.run(main)

    def kinds(self) -> Counter[str]:
        return Counter(event.type for event in self.events)

    def trail(self, run_id: str) -> list[Any]:
        """What is stored of a run, but for times."""
        store = open_store(store_location(None, self.workspaces))
        outcomes = [node.outcome for node in store.nodes(run_id)]
        store.close()
        return [
            (outcome.request, outcome.result.model_dump(mode="json") if outcome.result else None, outcome.fault)
            for outcome in outcomes
        ]

    def status(self, run_id: str) -> tuple[str, str]:
        store = open_store(store_location(None, self.workspaces))
        (run,) = [run for run in store.runs() if run.run_id == run_id]
        store.close()
        return run.status, run.note


@pytest.fixture
def stage(workspaces: WorkspaceSet) -> Stage:
    return Stage(workspaces)


def test_a_recipe_runs_to_a_report_and_everything_is_in_the_store(stage: Stage, recipe: Make, workspace: Path) -> None:
    report = stage.run(recipe())
    assert report.status == "finished"
    assert report.progress["done"] == report.progress["total"] == report.surface.total.measured == 12
    assert report.store == str(workspace / ".prismenv" / "prismenv.db")
    assert len(stage.trail(report.run_id)) == 12
    assert stage.status(report.run_id) == ("finished", "")
    per_node = {"node_started": 12, "attempt_judged": 12, "node_finished": 12}
    assert stage.kinds() == {"run_started": 1, **per_node, "run_finished": 1}
    document = json.loads(json.dumps(report.to_json()))
    assert document["surface"]["total"]["measured"] == 12
    assert document["simulated"] is False


def test_every_event_is_plain_json(stage: Stage, recipe: Make) -> None:
    stage.run(recipe())
    assert json.loads(json.dumps([dict(event.data) for event in stage.events]))


def test_the_trail_is_the_same_at_any_concurrency(stage: Stage, recipe: Make) -> None:
    runs = [
        stage.run(recipe(search={"policy": "random", "nodes": 40, "window": 16}, concurrency={"nodes": nodes}))
        for nodes in (1, 3, 16)
    ]
    trails = [stage.trail(run.run_id) for run in runs]
    assert trails[0] == trails[1] == trails[2]
    assert runs[0].surface.to_json() == runs[1].surface.to_json() == runs[2].surface.to_json()


def test_an_environment_with_nodes_of_its_own_is_run_over_them_and_gives_pass_at_k(stage: Stage, recipe: Make) -> None:
    own = {"environment": "environment_problems", "search": {"concepts": None, "difficulties": None}}
    report = stage.run(recipe(**own))
    assert [request.node_id for request, *_ in stage.trail(report.run_id)] == [f"p{number}" for number in range(6)]
    assert [(estimate.k, estimate.value) for estimate in report.pass_at_k] == [
        (1, pytest.approx(1 / 2)),
        (2, pytest.approx(2 / 3)),
    ]
    easy = stage.run(recipe(environment="environment_problems", search={"concepts": None, "difficulties": ["easy"]}))
    assert [request.node_id for request, *_ in stage.trail(easy.run_id)] == ["p1", "p3", "p5"]
    with pytest.raises(ConfigurationException, match=r"no node with 'esy'.*did you mean 'easy'"):
        stage.run(recipe(environment="environment_problems", search={"concepts": None, "difficulties": ["esy"]}))


def test_an_environment_that_raises_is_data_and_counts_against_nobody(stage: Stage, recipe: Make) -> None:
    report = stage.run(recipe(options={"fail": "c3"}))
    assert report.status == "finished"
    assert report.progress["left_out"] == {"environment": 2}
    assert report.progress["measured"] == report.surface.total.measured == 10
    failed = [event.data for event in stage.events if event.data.get("fault") == "environment"]
    assert all("KeyError" in data["error"] and data["failure"] == "environment" for data in failed)


def test_the_own_keys_of_a_result_are_in_the_event_of_its_node_as_plain_json(stage: Stage, recipe: Make) -> None:
    report = stage.run(recipe(environment="environment_owner"))
    assert report.status == "finished"
    results = [event.data["result"] for event in stage.events if event.type == "node_finished"]
    own = {"data": {"a": 1}, "odd": [2], "ratio": None}
    assert [{key: result[key] for key in own} for result in results] == [own] * 12
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_the_event_of_a_node_without_a_result_has_none(stage: Stage, recipe: Make) -> None:
    stage.run(recipe(options={"fail": "c3"}))
    finished = [event.data for event in stage.events if event.type == "node_finished"]
    assert sum(data["result"] is None for data in finished) == 2
    assert all((data["result"] is None) == (data["error"] is not None) for data in finished)


def test_a_run_in_which_everything_fails_alike_stops_early_and_says_why(stage: Stage, recipe: Make) -> None:
    report = stage.run(recipe(options={"fail": "everything"}, search={"concepts": ["c1"], "repeats": 50}))
    assert report.status == "failed"
    assert "KeyError" in report.note
    assert report.progress["done"] < 40
    assert stage.status(report.run_id) == ("failed", report.note)


def test_a_node_budget_stops_cleanly_and_more_can_be_given_on_resume(stage: Stage, recipe: Make) -> None:
    first = stage.run(recipe(budget={"nodes": 5}))
    assert (first.status, first.note) == ("budget_reached", "budget.nodes: 5 of 5")
    assert first.progress["done"] == 5
    assert stage.kinds()["budget_reached"] == 1
    again = stage.run(None, resume=first.run_id)
    assert (again.status, again.progress["done"]) == ("budget_reached", 5)
    rest = stage.run(recipe(budget={"nodes": 100}), resume=first.run_id)
    assert (rest.status, rest.progress["done"], rest.progress["replayed"]) == ("finished", 12, 5)
    assert stage.trail(first.run_id) == stage.trail(stage.run(recipe()).run_id)


def test_draining_and_resuming_gives_what_an_undisturbed_run_gives(stage: Stage, recipe: Make) -> None:
    def drain(event: Event, stop: StopSwitch) -> None:
        if event.type == "node_finished" and event.data["index"] == 4:
            stop.drain()

    whole = stage.run(recipe())
    stage.on_event = drain
    first = stage.run(recipe())
    stage.on_event = lambda event, stop: None
    assert first.status == "interrupted"
    assert stage.status(first.run_id)[0] == "interrupted"
    rest = stage.run(None, resume=first.run_id)
    assert rest.status == "finished"
    assert rest.run_id == first.run_id
    assert stage.trail(rest.run_id) == stage.trail(whole.run_id)
    assert rest.surface.to_json() == whole.surface.to_json()
    resumed = next(event for event in stage.events if event.type == "run_resumed")
    assert resumed.data["progress"]["replayed"] == first.progress["done"]


def test_aborting_and_resuming_gives_what_an_undisturbed_run_gives(stage: Stage, recipe: Make, tmp_path: Path) -> None:
    def abort(event: Event, stop: StopSwitch) -> None:
        if event.type == "node_finished" and event.data["index"] == 2:
            stop.abort()

    ledger = tmp_path / "ledger"
    stage.on_event = abort
    first = stage.run(recipe(options={"ledger": str(ledger)}, concurrency={"nodes": 3}))
    stage.on_event = lambda event, stop: None
    assert first.status == "interrupted"
    assert first.progress["done"] == len(stage.trail(first.run_id))
    rest = stage.run(None, resume=first.run_id)
    assert (rest.status, rest.progress["done"]) == ("finished", 12)
    assert [request.index for request, *_ in stage.trail(rest.run_id)] == list(range(12))


def test_resuming_a_finished_run_says_so_and_changes_nothing(stage: Stage, recipe: Make) -> None:
    first = stage.run(recipe())
    before = stage.trail(first.run_id)
    again = stage.run(None, resume=first.run_id)
    assert (again.status, again.progress["replayed"]) == ("finished", 12)
    assert "finished already" in again.note
    assert again.surface.to_json() == first.surface.to_json()
    assert stage.trail(first.run_id) == before
    assert stage.status(first.run_id) == ("finished", "")


def test_an_unknown_run_cannot_be_resumed_and_the_nearest_is_named(stage: Stage, recipe: Make) -> None:
    first = stage.run(recipe())
    wrong = f"{first.run_id[:-1]}{'0' if first.run_id[-1] != '0' else '1'}"
    with pytest.raises(StorageException, match=f"There is no run {wrong}(?s:.*)Did you mean {first.run_id}"):
        stage.run(recipe(), resume=wrong)
    assert stage.run(None, resume=first.run_id[:-2]).run_id == first.run_id


def test_a_run_that_is_worked_on_cannot_be_resumed_at_the_same_time(stage: Stage, recipe: Make) -> None:
    first = stage.run(recipe(budget={"nodes": 2}))
    store = open_store(store_location(None, stage.workspaces))
    with store.lock_run(first.run_id), pytest.raises(StorageException) as caught:
        stage.run(None, resume=first.run_id)
    store.close()
    assert caught.value.code == "run_locked"


def test_a_run_goes_on_with_its_own_recipe_only(stage: Stage, recipe: Make) -> None:
    first = stage.run(recipe(budget={"nodes": 2}))
    with pytest.raises(ConfigurationException, match=r"seed was 7, is 8") as caught:
        stage.run(recipe(seed=8), resume=first.run_id)
    assert caught.value.code == "recipe_differs"
    assert load_stored_recipe(first.run_id, stage.workspaces).recipe == recipe(budget={"nodes": 2})


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"environment": "environment_dise"}, RegistryException, "did you mean 'environment_dice'"),
        ({"search": {"policy": "gird"}}, ConfigurationException, r"no policy 'gird'.*did you mean 'grid'"),
        ({"config": {"max_attemps": 3}}, ConfigurationException, "max_attempts"),
        ({"models": {"default": "simulatd/weak"}}, ConfigurationException, "simulated"),
        ({"models": {"problem_slover": "simulated/weak"}}, ConfigurationException, "problem_solver"),
        ({"config": {"agents": ["problem_slover"]}}, ConfigurationException, "problem_solver"),
    ],
    ids=str,
)
def test_what_a_recipe_has_wrong_is_an_error_before_anything_is_stored(
    stage: Stage, recipe: Make, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        stage.run(recipe(**changes))
    store = open_store(store_location(None, stage.workspaces))
    assert store.runs() == []
    store.close()


def test_a_broken_plugin_is_named_with_its_reason_and_hides_no_other(
    stage: Stage, recipe: Make, workspace: Path
) -> None:
    (workspace / "environments" / "environment_broken.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(ConfigurationException, match=r"'environment_broken' is broken.*nowhere_to_be_found"):
        stage.run(recipe(environment="environment_broken"))
    assert stage.run(recipe()).status == "finished"


def test_a_plan_says_what_would_run_and_stores_nothing(stage: Stage, recipe: Make, workspace: Path) -> None:
    plan = plan_campaign(recipe(), workspaces=stage.workspaces, folder=workspace)
    assert plan["nodes"] == 12
    assert plan["first_nodes"][:2] == ["c0|easy", "c0|hard"]
    assert json.loads(json.dumps(plan))
    assert not (workspace / ".prismenv").exists()


def test_prompts_are_not_kept_when_the_recipe_says_so_but_what_they_used_is(stage: Stage, recipe: Make) -> None:
    changes: dict[str, Any] = {
        "environment": "environment_coding_challenge",
        "models": {"default": "simulated/perfect"},
        "search": {"concepts": ["loops"], "difficulties": ["easy"]},
    }
    kept = stage.run(recipe(**changes))
    bare = stage.run(recipe(**changes, output={"keep_calls": False}))
    assert kept.simulated
    assert kept.tokens == bare.tokens > 0
    store = open_store(store_location(None, stage.workspaces))
    prompts = [[bool(call.prompt) for node in store.nodes(run.run_id) for call in node.calls] for run in (kept, bare)]
    store.close()
    assert all(prompts[0])
    assert prompts[1]
    assert not any(prompts[1])


def test_a_failed_run_with_nothing_left_stays_failed_when_it_is_resumed(stage: Stage, recipe: Make) -> None:
    first = stage.run(recipe(options={"fail": "everything"}, search={"concepts": ["c1"], "difficulties": ["d1"]}))
    again = stage.run(None, resume=first.run_id)
    assert (first.status, again.status, again.note) == ("failed", "failed", first.note)
    assert stage.status(first.run_id) == ("failed", first.note)
