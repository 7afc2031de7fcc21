"""One exchange with a model as plain JSON: what is recorded, replayed and cached, and by what it is found again.

A question is its role, its messages, its parameters, its seed and its labels. The model's name is no part of it, so
that a recording can stand in for the model; neither is the deadline. Whatever looks like a secret among the parameters
is masked, on both sides.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pydantic import ValidationError

from prismenv.network.keys import OWN_PARAMS
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.masking import mask_secrets
from prismenv.words.usage import Usage


class Malformed(ValueError):
    """Plain JSON that is no exchange; says what is wrong."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A question that failed for good."""

    code: str
    message: str
    hint: str | None = None
    subject: str | None = None
    usage: Usage | None = None

    def error(self) -> AgentCommunicationException:
        """The exception that it was."""
        error = AgentCommunicationException(self.message, code=self.code, subject=self.subject, hint=self.hint)
        error.usage = self.usage
        return error


Outcome = ChatReply | Failure


def question_of(request: ChatRequest) -> dict[str, Any]:
    """The question as plain JSON."""
    params = {name: value for name, value in request.params.items() if name not in OWN_PARAMS}
    return {
        "role": request.role,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "params": mask_secrets(plain(params)),
        "seed": request.seed,
        "labels": plain(request.labels),
    }


def digest_of(question: Mapping[str, Any]) -> str:
    """The name by which a question is found: equal for equal questions, whatever the order of their keys."""
    text = json.dumps(question, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=20).hexdigest()


def plain(value: Any) -> Any:
    """`value` as JSON reads it back; what JSON has no word for becomes text."""
    return json.loads(json.dumps(value, default=str))


def reply_values(reply: ChatReply) -> dict[str, Any]:
    """A reply as plain JSON."""
    return {
        "text": reply.text,
        "usage": reply.usage.model_dump(mode="json"),
        "finish_reason": reply.finish_reason,
        "remaining": reply.remaining,
        "details": plain(reply.details),
    }


def reply_of(values: Any) -> ChatReply:
    """The reply of plain JSON; Malformed where it is none."""
    given = _mapping("reply", values)
    text, reason, remaining = given.get("text"), given.get("finish_reason", "stop"), given.get("remaining")
    if not isinstance(text, str) or not isinstance(reason, str):
        raise Malformed("reply.text and reply.finish_reason must be texts")
    if remaining is not None and (isinstance(remaining, bool) or not isinstance(remaining, int)):
        raise Malformed("reply.remaining must be a whole number or null")
    details = _mapping("reply.details", given.get("details", {}))
    return ChatReply(text, _usage(given.get("usage")), reason, remaining, details)


def failure_values(error: AgentCommunicationException) -> dict[str, Any]:
    """A failure as plain JSON."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "subject": error.subject,
        "usage": None if error.usage is None else error.usage.model_dump(mode="json"),
    }


def failure_of(values: Any) -> Failure:
    """The failure of plain JSON; Malformed where it is none."""
    given = _mapping("failure", values)
    code, message = given.get("code"), given.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        raise Malformed("failure.code and failure.message must be texts")
    usage = None if given.get("usage") is None else _usage(given["usage"])
    hint, subject = (value if isinstance(value := given.get(name), str) else None for name in ("hint", "subject"))
    return Failure(code, message, hint, subject, usage)


def checked_question(values: Any) -> dict[str, Any]:
    """The question of plain JSON; Malformed where it is none."""
    given = _mapping("question", values)
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Malformed("question.messages must be a list of at least one")
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise Malformed("each of question.messages must have role and content, both text")
    if not isinstance(given.get("role"), str):
        raise Malformed("question.role must be a text")
    params, labels = (_mapping(f"question.{name}", given.get(name, {})) for name in ("params", "labels"))
    return {
        "role": given["role"],
        "messages": [{"role": message["role"], "content": message["content"]} for message in messages],
        "params": params,
        "seed": given.get("seed"),
        "labels": labels,
    }


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{name} must be an object, found {type(value).__name__}")
    return value


def _usage(values: Any) -> Usage:
    try:
        return Usage.model_validate(values)
    except ValidationError as error:
        raise Malformed(f"the usage is none: {error.errors()[0]['msg']}") from error


def shown_by_pieces(reply: ChatReply, request: ChatRequest) -> None:
    """Hand a reply that is there at once to whoever watches it come."""
    if request.watch is not None:
        request.watch("")
        if reply.text:
            request.watch(reply.text)
