"""What a call will probably use, before it is made."""

from prismenv.sessions.trimming import estimate_tokens
from prismenv.words.chat import ChatRequest
from prismenv.words.usage import Usage

FIRST_COMPLETION_TOKENS = 1024  # of an answer, while there was none yet
_PER_MESSAGE = 4  # tokens that say whose turn it is
_MOST = ("max_completion_tokens", "max_tokens")


class Expectation:
    """Of one model: the prompt is estimated from its text, rather too high; the answer is the longest allowed.

    Where the parameters do not limit it, it is the longest so far.
    """

    def __init__(self) -> None:
        self._longest = 0

    def of(self, request: ChatRequest) -> tuple[int, int]:
        """Tokens of the prompt and of all answers together."""
        prompt = sum(estimate_tokens(message.content) + _PER_MESSAGE for message in request.messages)
        limit = next(filter(None, (_count(request.params.get(name)) for name in _MOST)), None)
        completion = limit or self._longest or FIRST_COMPLETION_TOKENS
        return prompt, completion * (_count(request.params.get("n")) or 1)

    def learn(self, usage: Usage) -> None:
        """A call was answered."""
        self._longest = max(self._longest, usage.completion_tokens)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
