"""The LLM interface: sessions of roles with models. In process or over HTTP, the same four methods."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from prismenv.words.chat import Answer, TokenWatcher
from prismenv.words.outcome import Exchange, Outcome


class InterfaceClient(ABC):
    """Opens sessions and speaks in them.

    A session belongs to one caller at a time; different sessions are fully parallel. Failures are
    AgentCommunicationException, ProtocolException where a service answers what its protocol does not allow; an unknown
    role or inputs that no template takes are ConfigurationException.
    """

    @abstractmethod
    async def initialize_session(
        self, role: str, *, seed: int | None = None, labels: Mapping[str, Any] | None = None
    ) -> str:
        """A new session of `role`; `seed` makes its answers repeatable where the provider can.

        `labels` say what the session is about, for providers that answer by it (see ChatRequest).
        """

    @abstractmethod
    async def interact(
        self, session_id: str, role: str, inputs: Mapping[str, Any], *, watch: TokenWatcher | None = None
    ) -> Answer:
        """Fill the template whose inputs are the given ones, ask the model with the session's history, extract.

        `watch` is handed the answer's text as it comes, where that can be had (see ChatRequest).
        """

    @abstractmethod
    async def cleanup_session(self, session_id: str) -> None:
        """Forget the session. One that does not exist is no error: cleaning twice is harmless."""

    @abstractmethod
    async def ping(self, role: str) -> None:
        """Return if `role` could be asked now; raise AgentCommunicationException if not. Costs no tokens."""

    @abstractmethod
    def templates(self, role: str) -> Sequence[tuple[str, ...]]:
        """The input names of each template of `role`; empty when they are not known here."""

    def require_template(self, role: str, inputs: Sequence[str]) -> None:  # noqa: B027 - not every client knows
        """ConfigurationException where it is known here that no template of `role` takes these inputs."""

    async def require_access(self) -> None:  # noqa: B027 - in process nobody is refused
        """ConfigurationException where whoever asks as we do is refused. One that cannot be asked now is no error."""

    async def aclose(self) -> None:  # noqa: B027 - most clients hold nothing
        """Close what is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class ServedInterface(InterfaceClient):
    """An interface that a service can offer to others: its sessions know their last question and what was said."""

    @abstractmethod
    async def interact_once(
        self, session_id: str, role: str, inputs: Mapping[str, Any], *, key: str = "", watch: TokenWatcher | None = None
    ) -> Outcome:
        """As `interact`; a model that gives no answer of use is an outcome, and the exchange is logged.

        A question with the `key` of the session's last one is the same question: what became of it is given, and the
        model is not asked. Empty: it has no key. AgentCommunicationException (`unknown_session`) for a session that is
        not there, also one that was deleted while it was asked.
        """

    @abstractmethod
    async def exchanges(self, session_id: str) -> Sequence[Exchange]:
        """What was logged, in its order; nothing for a session that is not there."""

    @abstractmethod
    async def exchange_counts(self, session_ids: Sequence[str]) -> Mapping[str, int]:
        """How much was logged in each of the sessions that are there."""
