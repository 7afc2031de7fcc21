"""What has to be right before a run starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.policy import SearchPolicy
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.planning import build_policy, own_nodes, policy_context
from prismenv.finding.benchfiles import environment_block
from prismenv.finding.discovery import load_environments
from prismenv.finding.plugins import policies
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException


@dataclass(frozen=True, slots=True)
class Prepared:
    """A recipe that was found to be runnable. `own_problems`: the nodes are the environment's, not a tree's."""

    config: EnvironmentConfig
    policy: SearchPolicy
    own_problems: bool


async def prepare(recipe: Recipe, services: Services, workspaces: WorkspaceSet) -> Prepared:
    """Make the recipe's environment once and see that it, its agents and its nodes are there."""
    _require_node_face(recipe.environment, workspaces)
    await services.interface.require_access()
    async with BaseEnvironment(
        recipe.environment, config=_config(recipe, workspaces), services=services, seed=recipe.seed
    ) as environment:
        for role in environment.config.agents:
            services.interface.templates(role)  # opens its model where that is ours to open
        own = own_nodes(recipe, environment)
        context = policy_context(recipe, own, workspaces)
        return Prepared(environment.config, build_policy(context, policies()), own is not None)


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


def _config(recipe: Recipe, workspaces: WorkspaceSet) -> Mapping[str, Any]:
    data = {} if recipe.data is None else {"data": recipe.data}
    return {**environment_block(workspaces, recipe.environment), **recipe.config, **data}
