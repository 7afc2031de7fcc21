"""What has to be right before a run starts."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import SearchPolicy
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.blocked import door
from prismenv.engine.planning import build_policy, find_policy, own_nodes, places_planned
from prismenv.engine.reference import reference_outcomes
from prismenv.finding.benchfiles import environment_block
from prismenv.finding.discovery import load_environments
from prismenv.finding.recipes import resolve_following, resolve_phases
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import wrong_option


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recipe that was found to be runnable. `own_problems`: the nodes are the environment's, not a tree's.

    `configs` are by environment: the recipe's, and those that phases of the search name. `planned` are the cells that
    there are to measure, whichever of them the policy will ask for.
    """

    configs: Mapping[str, EnvironmentConfig]
    policy: SearchPolicy
    own_problems: bool
    planned: tuple[tuple[str, str], ...] = ()

    @property
    def roles(self) -> list[str]:
        """The agents of all environments, each once."""
        return list(dict.fromkeys(role for config in self.configs.values() for role in config.agents))


@door
async def prepare(recipe: Recipe, services: Services, workspaces: WorkspaceSet) -> Prepared:
    """Make each environment of the recipe once and see that it, its agents and its nodes are there."""
    entry = find_policy(recipe.search.policy, workspaces)
    if (wrong := wrong_option(recipe.options)) is not None:
        raise ConfigurationException(f"options: found {wrong}", code="wrong_option").at("options")
    await services.interface.require_access()
    own: tuple[PlannedNode, ...] | None = None
    configs: dict[str, EnvironmentConfig] = {}
    async with _made(recipe.environment, recipe, services, workspaces) as environment:
        configs[recipe.environment] = environment.config
        own = own_nodes(recipe, environment)
    reference = await anyio.to_thread.run_sync(reference_outcomes, recipe.search.reference, services.store)
    policy = build_policy(recipe, entry, own, workspaces, reference)
    for name in policy.environments:
        if name not in configs:
            with _of_a_phase(name, recipe, workspaces if entry.phased or recipe.search.then else None):
                async with _made(name, recipe, services, workspaces) as environment:
                    configs[name] = environment.config
    return Prepared(configs, policy, own is not None, places_planned(recipe, own, workspaces))


@contextmanager
def _of_a_phase(name: str, recipe: Recipe, phased: WorkspaceSet | None) -> Iterator[None]:
    """A role without a model is told with the phase whose environment asks it, and with the line to add.

    `phased`: where the search's phases are found, None for a search without.
    """
    try:
        yield
    except ConfigurationException as error:
        if error.code != "no_model":
            raise
        resolve = resolve_following if recipe.search.then else resolve_phases
        plans = resolve(recipe, phased) if phased is not None else ()
        phases = [plan.name for plan in plans if plan.block.environment.name == name]
        model = next(iter(recipe.models.values()), "PROVIDER/MODEL")
        raise ConfigurationException(
            f"{', '.join(phases) or 'the search'} measures with {name}, not with the recipe's {recipe.environment}, "
            f"and it asks the role {error.subject!r}, which has no model",
            code=error.code,
            subject=error.subject,
            hint=f"Add to the recipe's models the line `{error.subject}: {model}`, or let the phase measure with "
            "another environment (`environment: {name: ...}` in the file that search.phases names).",
        ) from error


@asynccontextmanager
async def _made(
    name: str, recipe: Recipe, services: Services, workspaces: WorkspaceSet
) -> AsyncIterator[BaseEnvironment]:
    """An environment, made as for a node, with models for all its agents."""
    _require_node_face(name, workspaces)
    config = _config(name, recipe, workspaces)
    async with BaseEnvironment(name, config=config, services=services, seed=recipe.seed) as environment:
        for role in environment.config.agents:
            services.interface.templates(role)  # opens its model where that is ours to open
        yield environment


def _require_node_face(name: str, workspaces: WorkspaceSet) -> None:
    for plugin in load_environments(workspaces):
        if plugin.name == name and plugin.error is not None:
            raise ConfigurationException(
                f"the environment {name!r} is broken: {plugin.error}", code="environment_broken", subject=name
            )
    environment_registry.get(name)
    faces = environment_registry.faces(name)
    if "node" not in faces:
        raise ConfigurationException(
            f"the environment {name!r} cannot be run by a recipe: it has no execute_node; "
            f"its faces are: {', '.join(faces) or 'none'}",
            code="no_node_face",
            subject=name,
        )


def _config(name: str, recipe: Recipe, workspaces: WorkspaceSet) -> Mapping[str, Any]:
    """The environment's block, and over it what the recipe says of its own environment."""
    block = environment_block(workspaces, name)
    if name != recipe.environment:
        return block
    data = {} if recipe.data is None else {"data": recipe.data}
    return {**block, **recipe.config, **data}
