"""The provider `scripted/FILE`: answers written down beforehand, for tests of environments without a model.

The file (YAML or JSON) gives for each role, or for `default`, one text or a list. An entry of a list
is a text, or `{when: TEXT, answer: TEXT}`. The first entry whose `when` occurs in the question answers it; otherwise
plain texts answer in order, by the turn of the conversation, and the last one answers all further turns. So what is
answered depends on the conversation alone: neither on other sessions nor on the order of calls.
"""

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, RootModel, model_validator

from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.mapping import FrozenModel
from prismenv.words.nearness import nearest
from prismenv.words.usage import Usage

NAME = "scripted"


class MatchedAnswer(FrozenModel):
    """An answer to questions that hold the text `when`."""

    when: str = Field(min_length=1)
    answer: str


class Script(RootModel[dict[str, tuple[str | MatchedAnswer, ...]]]):
    """Answers by role; a single text is a list of one."""

    @model_validator(mode="before")
    @classmethod
    def _single_is_list(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {role: [entry] if isinstance(entry, str | dict) else entry for role, entry in data.items()}

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if empty := sorted(role for role, entries in self.root.items() if not entries):
            raise ValueError(f"no answers for {', '.join(empty)}")
        return self


@dataclass(frozen=True, slots=True)
class _Answers:
    matched: tuple[MatchedAnswer, ...]
    turns: tuple[str, ...]


class ScriptTransport(ChatTransport):
    """Answers by a script. `name` is shown as the model."""

    def __init__(self, script: Script, name: str) -> None:
        self._name = name
        self._usage = Usage(model=name, calls=1)
        self._roles = {
            role: _Answers(
                tuple(entry for entry in entries if isinstance(entry, MatchedAnswer)),
                tuple(entry for entry in entries if isinstance(entry, str)),
            )
            for role, entries in script.root.items()
        }

    async def complete(self, request: ChatRequest) -> ChatReply:
        answers = self._roles.get(request.role) or self._roles.get("default")
        if answers is None:
            near = nearest(request.role, self._roles)
            raise AgentCommunicationException(
                f"{self._name} has no answers for the role {request.role!r}",
                code="no_answer",
                subject=request.role,
                hint=f"It has some for {near!r}." if near else None,
            )
        return ChatReply(self._text(answers, request), self._usage)

    async def ping(self) -> None:
        return

    def _text(self, answers: _Answers, request: ChatRequest) -> str:
        question = request.messages[-1].content
        for entry in answers.matched:
            if entry.when in question:
                return entry.answer
        if not answers.turns:
            raise AgentCommunicationException(
                f"{self._name}: no entry of {request.role!r} matches the question",
                code="no_answer",
                subject=request.role,
            )
        turn = sum(message.role == "assistant" for message in request.messages)
        return answers.turns[min(turn, len(answers.turns) - 1)]


def open_script(reference: ModelReference, context: ProviderContext) -> ChatTransport:
    """The script that the model names; relative paths are looked for in the recipe's folder."""
    path = context.folder / reference.model
    return ScriptTransport(validate(Script, load_yaml(path)), str(reference))


ENTRY = ProviderEntry(
    name=NAME,
    summary="answers from a YAML or JSON file, by role; for tests (scripted/FILE)",
    open=open_script,
    files=True,
    fixed=True,
)
