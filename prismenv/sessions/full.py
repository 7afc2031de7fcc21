"""The extended shape of our own service: what an outcome looks like on its way, for those who read it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from prismenv.words.chat import Answer
from prismenv.words.errors import AgentCommunicationException, ProtocolException
from prismenv.words.usage import Usage

DIALECT = "full"  # as the service names it


def speaks_full(data: Mapping[str, Any]) -> bool:
    """True when a service's own account of itself says that it is one of ours."""
    dialects = data.get("dialects")
    return data.get("name") == "prismenv" and isinstance(dialects, list) and DIALECT in dialects


def read_outcome(data: Mapping[str, Any], url: str) -> Answer:
    """The answer. Raises what the service's model failed with, or ProtocolException for what is no outcome."""
    try:
        error = data.get("error")
        if error is not None:
            failure = _failure(error, url)
        else:
            return _answer(data["message"], data["answer"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ProtocolException(f"{url}/interact: found no outcome of a question: {error!r}", subject=url) from error
    raise failure


def _answer(text: Any, more: Mapping[str, Any]) -> Answer:
    raw = more["raw"]
    return Answer(
        text=_text(text),
        raw=_text(text if raw is None else raw),
        usage=Usage.model_validate(more["usage"]),
        prompt=_text(more["prompt"]),
        template=_text(more["template"]),
        remaining=more["remaining"],
        appended=tuple(more["appended"]),
        finish_reason=_text(more["finish_reason"]),
        details=dict(more["details"]),
    )


def _failure(error: Mapping[str, Any], url: str) -> AgentCommunicationException:
    failure = AgentCommunicationException(
        _text(error["message"]), code=_text(error["code"]), subject=error.get("subject") or url, hint=error.get("hint")
    )
    usage = error.get("usage")
    failure.usage = None if usage is None else Usage.model_validate(usage)
    failure.prompt, failure.raw = _text(error.get("prompt", "")), _text(error.get("raw", ""))
    failure.retry_after_seconds = error.get("retry_after_seconds")
    return failure


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {type(value).__name__}, expected text")
    return value
