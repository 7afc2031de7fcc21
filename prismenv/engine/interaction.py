"""One interaction with one role, whole: what was asked, what came, what was taken from it, what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.interface import InterfaceClient
from prismenv.contracts.recipe import HttpInterface, Recipe
from prismenv.engine.composition import DEFAULT_MODEL, open_interface
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.agentfile import AgentFile, load_agents, unknown_role
from prismenv.sessions.local import InProcessInterface
from prismenv.sessions.models import DEFAULT
from prismenv.words.chat import ChatMessage
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.seeding import derive_seed
from prismenv.words.usage import Usage

ANSWERED = ("no_usable_answer", "answer_too_large", "bad_answer")  # an answer came, and is of no use


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be tried: the role and its inputs. `folder` is where relative files of the recipe are looked for."""

    role: str
    inputs: Mapping[str, Any]
    recipe: Recipe
    workspaces: WorkspaceSet
    folder: Path


@dataclass(frozen=True, slots=True)
class Interaction:
    """What one interaction came to.

    `messages` is the conversation with the system prompt first, as far as it is known here: a service keeps its own,
    and then they are empty. `text` is what was taken from the answer, None where it was of no use, for which `error`
    then says why. `usage` None: nobody counted. `model` None: a service chooses it.
    """

    role: str
    model: str | None
    template: str
    messages: tuple[ChatMessage, ...]
    text: str | None
    raw: str
    usage: Usage | None
    wall_seconds: float
    finish_reason: str = "stop"
    appended: tuple[str, ...] = ()
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def model_for(role: str, recipe: Recipe, agents: Mapping[str, AgentFile]) -> tuple[str | None, bool]:
    """The model of `role`, and whether it is the simulated one because nothing names another. None: a service's."""
    agent = agents.get(role)
    if agent is None:
        raise unknown_role(role, agents)
    if isinstance(recipe.interface, HttpInterface):
        return None, False
    named = recipe.models.get(role) or recipe.models.get(DEFAULT)
    if named is None and agent.model_provider and agent.model_name:
        at = f"@{agent.api_base}" if agent.api_base else ""
        named = f"{agent.model_provider}{at}/{agent.model_name}"
    return named or DEFAULT_MODEL, named is None


async def interact_once(trial: Trial, clock: Clock | None = None) -> Interaction:
    """Ask the role once, in a session of its own that is closed again.

    An answer of no use is a result too. Raises ConfigurationException for a role, a model or inputs that do not fit,
    AgentCommunicationException where no answer came.
    """
    clock = clock or SystemClock()
    role, recipe = trial.role, trial.recipe
    model, by_default = model_for(role, recipe, load_agents(trial.workspaces))
    if by_default:
        recipe = recipe.model_copy(update={"models": {**recipe.models, role: model}})
    async with open_interface(recipe, trial.workspaces, trial.folder, clock=clock) as interface:
        session_id = await interface.initialize_session(role, seed=derive_seed(recipe.seed, role))
        try:
            return replace(await _asked(interface, session_id, trial, clock), model=model)
        finally:
            await interface.cleanup_session(session_id)


async def _asked(interface: InterfaceClient, session_id: str, trial: Trial, clock: Clock) -> Interaction:
    role = trial.role
    started = clock.monotonic()
    try:
        answer = await interface.interact(session_id, role, trial.inputs)
    except AgentCommunicationException as error:
        if error.code not in ANSWERED:
            raise
        asked = await _conversation(interface, session_id, role) or _asked_in_vain(error)
        took = clock.monotonic() - started
        return Interaction(role, None, "", asked, None, error.raw, error.usage, took, error=str(error))
    return Interaction(
        role=role,
        model=None,
        template=answer.template,
        messages=await _conversation(interface, session_id, role),
        text=answer.text,
        raw=answer.raw,
        usage=answer.usage,
        wall_seconds=clock.monotonic() - started,
        finish_reason=answer.finish_reason,
        appended=answer.appended,
        details=answer.details,
    )


async def _conversation(interface: InterfaceClient, session_id: str, role: str) -> tuple[ChatMessage, ...]:
    """The messages so far; empty where the interface keeps them elsewhere, or keeps no more than the system prompt."""
    messages: tuple[ChatMessage, ...] = ()
    if isinstance(interface, InProcessInterface):
        messages = await interface.conversation(session_id, role)
    return messages if any(message.role != "system" for message in messages) else ()


def _asked_in_vain(error: AgentCommunicationException) -> tuple[ChatMessage, ...]:
    """What was asked, where the answer was not kept."""
    return (ChatMessage("user", error.prompt),) if error.prompt else ()


def prompts_of(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """What was asked: all but the last answer."""
    return list(messages[:-1] if messages and messages[-1].role == "assistant" else messages)
