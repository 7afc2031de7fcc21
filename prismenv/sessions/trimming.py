"""Which turns of a long conversation are sent.

Always sent are the system prompt, the first question (the problem that everything after speaks of), the last answer
and the question that is being asked. Of what stands between, the oldest turns go first, in pairs of an answer and the
question after it, until the rest fits; so questions and answers still alternate. Where even what is always sent is too
long it is sent all the same: the model's own limit then says so, which is better than a question without its problem.
"""

from collections.abc import Callable, Sequence

from prismenv.words.chat import ChatMessage

_PER_MESSAGE = 4  # tokens that say whose turn it is
_LAST = 2  # the last answer and the question

Count = Callable[[str], int]


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: one for every three bytes of UTF-8, rounded up."""
    return (len(text if text.isascii() else text.encode("utf-8", "replace")) + 2) // 3


def trimmed(
    messages: Sequence[ChatMessage], limit_tokens: int, count: Count = estimate_tokens
) -> tuple[ChatMessage, ...]:
    """The messages that fit into `limit_tokens`, by the rule above; the last of `messages` is the question."""
    head = 2 if messages and messages[0].role == "system" else 1
    sizes = [count(message.content) + _PER_MESSAGE for message in messages]
    over = sum(sizes) - limit_tokens
    first = head
    while over > 0 and first + 2 <= len(messages) - _LAST:
        over -= sizes[first] + sizes[first + 1]
        first += 2
    return (*messages[:head], *messages[first:])
