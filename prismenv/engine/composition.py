"""The composition root: the one place where drivers are put together.

The drivers of stores are imported where a store is opened: what stores nothing, such as a server of environments,
neither waits for SQLAlchemy nor holds it in memory.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loguru import logger

from prismenv.contracts.archive import AnswerCache, Store
from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.configuration import build_config
from prismenv.contracts.interface import InterfaceClient, ServedInterface
from prismenv.contracts.recipe import HttpInterface, LocalInterface, Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.servicebook import ServiceBook
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.contracts.transport import ProviderContext
from prismenv.engine.location import store_location
from prismenv.finding.benchfiles import environment_block
from prismenv.finding.discovery import broken_plugin, load_environments
from prismenv.finding.plugins import providers
from prismenv.finding.prices import load_prices
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.isolation.choice import open_sandbox
from prismenv.sessions.agentfile import AgentFile, load_agents
from prismenv.sessions.calls.chain import CallResources, open_chain
from prismenv.sessions.http import HttpInterfaceClient
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.sessions.models import RoleTransports, open_transports
from prismenv.sessions.tracing import find_tracing
from prismenv.words.errors import ConfigurationException, RegistryException
from prismenv.words.ledger import Ledger

DEFAULT_MODEL = "simulated/perfect"  # for environments made by hand where nothing names a model
MODEL_VARIABLE = "PRISMENV_MODELS__"


@asynccontextmanager
async def open_services(
    recipe: Recipe, workspaces: WorkspaceSet, folder: Path, *, clock: Clock | None = None, stored: bool = True
) -> AsyncIterator[Services]:
    """Everything that the recipe names, open, and closed at the end in the reverse order; no store unless `stored`.

    Raises ConfigurationException for what the recipe has wrong, StorageException or SandboxException for what does not
    open.
    """
    async with AsyncExitStack() as stack:
        store: Store | None = None
        if stored:
            store = _enter_store(stack, recipe, workspaces)
        yield await _enter(stack, recipe, workspaces, _Given(folder, clock or SystemClock(), store))


@asynccontextmanager
async def open_interface(
    recipe: Recipe, workspaces: WorkspaceSet, folder: Path, *, clock: Clock | None = None
) -> AsyncIterator[InterfaceClient]:
    """The LLM interface that the recipe names, alone; ConfigurationException for what the recipe has wrong."""
    async with AsyncExitStack() as stack:
        answers = _answers(stack, recipe, workspaces) if recipe.interface.type == "local" else None
        ledger = _ledger(recipe, strict=True)
        resources = CallResources(clock or SystemClock(), folder, load_prices(workspaces), ledger, answers)
        yield await _open_interface(stack, recipe, workspaces, resources)


@dataclass(frozen=True, slots=True)
class _Given:
    """What services are opened with."""

    folder: Path
    clock: Clock
    store: Store | None = None


async def _enter(stack: AsyncExitStack, recipe: Recipe, workspaces: WorkspaceSet, given: _Given) -> Services:
    ledger = _ledger(recipe)
    answers = given.store.answers if given.store is not None and recipe.cache else None
    resources = CallResources(given.clock, given.folder, load_prices(workspaces), ledger, answers)
    interface = await _open_interface(stack, recipe, workspaces, resources)
    sandbox = open_sandbox(
        recipe.sandbox, recipe.concurrency.sandboxes, given.folder, languages=workspaces.sandbox_folders()
    )
    await stack.enter_async_context(sandbox)
    return Services(interface, sandbox, given.store, given.clock, given.folder, ledger)


def _ledger(recipe: Recipe, *, strict: bool = False) -> Ledger | None:
    """What calls reserve from; None where neither tokens nor money are limited, or a service makes the calls.

    `strict` where no run watches over the budget.
    """
    budget = recipe.budget
    if (budget.tokens is None and budget.cost_usd is None) or recipe.interface.type != "local":
        return None
    return Ledger(budget.tokens, budget.cost_usd, strict=strict)


async def _open_interface(
    stack: AsyncExitStack, recipe: Recipe, workspaces: WorkspaceSet, resources: CallResources
) -> InterfaceClient:
    if isinstance(recipe.interface, HttpInterface):
        _refuse_unheld(recipe)
        client = HttpInterfaceClient(recipe.interface, load_agents(workspaces), resources.clock)
        return await stack.enter_async_context(client)
    return (await _open_local(stack, recipe, load_agents(workspaces), workspaces, resources))[0]


async def _open_local(
    stack: AsyncExitStack,
    recipe: Recipe,
    agents: Mapping[str, AgentFile],
    workspaces: WorkspaceSet,
    resources: CallResources,
) -> tuple[InProcessInterface, RoleTransports]:
    clock, known = resources.clock, providers()
    settings = recipe.interface if isinstance(recipe.interface, LocalInterface) else LocalInterface()
    context = ProviderContext(clock=clock, folder=resources.folder, seed=recipe.seed, keys=recipe.keys)
    chain = stack.enter_context(open_chain(recipe, known, resources))
    transports = await stack.enter_async_context(open_transports(recipe.models, agents, known, context, chain.wrap))
    tuning = LocalTuning(
        recipe.limits.timeout_seconds,
        idle_seconds=settings.session_idle_seconds,
        tracing=find_tracing(transports.reference),
    )
    if keeps_sessions(recipe):
        from prismenv.store.sessionstore import open_sessions

        archive = stack.enter_context(closing(open_sessions(store_location(recipe.output.store, workspaces))))
        tuning = replace(tuning, keeper=SessionKeeper(archive, clock, idle_seconds=settings.session_idle_seconds))
    interface = InProcessInterface(agents, transports, clock, models=transports.model, tuning=tuning)
    return await stack.enter_async_context(interface), transports


def _answers(stack: AsyncExitStack, recipe: Recipe, workspaces: WorkspaceSet) -> AnswerCache | None:
    """The kept answers of the recipe's store, where nothing else of it is opened; None: nothing is cached."""
    if not recipe.cache:
        return None
    return _enter_store(stack, recipe, workspaces).answers


def _enter_store(stack: AsyncExitStack, recipe: Recipe, workspaces: WorkspaceSet) -> Store:
    from prismenv.store.database import open_store

    return stack.enter_context(closing(open_store(store_location(recipe.output.store, workspaces))))


def _refuse_unheld(recipe: Recipe) -> None:
    """ConfigurationException for what only a process that asks its models itself can do."""
    usual = Recipe(name="", environment="")
    for key in ("limits", "cache", "record"):
        if getattr(recipe, key) != getattr(usual, key):
            raise ConfigurationException(
                f"{key}: the models are asked by the service at interface.url, so it cannot be held here",
                hint=f"Take {key} out; the service has settings of its own.",
            ).at(key)


@dataclass(frozen=True, slots=True)
class OpenModels:
    """The LLM interface in this process: `model` names a role's, ConfigurationException for one without.

    `book` is where a service keeps whose sessions they are, None where the recipe has sessions in memory.
    """

    interface: ServedInterface
    roles: tuple[str, ...]
    model: Callable[[str], str]
    book: ServiceBook | None = None


@asynccontextmanager
async def open_models(recipe: Recipe, workspaces: WorkspaceSet, folder: Path) -> AsyncIterator[OpenModels]:
    """The recipe's models for the roles of the workspaces, open here wherever its own interface is.

    Every model that has a name is opened, so that what is wrong with one is a ConfigurationException now.
    """
    agents = load_agents(workspaces)
    async with AsyncExitStack() as stack:
        answers = _answers(stack, recipe, workspaces)
        ledger = _ledger(recipe.model_copy(update={"interface": LocalInterface()}), strict=True)
        resources = CallResources(SystemClock(), folder, load_prices(workspaces), ledger, answers)
        interface, transports = await _open_local(stack, recipe, agents, workspaces, resources)
        transports.check(role for role in agents if _has_model(transports, role))
        book = None
        if keeps_sessions(recipe):
            from prismenv.store.servicestore import open_service_book

            book = stack.enter_context(closing(open_service_book(store_location(recipe.output.store, workspaces))))
        yield OpenModels(interface, tuple(sorted(agents)), lambda role: str(transports.reference(role)), book)


def keeps_sessions(recipe: Recipe) -> bool:
    """Whether the recipe has its sessions in the store."""
    return isinstance(recipe.interface, LocalInterface) and recipe.interface.sessions == "store"


def _has_model(transports: RoleTransports, role: str) -> bool:
    try:
        transports.reference(role)
    except ConfigurationException as error:
        if error.code != "no_model":
            raise
        return False
    return True


def with_usual_models(recipe: Recipe, workspaces: WorkspaceSet) -> Recipe:
    """The recipe with a simulated model for each role that has none; a warning says so."""
    if "default" in recipe.models:
        return recipe
    agents = {role: agent for role, agent in load_agents(workspaces).items() if role not in recipe.models}
    models = {**_models_by_hand(recipe.name, agents, agents), **recipe.models}
    return recipe.model_copy(update={"models": models})


@asynccontextmanager
async def open_default_services(environment_name: str, block: Mapping[str, Any]) -> AsyncIterator[Services]:
    """Services for an environment that was made by hand, outside any run. Nothing is stored.

    A role's model is the one of `PRISMENV_MODELS__<ROLE>`, of `PRISMENV_MODELS__DEFAULT` or of its agent file; where
    none of them names one it is the simulated model, and a warning says so.
    """
    workspaces = find_workspaces()
    agents = load_agents(workspaces)
    models = _models_by_hand(environment_name, _roles_of(environment_name, block), agents)
    recipe = Recipe(name=environment_name, environment=environment_name, models=models)
    async with AsyncExitStack() as stack:
        yield await _enter(stack, recipe, workspaces, _Given(workspaces.project_folder, SystemClock()))


def usual_models(recipe: Recipe, workspaces: WorkspaceSet) -> dict[str, str]:
    """Models by role for an environment that is run by its name, where nothing names one: as for one made by hand."""
    name = recipe.environment
    block = {**environment_block(workspaces, name), **recipe.config}
    config = build_config(block, environment_registry.get(name).config or EnvironmentConfig, name)
    agents = {role: agent for role, agent in load_agents(workspaces).items() if role in config.agents}
    return _models_by_hand(name, config.agents, agents)


def _roles_of(environment_name: str, block: Mapping[str, Any]) -> Iterable[str]:
    """The roles that an environment asks, as its block says, or else its own configuration."""
    roles: Iterable[str] | None = block.get("agents")
    if roles is not None:
        return roles
    model = environment_registry.get(environment_name).config if environment_name in environment_registry else None
    default: list[str] = (model or EnvironmentConfig).model_fields["agents"].get_default(call_default_factory=True)
    return default


def _models_by_hand(environment_name: str, roles: Iterable[str], agents: Mapping[str, AgentFile]) -> dict[str, str]:
    """Models by role. `roles` are those that will be asked: of these is told that the simulated model answers."""
    models = {
        name.removeprefix(MODEL_VARIABLE).lower(): value
        for name, value in sorted(os.environ.items())
        if name.startswith(MODEL_VARIABLE)
    }
    if "default" in models:
        return models
    simulated = {
        role: DEFAULT_MODEL for role, agent in agents.items() if role not in models and not _names_model(agent)
    }
    concerned = [role for role in roles if role in simulated]
    if concerned:
        logger.warning(
            "{}: no model is set for {}, so the simulated model {} answers. "
            "--set models.default=PROVIDER/MODEL, or the variable {}DEFAULT, names another.",
            environment_name,
            ", ".join(concerned),
            DEFAULT_MODEL,
            MODEL_VARIABLE,
        )
    return {**models, **simulated}


def _names_model(agent: AgentFile) -> bool:
    return bool(agent.model_provider and agent.model_name)


def find_environment_block(environment_name: str) -> Mapping[str, Any]:
    """The environment's block of the workspace's configuration, empty when it has none; loads the plugins.

    Raises RegistryException with the reason when nothing of that name is registered because its plugin is broken.
    """
    workspaces = find_workspaces()
    plugins = load_environments(workspaces)
    broken = broken_plugin(environment_name, plugins)
    if broken and environment_name not in environment_registry:
        raise RegistryException(
            f"the environment {environment_name!r} cannot be used, its plugin is broken: {broken.error}",
            code="environment_broken",
            subject=environment_name,
        )
    return environment_block(workspaces, environment_name)
