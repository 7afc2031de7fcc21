"""Environments that are made again and again with the same services: what a server or a client in process hosts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.configuration import build_config
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.composition import open_services, with_usual_models
from prismenv.finding.benchfiles import environment_block
from prismenv.finding.discovery import broken_plugin, load_environments
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException, RegistryException
from prismenv.words.nearness import did_you_mean

_HOSTED_FACES = frozenset({"node", "episode", "tools"})


@dataclass(frozen=True, slots=True)
class HostedEnvironments:
    """Environments by name with their configurations, and the services that all of them share."""

    services: Services
    configs: Mapping[str, EnvironmentConfig]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.configs))

    def make(self, name: str, seed: int) -> BaseEnvironment:
        """A new instance, not open yet; RegistryException with the nearest name where it is not hosted."""
        return BaseEnvironment(name, config=self.require(name), services=self.services, seed=seed)

    def require(self, name: str) -> EnvironmentConfig:
        """The configuration of a hosted environment; RegistryException where there is none of that name."""
        config = self.configs.get(name)
        if config is None:
            raise RegistryException(
                f"there is no environment {name!r:.80} here{did_you_mean(name, self.configs)}",
                code="unknown_environment",
                subject=name[:80],
            )
        return config

    def faces(self, name: str) -> tuple[str, ...]:
        """Which faces it has."""
        return environment_registry.faces(name)

    def about(self, name: str) -> str:
        """What its author says of it: the class's docstring, else of its plugin nothing."""
        cls = environment_registry.get(name).cls
        return (cls.__doc__ or "").strip() if cls is not None else ""


@asynccontextmanager
async def open_hosted(
    recipe: Recipe, workspaces: WorkspaceSet, folder: Path, names: Sequence[str] | None = None
) -> AsyncIterator[HostedEnvironments]:
    """The workspaces' environments that have node, episode or tools, with the recipe's services. Nothing is stored.

    `names` None: all; one that is broken is left out then, with a warning, and one that is named is an error. The
    recipe's `config` is for the only one that is named.
    """
    configs = _configs(recipe, workspaces, names)
    recipe = with_usual_models(recipe, workspaces)
    async with open_services(recipe, workspaces, folder, stored=False) as services:
        yield HostedEnvironments(services, configs)


def _configs(recipe: Recipe, workspaces: WorkspaceSet, names: Sequence[str] | None) -> dict[str, EnvironmentConfig]:
    plugins = load_environments(workspaces)
    if names is None:
        for plugin in plugins:
            if plugin.error is not None:
                logger.warning("{} is not served, its plugin is broken: {}", plugin.name, plugin.error)
        chosen = [
            name for name in environment_registry.names() if _HOSTED_FACES & set(environment_registry.faces(name))
        ]
    else:
        chosen = list(names)
    if recipe.config and len(chosen) != 1:
        raise ConfigurationException(
            f"config: it is for one environment, and {len(chosen)} are hosted",
            code="config_of_many",
            hint="Name the one, or write into its block of configs/environment_config.yaml.",
        ).at("config")
    configs = {}
    for name in chosen:
        broken = broken_plugin(name, plugins)
        if broken is not None and name not in environment_registry:
            raise ConfigurationException(
                f"the environment {name!r} is broken: {broken.error}", code="environment_broken", subject=name
            )
        model = environment_registry.get(name).config or EnvironmentConfig
        configs[name] = build_config({**environment_block(workspaces, name), **recipe.config}, model, name)
    return configs
