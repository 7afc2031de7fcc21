"""One exchange with a model. Plain slots classes: they are made thousands of times in a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from prismenv.words.usage import Usage

TokenWatcher = Callable[[str], None]  # takes a piece of an answer, and returns at once


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model.

    `role` and `inputs` say which agent asks and what filled its template, `labels` what the session is about
    (`concepts`, `difficulty`, `problem_id`, `sample`, `attempt`): a real provider ignores all three, the simulated, the
    sample-reading and the scripted ones answer by them. `seed` None means that the provider may draw freely. `deadline`
    is on the scale of the caller's Clock.monotonic(), None for no deadline. `watch` is handed the answer's text as it
    comes, where the provider can; an empty piece says that an answer begins, also when one that broke off is asked for
    again.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    role: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    deadline: float | None = None
    watch: TokenWatcher | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A model's answer, as it came.

    `finish_reason` is `stop`, `length` (cut at its limit of tokens), `refusal` (the text is the refusal),
    `content_filter`, `tool_calls`, or the provider's own. `details` is plain JSON of what else came: `choices` (texts
    of further choices), `tool_calls`, `logprobs`, `reasoning`, `model` (where it is not the one that was asked).

    `remaining` says how many further answers to the same question the provider holds, None when it can always be asked
    again: a file of samples runs out, a model does not.
    """

    text: str
    usage: Usage
    finish_reason: str = "stop"
    remaining: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent gives back: `text` is extracted as the agent file says, `raw` is the model's own answer.

    `prompt` is the rendered question, empty where a service rendered it. `remaining`, `finish_reason` and
    `details` are the reply's.
    """

    text: str
    raw: str
    usage: Usage
    prompt: str = ""
    template: str = ""
    remaining: int | None = None
    appended: tuple[str, ...] = ()  # inputs that had no slot and were added under a heading
    finish_reason: str = "stop"
    details: Mapping[str, Any] = field(default_factory=dict)
