"""OpenEnv's dialect, without any connection: what a client may say, and how results and errors are told.

A WebSocket is a session with one instance. Messages and answers are JSON objects `{"type", "data"}`; what is wrong with
one is told by an error, after which the session goes on, but for `SESSION_ERROR`, `CAPACITY_REACHED` and
`FACTORY_ERROR`, which end it. Additions of ours are the types `system_prompt`, `compute_reward` and `session`; a
`request_id` beside the data of `reset` and `step`, which stands in the answer too; and `reason` in an error: our own
code of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prismenv.server.asking import check_nesting, name_in, no_constant
from prismenv.server.refusal import Refusal
from prismenv.words.errors import ActionException, ConfigurationException, EnvironmentException, HostException

TYPES = ("reset", "step", "state", "close", "mcp", "system_prompt", "compute_reward", "session")
_WITH_DATA = ("reset", "step", "mcp")
_NAMED = ("reset", "step")
ENDING = ("SESSION_ERROR", "CAPACITY_REACHED", "FACTORY_ERROR")
_METHOD_NOT_FOUND = -32601
# Made once: json.loads and json.dumps make a decoder and an encoder for each call that has options.
_decode = json.JSONDecoder(parse_constant=no_constant).decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class DialectException(Exception):
    """A message that is not as it should be; `code` is one of OpenEnv's."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.more = more


@dataclass(frozen=True, slots=True)
class Message:
    """What a client asks. `request_id` None: the call has no name."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None


def read_message(text: str | None) -> Message:
    """The message in a frame of text; DialectException for anything else. None: the frame was binary."""
    if text is None:
        raise DialectException("SESSION_ERROR", "messages are text, not binary")
    try:
        given = _decode(text)
    except (ValueError, RecursionError) as error:
        raise DialectException("INVALID_JSON", f"the message is no JSON: {str(error)[:200]}") from error
    if not isinstance(given, dict):
        raise DialectException("SESSION_ERROR", "a message must be a JSON object")
    try:
        check_nesting(given, text)
    except Refusal as refusal:
        raise _invalid([], refusal.message.replace("the body", "the message")) from refusal
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise DialectException("UNKNOWN_TYPE", f"unknown message type {kind!r:.80}; known are {', '.join(TYPES)}")
    for key in given:
        if not (key == "type" or (key == "data" and kind in _WITH_DATA) or (key == "request_id" and kind in _NAMED)):
            raise _invalid([key[:80]], f"a message of type {kind} has no {key!r:.80}")
    data = given.get("data", {} if kind == "reset" else None)
    if kind not in _WITH_DATA:
        return Message(kind)
    if not isinstance(data, dict):
        raise _invalid(["data"], f"data of {kind} must be an object")
    return Message(kind, data, _request_id(given))


def _request_id(given: dict[str, Any]) -> str | None:
    if given.get("request_id") is None:
        return None
    try:
        return name_in(given, "request_id")
    except Refusal as refusal:
        raise _invalid(["request_id"], refusal.message) from refusal


def _invalid(where: list[str], message: str) -> DialectException:
    return DialectException("VALIDATION_ERROR", message, errors=[{"loc": where, "msg": message, "type": "value_error"}])


def answer(kind: str, data: Any) -> dict[str, Any]:
    """An answer of that type."""
    return {"type": kind, "data": data}


def error_answer(code: str, message: str, **more: Any) -> dict[str, Any]:
    """An error, told by a code of OpenEnv's."""
    return {"type": "error", "data": {"message": message, "code": code, **more}}


def written(document: Mapping[str, Any]) -> str:
    """An answer as text. All of it was JSON before: see contracts/episode.py."""
    return _encode(document)


def error_of(error: EnvironmentException) -> dict[str, Any]:
    """The error that a call came to."""
    if isinstance(error, ActionException):
        return error_answer("VALIDATION_ERROR", str(error), errors=_errors_of(error), reason=error.code)
    if isinstance(error, ConfigurationException):
        where = [{"loc": [error.subject or ""], "msg": error.message, "type": "value_error"}]
        return error_answer("VALIDATION_ERROR", str(error), errors=where, reason=error.code)
    if isinstance(error, HostException):
        return error_answer("SESSION_ERROR", str(error), reason=error.code)
    return error_answer("EXECUTION_ERROR", str(error), reason=error.code)


def _errors_of(error: ActionException) -> list[Mapping[str, Any]]:
    return list(error.errors) or [{"loc": [], "msg": error.message, "type": "value_error"}]
