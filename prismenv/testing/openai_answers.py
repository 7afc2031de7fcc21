"""Chat completions as OpenAI shapes them, in one piece and as events. A token is four characters."""

from collections.abc import Mapping
from typing import Any


def completion(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The answer to a request for chat completions: `n` choices of `text`, cut at `stop` and at `max_tokens`."""
    text, finish_reason = _cut(body, text)
    tools = body.get("tools")
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if tools:
        call = {"name": tools[0]["function"]["name"], "arguments": "{}"}
        message = {**message, "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]}
        finish_reason = "tool_calls"
    logprobs = {"content": [{"token": text[:4], "logprob": -0.5, "top_logprobs": []}]} if body.get("logprobs") else None
    choices = [
        {"index": index, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}
        for index in range(body.get("n") or 1)
    ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": choices,
        "usage": _usage(body, text, len(choices)),
    }


def events_of(body: Mapping[str, Any], answer: Any) -> list[Any]:
    """The same answer as the events of a stream; what is no completion is one event."""
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        return [answer]
    head = {**answer, "object": "chat.completion.chunk", "usage": None}
    events = [
        {**head, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None, "logprobs": logprobs}]}
        for choice in answer["choices"]
        for delta, logprobs in _deltas(choice)
    ]
    for choice in answer["choices"]:
        last = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        events.append({**head, "choices": [last]})
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append({**head, "choices": [], "usage": answer["usage"]})
    return events


def _deltas(choice: Mapping[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    message = choice["message"]
    deltas: list[tuple[dict[str, Any], Any]] = [({"role": "assistant", "content": ""}, None)]
    content = message.get("content") or ""
    deltas += [
        ({"content": content[start : start + 4]}, choice["logprobs"] if not start else None)
        for start in range(0, len(content), 4)
    ]
    if message.get("refusal"):
        deltas.append(({"refusal": message["refusal"]}, None))
    for index, call in enumerate(message.get("tool_calls") or ()):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        begun = {"index": index, "id": call["id"], "type": "function", "function": {"name": name, "arguments": ""}}
        deltas.append(({"tool_calls": [begun]}, None))
        deltas += [
            ({"tool_calls": [{"index": index, "function": {"arguments": letter}}]}, None) for letter in arguments
        ]
    return deltas


def _cut(body: Mapping[str, Any], text: str) -> tuple[str, str]:
    stop = body.get("stop") or ()
    for word in (stop,) if isinstance(stop, str) else stop:
        text = text.partition(word)[0]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and len(text) > 4 * limit:
        return text[: 4 * limit], "length"
    return text, "stop"


def _usage(body: Mapping[str, Any], text: str, choices: int) -> dict[str, int]:
    prompt = (sum(len(str(message["content"])) for message in body["messages"]) + 3) // 4
    answer = choices * ((len(text) + 3) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
