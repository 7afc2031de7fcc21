"""One run from its recipe to its report.

Theory of operation. A run is prepared before it is stored: the environment is made once and initialised, so that what a
recipe, plugin or agent file has wrong is an error at once and no node's failure. Then the run is locked and a sitting
works on it. After a kill the run's status stays `running` and nobody holds its lock; resuming takes it over.
"""

import os
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from prismenv.contracts.archive import RunRecord
from prismenv.contracts.clock import Clock
from prismenv.contracts.recipe import HttpInterface, Recipe
from prismenv.contracts.services import Services
from prismenv.engine.broadcast import Broadcast
from prismenv.engine.composition import open_services
from prismenv.engine.location import store_location
from prismenv.engine.preparing import prepare
from prismenv.engine.report import RunReport
from prismenv.engine.resuming import kept_at, recipe_to_resume, stored_recipe
from prismenv.engine.sitting import Sitting
from prismenv.engine.summaries import find_run
from prismenv.engine.switch import StopSwitch
from prismenv.finding.plugins import plugin_manager
from prismenv.finding.recipes import LoadedRecipe, change_recipe, load_recipe
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException
from prismenv.words.events import EventSink
from prismenv.words.masking import mask_secrets

SHOWN_NODES = 10  # so many nodes a plan names


async def run_campaign(  # noqa: PLR0913 - by keyword, but for the recipe
    recipe: Recipe | None,
    *,
    workspaces: WorkspaceSet,
    folder: Path,
    sink: EventSink,
    resume: str | None = None,
    stop: StopSwitch | None = None,
    clock: Clock | None = None,
) -> RunReport:
    """Run a recipe, or go on with the stored run `resume`; `recipe` None then takes the stored one.

    A run that cannot go on (its first nodes all fail alike, its money cannot be counted) ends with the status `failed`
    and a note. Errors of the recipe are ConfigurationException or RegistryException, those of the engine
    StorageException or SandboxException; whatever was finished by then is stored.
    """
    if resume is not None:
        recipe = await anyio.to_thread.run_sync(_resumed_recipe, recipe, workspaces, resume)
    if recipe is None:
        raise ConfigurationException("there is nothing to run: give a recipe, or the run to resume", code="no_recipe")
    async with open_services(recipe, workspaces, folder, clock=clock) as services:
        return await run_recipe(
            recipe, services, workspaces=workspaces, sink=sink, resume=resume, stop=stop or StopSwitch()
        )


def _resumed_recipe(recipe: Recipe | None, workspaces: WorkspaceSet, run_id: str) -> Recipe:
    location = store_location(recipe.output.store if recipe else None, workspaces)
    with closing(open_store(location, create=False)) as store:
        resumed = recipe_to_resume(recipe, find_run(store, run_id))
        return kept_at(resumed, location) if recipe is None else resumed


async def run_recipe(  # noqa: PLR0913 - by keyword, but for recipe and services
    recipe: Recipe,
    services: Services,
    *,
    workspaces: WorkspaceSet,
    sink: EventSink,
    resume: str | None = None,
    stop: StopSwitch | None = None,
) -> RunReport:
    """The same over services that are open already, and stay so."""
    prepared = await prepare(recipe, services, workspaces)
    run = _new_run(recipe, services) if resume is None else await _found_run(recipe, services, resume)
    observers = [hook.function for hook in plugin_manager().hook.prismenv_event.get_hookimpls()]
    lock = nullcontext() if services.store is None else services.store.lock_run(run.run_id)
    with lock:
        sitting = Sitting(recipe, services, prepared, run, Broadcast(sink, observers))
        return await sitting.work(stop or StopSwitch(), resumed=resume is not None)


async def _found_run(recipe: Recipe, services: Services, run_id: str) -> RunRecord:
    if services.store is None:
        raise ConfigurationException(f"run {run_id} cannot be resumed without a store", subject=run_id)
    found = await anyio.to_thread.run_sync(find_run, services.store, run_id)
    return replace(found, recipe=recipe.model_dump(mode="json"))


def _new_run(recipe: Recipe, services: Services) -> RunRecord:
    return RunRecord(
        run_id=services.clock.new_id("run"),
        name=recipe.name,
        environment=recipe.environment,
        status="running",
        seed=recipe.seed,
        recipe=recipe.model_dump(mode="json"),
        started_at=services.clock.now(),
    )


def load_stored_recipe(
    run_id: str, workspaces: WorkspaceSet, named: str | None = None, sets: Sequence[str] = ()
) -> LoadedRecipe:
    """The recipe of a stored run, as it was resolved then, with `--set` values laid over it.

    `named` is the recipe that the run is said to be of, None for no claim; another recipe's run is a
    ConfigurationException. The store is the one that `sets` name, else that recipe's, else the usual one. An unknown
    run is a StorageException with the nearest id.
    """
    claimed = None if named is None else load_recipe(named, workspaces, os.environ, sets)
    store_name = claimed.recipe.output.store if claimed else change_recipe(Recipe(name=run_id), sets).output.store
    location = store_location(store_name, workspaces)
    with closing(open_store(location, create=False)) as store:
        run = find_run(store, run_id)
    if claimed is not None and claimed.recipe.name != run.name:
        raise ConfigurationException(
            f"run {run.run_id} is of the recipe {run.name!r}, not of {claimed.recipe.name!r}",
            code="recipe_differs",
            subject=run.run_id,
            hint=f"`prismenv run --resume {run.run_id}` goes on with it.",
        )
    folder = claimed.folder if claimed else workspaces.project_folder
    changed = change_recipe(kept_at(stored_recipe(run), location), sets)
    return LoadedRecipe(recipe=changed, path=Path(mask_secrets(location)), folder=folder)


def plan_campaign(recipe: Recipe, *, workspaces: WorkspaceSet, folder: Path) -> dict[str, Any]:
    """What the recipe would run, as plain JSON. Everything is prepared as for a run, and nothing is run or stored."""
    return anyio.run(_plan, recipe, workspaces, folder)


async def _plan(recipe: Recipe, workspaces: WorkspaceSet, folder: Path) -> dict[str, Any]:
    async with open_services(recipe, workspaces, folder, stored=False) as services:
        prepared = await prepare(recipe, services, workspaces)
        first = prepared.policy.ask(SHOWN_NODES)
        return {
            "recipe": recipe.name,
            "environment": recipe.environment,
            "agents": prepared.roles,
            "interface": recipe.interface.url if isinstance(recipe.interface, HttpInterface) else "local",
            "models": {} if isinstance(recipe.interface, HttpInterface) else recipe.models,
            "policy": recipe.search.policy,
            "nodes": prepared.policy.total,
            "first_nodes": [request.node_id for request in first],
            "concurrency": recipe.concurrency.nodes,
            "budget": recipe.budget.model_dump(exclude_none=True),
            "isolation": services.sandbox.isolation,
            "seed": recipe.seed,
            "store": mask_secrets(store_location(recipe.output.store, workspaces)),
        }
