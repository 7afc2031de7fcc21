"""The provider `human/terminal`: a person at this terminal answers.

Questions are shown on standard error, so that standard output stays what a command prints; answers are read from
standard input, up to a line that holds a single dot or to Ctrl-D. What a model wrote into a question is shown with its
control characters written out. One question is asked at a time, whoever else waits; there is no deadline of the LLM
interface for a person, only those of the run.
"""

import sys
from typing import TextIO

import anyio
import anyio.to_thread

from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.sessions.trimming import estimate_tokens
from prismenv.words.chat import ChatMessage, ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException
from prismenv.words.usage import Usage
from prismenv.words.visible import visible

PROVIDER, MODEL = "human", "terminal"
END = "."
INSTRUCTION = "Your answer; it ends with a line that holds a single dot, or with Ctrl-D:"


class HumanTransport(ChatTransport):
    """A person who reads `shown` and writes to `typed`."""

    patient = True

    def __init__(self, typed: TextIO, shown: TextIO) -> None:
        self._typed = typed
        self._shown = shown
        self._turn = anyio.Lock()

    async def complete(self, request: ChatRequest) -> ChatReply:
        async with self._turn:
            answer = await anyio.to_thread.run_sync(self._ask, request, abandon_on_cancel=True)
        if not answer.strip():
            raise AgentCommunicationException("nobody answered at the terminal", code="bad_answer", subject=PROVIDER)
        prompt = sum(estimate_tokens(message.content) for message in request.messages)
        usage = Usage(
            model=f"{PROVIDER}/{MODEL}",
            calls=1,
            prompt_tokens=prompt,
            completion_tokens=estimate_tokens(answer),
            estimated=True,
        )
        return ChatReply(answer, usage)

    async def ping(self) -> None:
        require_terminal(self._typed, self._shown)

    def _ask(self, request: ChatRequest) -> str:
        try:
            self._shown.write("".join(f"{visible(line)}\n" for line in _question(request)))
            self._shown.flush()
            lines: list[str] = []
            while (line := self._typed.readline()) and line.rstrip("\r\n") != END:
                lines.append(line)
        except (OSError, ValueError) as error:  # closed, or no text
            raise AgentCommunicationException(
                f"the terminal cannot be read: {error}", code="provider_failed", subject=PROVIDER
            ) from error
        return "".join(lines)


def _question(request: ChatRequest) -> list[str]:
    """What a person needs to see: all of the first question, of a later one what came after the last answer."""
    messages = request.messages
    begin = max((index + 1 for index, one in enumerate(messages) if one.role == "assistant"), default=0)
    return ["", f"══ {request.role} ══", *(_shown(one) for one in messages[begin:]), f"── {INSTRUCTION}"]


def _shown(message: ChatMessage) -> str:
    title = "what you are to do" if message.role == "system" else "question"
    return f"── {title} ──\n{message.content.rstrip()}\n"


def require_terminal(typed: TextIO | None, shown: TextIO | None) -> None:
    """ConfigurationException where nobody sits at the terminal."""
    if typed is None or shown is None or typed.closed or not typed.isatty() or not shown.isatty():
        raise ConfigurationException(
            f"{PROVIDER}/{MODEL} asks a person at the terminal, and this command has none: its standard input or error "
            "is a file or a pipe",
            code="no_terminal",
            subject=f"{PROVIDER}/{MODEL}",
            hint="Run it in a terminal, without redirection, or choose another model.",
        )


def open_human(reference: ModelReference, context: ProviderContext) -> ChatTransport:  # noqa: ARG001 - as all providers
    """The person at this process's terminal."""
    if reference.model != MODEL or reference.url is not None:
        raise ConfigurationException(
            f"{reference} is nobody: expected {PROVIDER}/{MODEL}", code="unknown_model", subject=str(reference)
        )
    require_terminal(sys.stdin, sys.stderr)
    return HumanTransport(sys.stdin, sys.stderr)


ENTRY = ProviderEntry(
    PROVIDER, "a person at the terminal, asked one question at a time (human/terminal)", open_human, lambda: (MODEL,)
)
