"""Chat completions as providers send them, in one piece or as events, and what is read from them."""

from collections.abc import Mapping
from typing import Any

from prismenv.network.keys import OWN_PARAMS
from prismenv.sessions.refusals import Asked, bad_answer
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.jsonkind import json_kind
from prismenv.words.usage import Usage

_SEED_BITS = 0x7FFFFFFF  # some services keep a seed in 32 bits


def request_body(request: ChatRequest) -> dict[str, Any]:
    """What the service is sent: model_params as they are, a parameter of null left out."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    if request.seed is not None:
        body["seed"] = request.seed & _SEED_BITS
    body.update({name: value for name, value in request.params.items() if name not in OWN_PARAMS})
    if request.watch is not None:
        body["stream"] = True
    if body.get("stream"):
        body.setdefault("stream_options", {"include_usage": True})
    return {name: value for name, value in body.items() if value is not None}


def read_completion(data: Any, request: ChatRequest, asked: Asked) -> ChatReply:
    """The reply in a chat completion. AgentCommunicationException `bad_answer`, with usage, where it has none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list):
        raise bad_answer(asked, "the provider answered with no chat completion", data)
    texts = [_choice_text(choice, asked) for choice in choices]
    usage = _usage(data.get("usage"), request, sum(map(len, texts)), asked)
    if not choices:
        error = bad_answer(asked, "the provider answered without a choice")
        error.usage = usage
        raise error
    first = choices[0]
    finish_reason = _reason(first)
    return ChatReply(texts[0], usage, finish_reason, details=_details(data, first, texts[1:], request))


def _choice_text(choice: Any, asked: Asked) -> str:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise bad_answer(asked, "the provider answered with a choice that holds no message", choice)
    content = message.get("content")
    if isinstance(content, list):  # parts, as some services send
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if content is not None and not isinstance(content, str):
        raise bad_answer(asked, f"the provider answered with {json_kind(content)}, not text", content)
    refusal = message.get("refusal")
    return content or (refusal if isinstance(refusal, str) else "")


def _reason(choice: Mapping[str, Any]) -> str:
    if choice["message"].get("refusal") and not choice["message"].get("content"):
        return "refusal"
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason else "stop"


def _details(
    data: Mapping[str, Any], first: Mapping[str, Any], more: list[str], request: ChatRequest
) -> dict[str, Any]:
    message = first["message"]
    found = {
        "choices": more,
        "tool_calls": message.get("tool_calls"),
        "logprobs": first.get("logprobs"),
        "reasoning": message.get("reasoning_content"),
        "model": data.get("model") if data.get("model") != request.model else None,
    }
    return {name: value for name, value in found.items() if value}


def _usage(given: Any, request: ChatRequest, length: int, asked: Asked) -> Usage:
    """The provider's figures; where it gives none, a token for every four characters."""
    counts = [_count(given, name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = counts
    cost = given.get("cost") if isinstance(given, dict) else None
    priced = isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0
    if prompt is None:
        prompt = (sum(len(message.content) for message in request.messages) + 3) // 4
    if completion is None:
        completion = (length + 3) // 4
    return Usage(
        model=asked.model,
        calls=1,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=cost if priced else None,
        estimated=None in counts,
    )


def _count(given: Any, name: str) -> int | None:
    value = given.get(name) if isinstance(given, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class Gathering:
    """Puts the events of a stream together to the completion that they are pieces of."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._choices: dict[int, dict[str, Any]] = {}
        self._rest: dict[str, Any] = {}
        self.length = 0  # characters so far, of all choices

    def take(self, event: Any) -> str:
        """Add one event; what it adds to the first choice's text."""
        choices = event.get("choices") if isinstance(event, dict) else None
        if not isinstance(choices, list):
            raise bad_answer(self._asked, "the provider's stream holds an event that is no piece of an answer", event)
        self._rest.update({key: event[key] for key in ("model", "usage") if event.get(key)})
        return "".join([self._add(piece) for piece in choices])

    def completion(self) -> dict[str, Any] | None:
        """The whole; None where the stream ended before the answer did."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        if not choices or any(choice["finish_reason"] is None for choice in choices):
            return None
        for choice in choices:
            message = choice["message"]
            message["content"], message["refusal"] = "".join(message["content"]), "".join(message["refusal"])
            message["reasoning_content"] = "".join(message["reasoning_content"])
            message["tool_calls"] = list(message["tool_calls"].values())
        return {**self._rest, "choices": choices}

    def _add(self, piece: Any) -> str:
        delta = piece.get("delta") if isinstance(piece, dict) else None
        index = piece.get("index", 0) if isinstance(piece, dict) else None
        if not isinstance(delta, dict) or not isinstance(index, int):
            raise bad_answer(self._asked, "the provider's stream holds a piece of the wrong shape", piece)
        choice = self._choices.setdefault(index, _empty_choice())
        for name in ("content", "refusal", "reasoning_content"):
            text = delta.get(name)
            if text is not None and not isinstance(text, str):
                raise bad_answer(self._asked, f"the provider's stream holds a {name} that is no text", piece)
            if text:
                choice["message"][name].append(text)
                self.length += len(text)
        _add_tool_calls(choice["message"]["tool_calls"], delta.get("tool_calls") or ())
        _add_logprobs(choice, piece.get("logprobs"))
        choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]
        return (delta.get("content") or "") if index == 0 else ""


def _empty_choice() -> dict[str, Any]:
    message: dict[str, Any] = {"content": [], "refusal": [], "reasoning_content": [], "tool_calls": {}}
    return {"message": message, "finish_reason": None, "logprobs": None}


def _add_tool_calls(calls: dict[int, dict[str, Any]], pieces: Any) -> None:
    for piece in pieces if isinstance(pieces, list) else ():
        if not isinstance(piece, dict):
            continue
        call = calls.setdefault(piece.get("index", 0), {"function": {"name": "", "arguments": ""}})
        call.update({key: piece[key] for key in ("id", "type") if piece.get(key)})
        function = piece.get("function")
        for key in ("name", "arguments"):
            if isinstance(function, dict) and isinstance(function.get(key), str):
                call["function"][key] += function[key]


def _add_logprobs(choice: dict[str, Any], logprobs: Any) -> None:
    if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
        choice["logprobs"] = choice["logprobs"] or {"content": []}
        choice["logprobs"]["content"] += logprobs["content"]
