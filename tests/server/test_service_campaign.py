"""A run through the service is the run that it is in process."""

from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from prismenv.contracts.recipe import HttpInterface, Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.composition import open_models, store_location
from prismenv.engine.switch import StopSwitch
from prismenv.finding.recipes import load_recipe
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.server.serving import Served, ServeSettings, running_service
from prismenv.server.tokens import Tokens
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException

pytestmark = pytest.mark.anyio
SMALL = ["search.concepts=[loops, sorting]", "search.difficulties=[easy, hard]", "models.default=simulated/weak"]
MEASURED = {"wall_seconds", "cpu_seconds", "peak_memory_bytes"}  # of the machine


def timeless(value: Any) -> Any:
    """`value` without what was measured of the machine."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in MEASURED}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


async def trail(recipe: Recipe, workspaces: WorkspaceSet) -> tuple[list[Any], list[Any]]:
    """What a run found, and every call that it made, as they are stored."""
    report = await run_campaign(
        recipe, workspaces=workspaces, folder=workspaces.project_folder, sink=lambda _: None, stop=StopSwitch()
    )
    store = open_store(store_location(None, workspaces))
    nodes = list(store.nodes(report.run_id))
    store.close()
    results = [node.outcome.result for node in nodes]
    found = [result and timeless(result.model_dump(mode="json")) for result in results]
    calls = [
        (call.role, call.model, call.prompt, call.answer, call.usage, call.error)
        for each in nodes
        for call in each.calls
    ]
    return found, calls


async def test_quickstart_gives_the_same_trail_in_process_and_through_the_service(tmp_path: Path) -> None:
    (tmp_path / "prismenv.yaml").write_text("name: here\n")
    workspaces = find_workspaces(tmp_path)
    recipe = load_recipe("quickstart", workspaces, {}, SMALL).recipe
    here, calls_here = await trail(recipe, workspaces)
    async with open_models(recipe, workspaces, tmp_path) as models:
        served = Served(models.interface, models.roles, models.model)
        async with running_service(served, ServeSettings(port=0)) as running:
            remote = recipe.model_copy(update={"interface": HttpInterface(type="http", url=running.url)})
            through, calls_through = await trail(remote, workspaces)
            assert not await running.service.sessions("")
    assert here == through
    assert calls_here == calls_through
    assert len(calls_here) >= 3 * 4
    assert any(record["solution_code"] for node in here for record in node["data_trail"])


async def test_a_token_that_the_service_does_not_take_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prismenv.yaml").write_text("name: here\n")
    workspaces = find_workspaces(tmp_path)
    recipe = load_recipe("quickstart", workspaces, {}, SMALL).recipe
    monkeypatch.setenv("WRONG", "another-token-0123456789")
    async with open_models(recipe, workspaces, tmp_path) as models:
        served = Served(models.interface, models.roles, models.model)
        settings = ServeSettings(port=0, tokens=Tokens(["token-of-the-service-0123456789"]))
        async with running_service(served, settings) as running:
            for named in ({}, {"token_variable": "WRONG"}):
                interface = HttpInterface(type="http", url=running.url, **named)
                with pytest.raises(ConfigurationException, match="401") as caught:
                    await trail(recipe.model_copy(update={"interface": interface}), workspaces)
                assert (caught.value.code, caught.value.key) == ("unauthorised", ("interface", "token_variable"))
    with closing(open_store(store_location(None, workspaces))) as store:
        assert store.runs() == []


async def test_a_service_asks_no_model_beyond_the_budget_of_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "prismenv.yaml").write_text("name: here\n")
    workspaces = find_workspaces(tmp_path)
    recipe = load_recipe("quickstart", workspaces, {}, [*SMALL, "budget.tokens=8000"]).recipe
    statuses: list[tuple[int, str | None]] = []
    async with open_models(recipe, workspaces, tmp_path) as models:
        served = Served(models.interface, models.roles, models.model)
        async with (
            running_service(served, ServeSettings(port=0)) as running,
            httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client,
        ):
            design = {"concepts": ["loops"], "difficulty_level": "easy"}
            for _ in range(40):
                answer = await client.post("/interact", json={"session_id": "s", "input_data": design})
                statuses.append((answer.status_code, answer.json().get("code")))
    assert statuses[0] == (200, None)
    assert statuses[-1] == (424, "budget_spent")
