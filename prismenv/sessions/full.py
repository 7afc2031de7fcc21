"""The extended shape of our own service: what an outcome looks like on its way, and where it is kept."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from prismenv.words.chat import Answer
from prismenv.words.errors import AgentCommunicationException, ProtocolException
from prismenv.words.outcome import Outcome
from prismenv.words.usage import Usage

DIALECT = "full"  # as the service names it


def speaks_full(data: Mapping[str, Any]) -> bool:
    """True when a service's own account of itself says that it is one of ours."""
    dialects = data.get("dialects")
    return data.get("name") == "prismenv" and isinstance(dialects, list) and DIALECT in dialects


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """All that there is to know of an outcome, as JSON: `message` and `answer`, or `error`."""
    answer = outcome.answer
    if answer is not None:
        more = {
            "raw": None if answer.raw == answer.text else answer.raw,
            "usage": answer.usage.model_dump(mode="json"),
            "prompt": answer.prompt,
            "template": answer.template,
            "remaining": answer.remaining,
            "appended": answer.appended,
            "finish_reason": answer.finish_reason,
            "details": answer.details,
        }
        return {"message": answer.text, "answer": more}
    error = outcome.error
    assert error is not None  # noqa: S101 - an outcome has either
    told = {
        "code": error.code,
        "message": error.message,
        "subject": error.subject,
        "hint": error.hint,
        "usage": error.usage.model_dump(mode="json") if error.usage else None,
        "prompt": error.prompt,
        "raw": error.raw,
        "retry_after_seconds": error.retry_after_seconds,
    }
    return {"error": told}


def write_outcome(outcome: Outcome) -> str:
    """The outcome as text that `kept_outcome` reads; ASCII, so that whatever is in it can be kept."""
    return json.dumps(outcome_document(outcome))


def kept_outcome(text: str, where: str) -> Outcome:
    """What `write_outcome` wrote. ProtocolException, which names `where` it was, for anything else."""
    try:
        return Outcome(read_outcome(json.loads(text), where))
    except AgentCommunicationException as error:
        return Outcome(None, error.with_traceback(None))
    except ValueError as error:  # a ProtocolException is one
        raise ProtocolException(f"{where}: found no outcome of a question: {error}", subject=where) from error


def read_outcome(data: Mapping[str, Any], url: str) -> Answer:
    """The answer. Raises what the service's model failed with, or ProtocolException for what is no outcome."""
    try:
        error = data.get("error")
        if error is not None:
            failure = _failure(error, url)
        else:
            return _answer(data["message"], data["answer"])
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise ProtocolException(f"{url}: found no outcome of a question: {error!r}", subject=url) from error
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
