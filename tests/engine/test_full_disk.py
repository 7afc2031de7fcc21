"""A search whose disk is full in its midst: it ends with the reason, and goes on to the same end when there is room."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.report import RunReport
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
from prismenv.words.nodes import NodeRequest

NODES = 120


def run(workspaces: WorkspaceSet, recipe: Recipe, resume: str | None = None) -> RunReport:
    async def main() -> RunReport:
        folder = workspaces.project_folder
        return await run_campaign(recipe, workspaces=workspaces, folder=folder, sink=lambda _: None, resume=resume)

    return anyio.run(main)


def asked(place: Path, run_id: str) -> list[NodeRequest]:
    """What is stored of the run."""
    with closing(open_store(place)) as store:
        return [node.outcome.request for node in store.nodes(run_id)]


def test_a_search_whose_disk_is_full_says_so_and_goes_on_to_the_same_end(
    small_disk: Callable[[int], Path], tmp_path: Path, recipe: Callable[..., Recipe], workspaces: WorkspaceSet
) -> None:
    disk = small_disk(4)
    place, usual = disk / "runs.db", tmp_path / "runs.db"

    def made(store: Path) -> Recipe:
        search = {"policy": "mcts", "nodes": NODES}
        return recipe(search=search, options={"pad": "x" * 3000}, output={"store": str(store)})

    undisturbed = run(workspaces, made(usual))
    assert undisturbed.status == "finished"
    open_store(place).close()
    with (disk / "ballast").open("wb") as ballast:
        ballast.write(b"x" * 3_200_000)
    with pytest.raises(StorageException) as caught:
        run(workspaces, made(place))
    assert caught.value.code == "store_full"
    assert str(place) in str(caught.value)
    (disk / "ballast").unlink()
    with closing(open_store(place)) as store:
        (stopped,) = store.runs()
    before = asked(place, stopped.run_id)
    assert 0 < len(before) < NODES
    resumed = run(workspaces, made(place), resume=stopped.run_id)
    assert (resumed.status, resumed.progress["replayed"]) == ("finished", len(before))
    assert asked(place, stopped.run_id) == asked(usual, undisturbed.run_id)
