"""The seam to models: one method that matters."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prismenv.contracts.clock import Clock
from prismenv.contracts.keys import KeySource
from prismenv.words.chat import ChatReply, ChatRequest


class ChatTransport(ABC):
    """One model behind one provider.

    `complete` raises AgentCommunicationException and nothing else on purpose; the caller asks again where that may
    help. That is so for `rate_limited` (`retry_after_seconds` holds what the provider asks for), `timed_out` and
    `unavailable`. It is not for `unauthorised`, `unknown_model`, `quota_exhausted`, `context_too_long` and `refused`
    (the provider does not take the request as it is). `bad_answer`: an answer came that is none.

    `patient` transports are given no deadline: a person answers.
    """

    patient: bool = False

    @abstractmethod
    async def complete(self, request: ChatRequest) -> ChatReply:
        """The model's answer to `request`."""

    @abstractmethod
    async def ping(self) -> None:
        """Return if the model could be asked now; raise AgentCommunicationException if not. Costs no tokens."""

    async def aclose(self) -> None:  # noqa: B027 - most transports hold nothing
        """Let go of connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model as a user names it: `provider/model` or `provider@url/model`.

    `provider` chooses the provider; `model` is the rest (a file's path for `samples/FILE`); `url` None means the
    provider's own.
    """

    provider: str
    model: str
    url: str | None = None

    def __str__(self) -> str:
        at = f"@{self.url}" if self.url else ""
        return f"{self.provider}{at}/{self.model}"


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a provider may need to open a model: `folder` is where relative files of the recipe are looked for.

    `keys` are the recipe's, by provider; `own_key` is the one that the agent file names, which goes before them.
    """

    clock: Clock
    folder: Path
    seed: int
    keys: Mapping[str, KeySource] = field(default_factory=dict)
    own_key: KeySource | None = None


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider as it is registered: its name, one line for people, and how to open one of its models.

    `fixed`: what is answered is written down, so that asking again gives the same. `remote`: a service answers, which
    may be overrun or away, so that calls are slowed down when it says so, and held back when it does not answer.
    """

    name: str
    summary: str
    open: Callable[[ModelReference, ProviderContext], ChatTransport]
    models: Callable[[], tuple[str, ...]] | None = None  # known models for lists and near misses; None: open-ended
    origin: str = "built-in"
    files: bool = False  # True: a model's name is a file's path
    fixed: bool = False  # True: failures are not asked again
    remote: bool = False
