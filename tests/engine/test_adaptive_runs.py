"""The adaptive policy driven by the engine: repeatable, resumable, compared with a stored run; it says why it ended."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import anyio
import pytest

from prismenv.contracts.abilitymap import AbilityMap
from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.location import store_location
from prismenv.engine.report import RunReport
from prismenv.engine.survey import survey_runs
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException, StorageException
from prismenv.words.nodes import NodeRequest

Run = Callable[..., RunReport]
SEARCH = {"policy": "adaptive", "nodes": 40, "window": 6, "stop": {"interval": None}}


@pytest.fixture
def run(workspaces: WorkspaceSet, recipe: Callable[..., Recipe]) -> Run:
    def run(resume: str | None = None, search: dict[str, Any] | None = None, **changes: Any) -> RunReport:
        made = recipe(search=SEARCH | (search or {}), **changes)

        async def main() -> RunReport:
            return await run_campaign(
                made, workspaces=workspaces, folder=workspaces.project_folder, sink=lambda _: None, resume=resume
            )

        return anyio.run(main)

    return run


def requests(workspaces: WorkspaceSet, run_id: str) -> list[NodeRequest]:
    with closing(open_store(store_location(None, workspaces))) as store:
        return [record.outcome.request for record in store.nodes(run_id)]


def belief(workspaces: WorkspaceSet, run_id: str) -> AbilityMap:
    with closing(open_store(store_location(None, workspaces))) as store:
        found = survey_runs(store, [run_id]).beliefs[run_id]
    assert found is not None
    return found


def test_it_asks_the_same_at_any_concurrency_and_after_a_stop(run: Run, workspaces: WorkspaceSet) -> None:
    whole = run(concurrency={"nodes": 1})
    wide = run(concurrency={"nodes": 6})
    part = run(budget={"nodes": 17})
    assert (part.status, part.progress["done"]) == ("budget_reached", 17)
    rest = run(resume=part.run_id)
    assert (rest.status, rest.progress["done"]) == ("finished", 40)
    trails = [requests(workspaces, report.run_id) for report in (whole, wide, rest)]
    assert trails[0] == trails[1] == trails[2]
    assert len({request.node_id for request in trails[0]}) > 6


def test_the_report_says_why_it_ended(run: Run) -> None:
    assert run().note.startswith("search.nodes (40) was reached")
    assert "known as precisely" in run(search={"stop": {"interval": 0.45}}).note


def test_what_the_search_itself_believes_is_kept_at_the_end_of_each_sitting(run: Run, workspaces: WorkspaceSet) -> None:
    part = run(budget={"nodes": 17}, search={"stop": {"interval": 0.2}})
    kept = belief(workspaces, part.run_id)
    assert (kept.told, kept.stopped_by, kept.held) == (17, None, False)
    rest = run(resume=part.run_id, search={"stop": {"interval": 0.2}})
    kept = belief(workspaces, rest.run_id)
    assert (kept.told, kept.stopped_by) == (40, "nodes")
    assert sum(cell.measured for cell in kept.cells) == rest.surface.total.measured == 40


def test_a_run_is_compared_with_a_stored_one(run: Run) -> None:
    first = run()
    report = run(search={"objective": "difference", "reference": first.run_id, "nodes": 20})
    assert (report.status, report.progress["done"]) == ("finished", 20)


def test_a_reference_that_is_not_there_or_not_given_is_an_error(run: Run) -> None:
    run()
    with pytest.raises(StorageException, match="There is no run"):
        run(search={"objective": "difference", "reference": "run-nosuch"})
    with pytest.raises(ConfigurationException, match=r"needs search\.reference"):
        run(search={"objective": "difference"})
