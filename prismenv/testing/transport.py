"""Models that say what they are told to, at once or when they are let: the fakes at the chat seam."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import anyio

from prismenv.contracts.transport import ChatTransport
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.usage import Usage

Answers = Callable[[ChatRequest], str] | Mapping[str, str | Sequence[str]]


class ScriptedTransport(ChatTransport):
    """Answers at once from `answers`: a function of the request, or by role a text (every time) or texts (in order).

    A role that is missing, or whose texts are used up, raises AgentCommunicationException `no_answer`. `requests`
    keeps the latest `keep` requests, `calls` counts all by role. Failures are put in with `fail_next` and `fail_when`.
    """

    def __init__(self, answers: Answers, *, model: str = "scripted", keep: int = 1000) -> None:
        self._answers = answers
        self._usage = Usage(model=model, calls=1, prompt_tokens=10, completion_tokens=10)
        self._failures: deque[Exception] = deque()
        self._fail_when: Callable[[ChatRequest], Exception | None] | None = None
        self.requests: deque[ChatRequest] = deque(maxlen=keep)
        self.calls: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.closed = False

    def fail_next(self, *errors: Exception) -> None:
        """The next calls raise these, one each, in order."""
        self._failures.extend(errors)

    def fail_when(self, decide: Callable[[ChatRequest], Exception | None]) -> None:
        """Every call raises what `decide` returns for it; None answers."""
        self._fail_when = decide

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        self.calls[request.role] += 1
        if self._failures:
            raise self._failures.popleft()
        if self._fail_when is not None and (error := self._fail_when(request)) is not None:
            raise error
        return ChatReply(self._text(request), self._usage)

    async def ping(self) -> None:
        if self.closed:
            raise AgentCommunicationException("the scripted transport is closed", code="unavailable")

    async def aclose(self) -> None:
        self.closed = True

    def _text(self, request: ChatRequest) -> str:
        if callable(self._answers):
            return self._answers(request)
        texts = self._answers.get(request.role)
        if isinstance(texts, str):
            return texts
        number = self.answered[request.role]
        if texts is None or number >= len(texts):
            raise AgentCommunicationException(
                f"nothing is scripted for call {number + 1} of {request.role!r}", code="no_answer", subject=request.role
            )
        self.answered[request.role] += 1
        return texts[number]


class HeldTransport(ScriptedTransport):
    """Answers once `release` is set. `begun` counts the calls that came, `cancelled` those that were cancelled."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(answers)
        self.release = anyio.Event()
        self.begun = 0
        self.cancelled = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.begun += 1
        try:
            await self.release.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        return await super().complete(request)
