"""What a run tells while it goes on, and what the store tells of it afterwards, are the same story."""

from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.following import Follower
from prismenv.engine.location import store_location
from prismenv.engine.survey import survey_runs
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.events import Event

PHASED = """\
from prismenv import BaseEnvironment, environment_registry
from prismenv.contracts.plan import PlannedNode


@environment_registry.register("environment_phased")
class Phased(BaseEnvironment):
    def planned_nodes(self):
        return [
            PlannedNode(f"n{number}", ("sums",), "easy" if number < 4 else "hard", {"phase": f"phase_{number // 4}"})
            for number in range(8)
        ]

    async def execute_node(self, concept, difficulty_level, **options):
        return {"success": self.seed % 2 == 0, "data_trail": [{"success": self.seed % 2 == 0, "solution_code": "x"}]}
"""


@pytest.fixture
def phased(workspace: Path, workspaces: WorkspaceSet) -> WorkspaceSet:
    (workspace / "environments" / "environment_phased.py").write_text(PHASED)
    return workspaces


def run(workspaces: WorkspaceSet, **changes: Any) -> tuple[str, list[Event]]:
    events: list[Event] = []
    recipe = Recipe(name="phased", environment="environment_phased", models={"default": "simulated/weak"}, **changes)

    async def main() -> str:
        report = await run_campaign(recipe, workspaces=workspaces, folder=workspaces.project_folder, sink=events.append)
        return report.run_id

    return anyio.run(main), events


def plain(events: list[Event], kind: str) -> list[dict[str, Any]]:
    """The data of the events of one kind, without what time and concurrency decide."""
    found = [
        {key: value for key, value in event.data.items() if key != "progress"} for event in events if event.type == kind
    ]
    return sorted(found, key=lambda data: data.get("index", 0))


def test_the_end_of_each_phase_is_told_live_and_from_the_store(phased: WorkspaceSet) -> None:
    run_id, live = run(phased)
    with closing(open_store(store_location(None, phased), create=False)) as store:
        follower = Follower(store, run_id)
        stored = follower.look()
        assert follower.over
        survey = survey_runs(store, [run_id])
    for kind in ("run_started", "node_started", "attempt_judged", "node_finished", "phase_ended", "run_finished"):
        assert plain(stored, kind) == plain(live, kind)
    ended = plain(live, "phase_ended")
    assert [(data["phase"], data["nodes"]) for data in ended] == [("phase_0", 4), ("phase_1", 4)]
    assert [portion.effort().total.solved for portion in survey.phases.values()] == [data["solved"] for data in ended]
    kinds = [event.type for event in live]
    assert kinds.index("phase_ended") < kinds.index("run_finished")
    assert kinds[-2:] == ["phase_ended", "run_finished"]


def test_attempts_that_an_environment_hands_over_at_its_end_are_told_too(phased: WorkspaceSet) -> None:
    _, live = run(phased)
    kinds = [(event.type, event.data["index"]) for event in live if event.type in ("attempt_judged", "node_finished")]
    assert len(kinds) == 16
    for index in range(8):
        assert kinds.index(("attempt_judged", index)) < kinds.index(("node_finished", index))


def test_a_phase_that_was_cut_off_has_not_ended(phased: WorkspaceSet) -> None:
    run_id, live = run(phased, budget={"nodes": 6}, concurrency={"nodes": 1})
    assert [data["phase"] for data in plain(live, "phase_ended")] == ["phase_0"]
    assert [event.type for event in live].count("budget_reached") == 1
    with closing(open_store(store_location(None, phased), create=False)) as store:
        assert plain(Follower(store, run_id).look(), "phase_ended") == plain(live, "phase_ended")


def test_what_was_planned_is_stored_so_that_gaps_can_be_told(phased: WorkspaceSet) -> None:
    run_id, _ = run(phased, budget={"nodes": 3}, concurrency={"nodes": 1})
    with closing(open_store(store_location(None, phased), create=False)) as store:
        found = survey_runs(store, [run_id]).coverage()
    assert (found.planned, found.measured) == (2, 1)
    assert [(gap.code, gap.cells) for gap in found.gaps] == [("budget_reached", (("sums", "hard"),))]
