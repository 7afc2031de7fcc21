"""What a run tells while it goes on, and what the store tells of it afterwards, are the same story."""

import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.hookspecs import hookimpl
from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.following import Follower
from prismenv.engine.location import store_location
from prismenv.engine.outcomes import complaint
from prismenv.engine.runtree import write_run_tree
from prismenv.engine.survey import survey_runs
from prismenv.finding.plugins import plugin_manager
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.events import Event


def run(workspaces: WorkspaceSet, recipe: Recipe) -> tuple[str, list[Event]]:
    """A run's id and its events."""
    events: list[Event] = []

    async def main() -> str:
        report = await run_campaign(recipe, workspaces=workspaces, folder=workspaces.project_folder, sink=events.append)
        return report.run_id

    return anyio.run(main), events


def plain(events: list[Event], kind: str) -> list[dict[str, Any]]:
    """The data of the events of one kind, without what time and concurrency decide."""
    told = [event.data for event in events if event.type == kind]
    found = [{key: value for key, value in data.items() if key != "progress"} for data in told]
    return sorted(found, key=lambda data: data.get("index", 0))


@pytest.fixture
def in_phases(workspace: Path, recipe: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """A search in two phases over an environment that answers at once."""
    (workspace / "configs").mkdir(exist_ok=True)
    (workspace / "configs" / "two_phases.yaml").write_text(
        "name: two\ndescription: two phases\nphase_sequences: [phase_1, phase_2]\n"
    )
    names = {"policy": "prismbench", "experiment": "two_phases"}
    return lambda **changes: recipe(search=names, **changes)


def test_the_end_of_each_phase_is_told_live_and_from_the_store(workspaces: WorkspaceSet, in_phases: Any) -> None:
    run_id, live = run(workspaces, in_phases())
    with closing(open_store(store_location(None, workspaces), create=False)) as store:
        follower = Follower(store, run_id)
        stored = follower.look()
        assert follower.over
        survey = survey_runs(store, [run_id])
    for kind in ("run_started", "node_started", "attempt_judged", "node_finished", "phase_ended", "run_finished"):
        assert plain(stored, kind) == plain(live, kind)
    ended = plain(live, "phase_ended")
    assert [data["phase"] for data in ended] == list(survey.phases)
    assert len(ended) > 1
    for data, portion in zip(ended, survey.phases.values(), strict=True):
        total = portion.effort().total
        assert (data["nodes"], data["solved"], data["measured"]) == (portion.nodes, total.solved, total.measured)
    assert [event.type for event in live][-2:] == ["phase_ended", "run_finished"]
    assert {data["phase"] for data in plain(live, "node_finished")} == set(survey.phases)


def test_a_phase_that_was_cut_off_has_not_ended(workspaces: WorkspaceSet, in_phases: Any) -> None:
    run_id, live = run(workspaces, in_phases(budget={"nodes": 6}, concurrency={"nodes": 1}))
    assert plain(live, "phase_ended") == []
    assert [event.type for event in live].count("budget_reached") == 1
    with closing(open_store(store_location(None, workspaces), create=False)) as store:
        assert plain(Follower(store, run_id).look(), "phase_ended") == []


def test_attempts_that_an_environment_hands_over_at_its_end_are_told_too(workspaces: WorkspaceSet, recipe: Any) -> None:
    _, live = run(workspaces, recipe())
    kinds = [(event.type, event.data["index"]) for event in live if event.type in ("attempt_judged", "node_finished")]
    assert len(kinds) == 24
    for index in range(12):
        assert kinds.index(("attempt_judged", index)) < kinds.index(("node_finished", index))


def test_what_was_planned_is_stored_so_that_gaps_can_be_told(workspaces: WorkspaceSet, recipe: Any) -> None:
    run_id, _ = run(workspaces, recipe(budget={"nodes": 3}, concurrency={"nodes": 1}))
    with closing(open_store(store_location(None, workspaces), create=False)) as store:
        found = survey_runs(store, [run_id]).coverage()
    assert (found.planned, found.measured) == (12, 3)
    assert [(gap.code, len(gap.cells)) for gap in found.gaps] == [("budget_reached", 9)]


class Watching:
    """A plugin that observes."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    @hookimpl
    def prismenv_event(self, event: Event) -> None:
        self.seen.append(event)


def test_an_observer_is_told_everything_of_a_search_as_it_happens(
    workspaces: WorkspaceSet, in_phases: Any, recipe: Any
) -> None:
    watching = Watching()
    plugin_manager().register(watching)
    try:
        _, live = run(workspaces, in_phases())
        _, cut = run(workspaces, recipe(budget={"nodes": 3}))
    finally:
        plugin_manager().unregister(watching)
    assert watching.seen == live + cut
    told = {event.type for event in watching.seen}
    assert told >= {"node_started", "attempt_judged", "node_finished", "phase_ended", "budget_reached"}


def test_a_node_whose_time_is_up_ends_and_stays_and_is_asked_for_again(
    workspaces: WorkspaceSet, in_phases: Any, workspace: Path
) -> None:
    (workspace / "configs" / "phase_configs.yaml").write_text(
        "phase_1: {phase_params: {task_timeout: 0.4, max_iterations: 30}}\n"
        "phase_2: {phase_params: {task_timeout: 0.4, max_iterations: 10}}\n"
    )
    (workspace / "configs" / "environment_config.yaml").write_text("environment_dice: {timeout: 0.4}\n")
    (workspace / "environments" / "environment_dice.py").write_text(NEVER_ENDS_WITH_C1)
    run_id, live = run(workspaces, in_phases())
    assert live[-1].data["status"] == "finished"
    with closing(open_store(store_location(None, workspaces), create=False)) as store:
        outcomes = [record.outcome for record in store.nodes(run_id)]
    late = [each for each in outcomes if each.request.node_id == "c1|easy"]
    assert [each.fault for each in late] == ["environment"] * len(late)
    assert len(late) >= 3  # the first time, and twice more
    assert all("0.4 s" in str(complaint(each)) for each in late), [complaint(each) for each in late]
    tree = io.StringIO()
    with closing(open_store(store_location(None, workspaces), create=False)) as store:
        write_run_tree(store, run_id, workspaces, tree)
    (kept,) = (each for each in json.loads(tree.getvalue())["nodes"] if each["id"] == "c1|easy")
    assert (kept["run_results"], kept["left_out"]) == ([], {"environment": len(late)})


NEVER_ENDS_WITH_C1 = """
import anyio
from prismenv import environment_registry

@environment_registry.register_environment_method("environment_dice", "execute_node")
async def execute_node(self, concept, difficulty_level, **options):
    if "c1" in concept:
        await anyio.sleep_forever()
    return {"success": difficulty_level == "easy"}
"""
