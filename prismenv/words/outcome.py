"""What became of a question that reached a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prismenv.words.chat import Answer
from prismenv.words.errors import AgentCommunicationException

_EMPTY = frozenset({"no_usable_answer"})  # an answer that says nothing is one


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, or that the model gave none of use."""

    answer: Answer | None
    error: AgentCommunicationException | None = None

    @property
    def shown(self) -> str | None:
        """What a client without our extensions is given: the usable part, else the answer as it came; None: neither."""
        if self.answer is not None:
            return self.answer.text
        if self.error is not None and self.error.usage is not None and (self.error.raw or self.error.code in _EMPTY):
            return self.error.raw
        return None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question that was answered, and what was shown of the answer."""

    inputs: Mapping[str, Any]
    response: str
