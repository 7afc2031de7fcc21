"""A role of an environment: how an author speaks to a model."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from prismenv.contracts.archive import CallRecord
from prismenv.contracts.interface import InterfaceClient
from prismenv.contracts.observer import NodeObserver
from prismenv.contracts.services import Services
from prismenv.contracts.turn import Turn
from prismenv.words.chat import Answer, TokenWatcher
from prismenv.words.errors import AgentCommunicationException, ProtocolException, RegistryException
from prismenv.words.nearness import did_you_mean
from prismenv.words.seeding import derive_seed
from prismenv.words.usage import Usage

CLOSING_SECONDS = 5.0  # how long closing the sessions may hold up a cancelled node
UNUSABLE = ("no_usable_answer", "answer_too_large", "bad_answer")  # an answer came, so asking again may help
_NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class CrewSettings:
    """What the handles of one crew share.

    `seed` and `labels` are read when a session opens, `attempts` at each question."""

    services: Services
    observer: NodeObserver
    attempts: Callable[[], int]
    seed: Callable[[], int]
    labels: Callable[[], Mapping[str, Any]]


class AgentHandle(Mapping[str, Any]):
    """One role in one session, which opens at the first use.

    Reads as a mapping too: `role`, `session_id` (None until the session is open) and `initialized`.
    """

    def __init__(self, role: str, settings: CrewSettings) -> None:
        self.role = role
        self.last_answer: Answer | None = None
        self._settings = settings
        self._session_id: str | None = None
        self._opening = Turn()
        self._usage = _NOTHING

    async def interact(self, **inputs: Any) -> str:
        """Ask the role; the answer is extracted as its agent file says.

        An answer that holds nothing usable is asked for again, `max_attempts` times in all. Raises
        AgentCommunicationException when none came, ConfigurationException when no template takes these inputs.
        """
        session_id = await self.open()
        attempts = self._settings.attempts()
        for attempt in range(1, attempts + 1):
            try:
                return await self._ask(session_id, inputs)
            except AgentCommunicationException as error:
                if error.code not in UNUSABLE or attempt == attempts:
                    raise
        raise AssertionError("the loop ends by an answer or an error")

    @property
    def is_open(self) -> bool:
        """True while there is a session to close."""
        return self._session_id is not None

    async def open(self) -> str:
        """The session's id; opens the session where it is not open yet."""
        if self._session_id is not None:
            return self._session_id
        async with self._opening:
            if self._session_id is None:
                settings = self._settings
                self._session_id = await self._client.initialize_session(
                    self.role, seed=derive_seed(settings.seed(), self.role), labels=settings.labels()
                )
            return self._session_id

    async def close(self) -> None:
        """End the session if it is open; the next use opens a new one."""
        session_id, self._session_id = self._session_id, None
        if session_id is not None:
            await self._client.cleanup_session(session_id)

    def take_usage(self) -> Usage:
        """What calls used since this was last asked."""
        used, self._usage = self._usage, _NOTHING
        return used

    async def _ask(self, session_id: str, inputs: Mapping[str, Any]) -> str:
        clock = self._settings.services.clock
        started = clock.monotonic()
        try:
            answer = await self._client.interact(
                session_id, self.role, inputs, watch=self._settings.observer.token_watcher(self.role)
            )
        except AgentCommunicationException as error:
            self._note(error.prompt, error.raw, error.usage, clock.monotonic() - started, f"{error.code}: {error}")
            raise
        except ProtocolException as error:
            self._note("", "", None, clock.monotonic() - started, f"{error.code}: {error}")
            raise AgentCommunicationException(
                f"the LLM interface broke its protocol: {error.message}", code="protocol_violated", subject=self.role
            ) from error
        self.last_answer = answer
        self._note(answer.prompt, answer.raw, answer.usage, clock.monotonic() - started, None)
        return answer.text

    def _note(self, prompt: str, raw: str, usage: Usage | None, wall_seconds: float, error: str | None) -> None:
        used = _NOTHING if usage is None else usage
        if usage is not None:
            self._usage = usage if self._usage is _NOTHING else self._usage.plus(usage)
        self._settings.observer.model_called(
            CallRecord(self.role, used.model or "", prompt, raw, used, wall_seconds, error)
        )

    @property
    def _client(self) -> InterfaceClient:
        return self._settings.services.interface

    def __getitem__(self, key: str) -> Any:
        return {"role": self.role, "session_id": self._session_id, "initialized": True}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(("role", "session_id", "initialized"))

    def __len__(self) -> int:
        return 3

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"AgentHandle({self.role!r}, session_id={self._session_id!r})"


class Crew(dict[str, AgentHandle]):
    """Handles by role. An unknown role is a RegistryException with the nearest name."""

    def __missing__(self, role: str) -> AgentHandle:
        known = ", ".join(sorted(self)) or "none"
        raise RegistryException(
            f"the environment has no agent {role!r}{did_you_mean(str(role), self)}",
            code="unknown_agent",
            subject=str(role),
            hint=f"Its agents are: {known}. Add the role to `agents` in its configuration.",
        )

    def take_usage(self) -> dict[str, Usage]:
        """What each role used since this was last asked; roles that were not called are left out."""
        taken = {role: handle.take_usage() for role, handle in self.items()}
        return {role: usage for role, usage in taken.items() if usage.calls}

    async def close(self) -> None:
        """End all sessions, also while being cancelled, for a few seconds at most."""
        opened = [handle for handle in self.values() if handle.is_open]
        if opened:
            with anyio.move_on_after(CLOSING_SECONDS, shield=True):
                for handle in opened:
                    await handle.close()


class OwnInterface(InterfaceClient):
    """The LLM interface as a plugin sees it: what it opens by hand and leaves open is closed with the environment."""

    def __init__(self, settings: CrewSettings) -> None:
        self._settings = settings
        self._client = settings.services.interface
        self._opened: dict[str, None] = {}

    async def initialize_session(
        self, role: str, *, seed: int | None = None, labels: Mapping[str, Any] | None = None
    ) -> str:
        if seed is None:
            seed = derive_seed(self._settings.seed(), role, len(self._opened))
        labels = self._settings.labels() if labels is None else labels
        session_id = await self._client.initialize_session(role, seed=seed, labels=labels)
        self._opened[session_id] = None
        return session_id

    async def interact(
        self, session_id: str, role: str, inputs: Mapping[str, Any], *, watch: TokenWatcher | None = None
    ) -> Answer:
        return await self._client.interact(session_id, role, inputs, watch=watch)

    async def cleanup_session(self, session_id: str) -> None:
        await self._client.cleanup_session(session_id)
        self._opened.pop(session_id, None)

    async def ping(self, role: str) -> None:
        await self._client.ping(role)

    def templates(self, role: str) -> Sequence[tuple[str, ...]]:
        return self._client.templates(role)

    def require_template(self, role: str, inputs: Sequence[str]) -> None:
        self._client.require_template(role, inputs)

    async def aclose(self) -> None:
        """Close the sessions that were opened here; the interface itself belongs to the run."""
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            for session_id in list(self._opened):
                await self.cleanup_session(session_id)


def make_crew(roles: tuple[str, ...], settings: CrewSettings) -> Crew:
    """A handle for each role; no session is open yet."""
    return Crew({role: AgentHandle(role, settings) for role in roles})


@asynccontextmanager
async def open_crew(roles: tuple[str, ...], settings: CrewSettings) -> AsyncIterator[Crew]:
    """A crew whose sessions end with the context."""
    crew = make_crew(roles, settings)
    try:
        yield crew
    finally:
        await crew.close()
