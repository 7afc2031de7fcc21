"""What can go wrong with one call of an OpenAI-compatible service, as the server in `openai_server` does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "answer",  # the true answer, late if there is a delay
    "status",  # an error with a status, a body and headers
    "reset",  # the connection is reset before anything is said
    "cut",  # the connection breaks in the middle of the answer
    "unfinished",  # a stream ends in good order, but before the answer does
    "stream_error",  # a stream tells of an error in its middle
    "malformed",  # the answer is no JSON
    "replaced",  # the answer is `payload`, or has its keys laid over it
    "drip",  # the answer comes a few bytes at a time, `delay_seconds` between them
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One call's misfortune. Use the named constructors; `payload` is what `kind` says of it."""

    kind: Kind = "answer"
    status: int = 200
    payload: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0

    @classmethod
    def late(cls, seconds: float) -> "Fault":
        """The true answer after so many seconds."""
        return cls(delay_seconds=seconds)

    @classmethod
    def error(
        cls,
        status: int,
        message: str = "made up",
        *,
        code: str | None = None,
        type: str = "error",  # noqa: A002 - the protocol's name
        headers: Mapping[str, str] | None = None,
    ) -> "Fault":
        """An error in the shape that OpenAI gives it."""
        body = {"error": {"message": message, "type": type, "param": None, "code": code}}
        return cls("status", status, body, headers or {})

    @classmethod
    def page(cls, status: int, html: str = "<html>busy</html>") -> "Fault":
        """An error as a gateway tells it: in HTML."""
        return cls("status", status, html)

    @classmethod
    def rate_limited(cls, retry_after: str | None = None, *, header: str = "Retry-After") -> "Fault":
        """429, with or without a time to wait: seconds, a date, or what `header` holds."""
        headers = {} if retry_after is None else {header: retry_after}
        return cls.error(429, "Rate limit reached for requests", code="rate_limit_exceeded", headers=headers)

    @classmethod
    def quota_exhausted(cls) -> "Fault":
        """429, for lack of money."""
        message = "You exceeded your current quota, please check your plan and billing details."
        return cls.error(429, message, code="insufficient_quota", type="insufficient_quota")

    @classmethod
    def context_too_long(cls) -> "Fault":
        """400, for a prompt that does not fit."""
        message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
        return cls.error(400, message, code="context_length_exceeded", type="invalid_request_error")

    @classmethod
    def reset(cls) -> "Fault":
        """A connection reset without a word."""
        return cls("reset")

    @classmethod
    def cut(cls) -> "Fault":
        """Half an answer, then the connection breaks."""
        return cls("cut")

    @classmethod
    def unfinished(cls) -> "Fault":
        """A stream that ends in its middle as if that were its end."""
        return cls("unfinished")

    @classmethod
    def stream_error(cls, message: str = "The server had an error", code: str | None = "server_error") -> "Fault":
        """A stream that tells of an error in its middle; a plain answer is the error with the status 500."""
        return cls("stream_error", 500, {"error": {"message": message, "type": "server_error", "code": code}})

    @classmethod
    def malformed(cls) -> "Fault":
        """An answer, or an event of a stream, that is no JSON."""
        return cls("malformed")

    @classmethod
    def answering(cls, payload: Any) -> "Fault":
        """Any JSON value in the answer's place: wrong types and shapes."""
        return cls("replaced", payload=payload)

    @classmethod
    def empty_choices(cls) -> "Fault":
        """An answer without a choice."""
        return cls("replaced", payload={"choices": []})

    @classmethod
    def length(cls, text: str) -> "Fault":
        """An answer that stops at its limit of tokens."""
        return cls.choosing({"role": "assistant", "content": text}, "length")

    @classmethod
    def refusal(cls, text: str = "I cannot help with that.") -> "Fault":
        """An answer that is a refusal."""
        return cls.choosing({"role": "assistant", "content": None, "refusal": text}, "stop")

    @classmethod
    def choosing(cls, message: Mapping[str, Any], finish_reason: str | None) -> "Fault":
        """An answer whose one choice is this message."""
        choice = {"index": 0, "message": dict(message), "finish_reason": finish_reason, "logprobs": None}
        return cls("replaced", payload={"choices": [choice]})

    @classmethod
    def drip(cls, seconds: float) -> "Fault":
        """The true answer, a few bytes every so many seconds."""
        return cls("drip", delay_seconds=seconds)
