"""What a provider's refusal means: status, code and words become one of our codes, with what to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prismenv.network.retry import retry_after
from prismenv.network.secret import Secret
from prismenv.sessions.answer import excerpt
from prismenv.words.errors import AgentCommunicationException

_QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_QUOTA = re.compile(r"exceeded your current quota|insufficient (balance|credits?|quota|funds)", re.IGNORECASE)
_CONTEXT = re.compile(
    r"context[ _-]?(length|size|window)|maximum context|prompt is too long|too many (input )?tokens", re.IGNORECASE
)
_MODEL = re.compile(
    r"model\b.*(does not exist|not found|not supported|unknown)|no such model|invalid model name",
    re.IGNORECASE | re.DOTALL,
)
_BY_STATUS = {
    401: "unauthorised",
    402: "quota_exhausted",
    403: "unauthorised",
    408: "timed_out",
    409: "unavailable",
    413: "context_too_long",
    425: "unavailable",
    429: "rate_limited",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, for messages: the model as the user named it, where its key came from, and the key to hide."""

    model: str
    url: str
    key_source: str
    secret: Secret

    def failure(self, code: str, what: str, hint: str | None = None) -> AgentCommunicationException:
        """The exception for it, without the key."""
        hidden = self.secret.hidden_in(what)
        return AgentCommunicationException(f"{self.model}: {hidden}", code=code, subject=self.model, hint=hint)


def refusal(
    asked: Asked, status: int, body: object, headers: Mapping[str, str], now: float
) -> AgentCommunicationException:
    """What an answer with a status that is no success means. `now`, in seconds since the epoch, is for dates."""
    message, code_word = _said(body)
    wait = retry_after(headers, now)
    code = _code(status, code_word, message, wait)
    error = asked.failure(
        code, f"the provider answered {status}: {excerpt(asked.secret.hidden_in(message))}", _hint(code, asked)
    )
    error.retry_after_seconds = wait
    return error


def _said(body: object) -> tuple[str, str]:
    """The message and the code in an error's body, whatever shape it has."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return str(inner or ""), ""
    words = [str(inner[key]) for key in ("code", "type") if isinstance(inner.get(key), str)]
    return str(inner.get("message") or inner), " ".join(words)


def _code(status: int, code_word: str, message: str, wait: float | None) -> str:
    words = set(code_word.split())
    if words & _QUOTA_CODES or (status in (403, 429) and wait is None and _QUOTA.search(message)):
        return "quota_exhausted"
    if status in (400, 413, 422, 500) and (_CONTEXT.search(code_word) or _CONTEXT.search(message)):
        return "context_too_long"
    if "model_not_found" in words or (status in (400, 404) and _MODEL.search(message)):
        return "unknown_model"
    if status >= 500:  # noqa: PLR2004 - server errors, as HTTP defines them
        return "unavailable"
    return _BY_STATUS.get(status, "refused")


def _hint(code: str, asked: Asked) -> str | None:
    return {
        "unauthorised": f"The key comes from {asked.key_source}: see that it is valid and may use this model.",
        "unknown_model": f"See how the model is written; {asked.url}/models lists what there is.",
        "quota_exhausted": "Asking again does not help: add to the account, or use another model.",
        "context_too_long": "Give the role less, or use a model with a longer context.",
        "rate_limited": "Lower concurrency.nodes, or ask the provider for a higher limit.",
    }.get(code)


def bad_answer(asked: Asked, what: str, data: Any = None) -> AgentCommunicationException:
    """An answer that is none, `data` shown in part."""
    shown = "" if data is None else f": {excerpt(asked.secret.hidden_in(str(data)))}"
    return asked.failure("bad_answer", f"{what}{shown}")
