"""What has to be right before a run starts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
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
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException


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
            async with _made(name, recipe, services, workspaces) as environment:
                configs[name] = environment.config
    return Prepared(configs, policy, own is not None, places_planned(recipe, own, workspaces))


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
