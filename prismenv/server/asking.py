"""What a client sends, checked once. Bodies are not put through a model: a history of a megabyte is read only once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from prismenv.server.limits import MAX_DEPTH, MAX_NAME, MAX_WAIT_SECONDS
from prismenv.server.refusal import Refusal
from prismenv.sessions.answer import excerpt
from prismenv.words.jsonkind import json_kind

DEFAULT_ROLE = "challenge_designer"  # PrismBench's


@dataclass(frozen=True, slots=True)
class Ask:
    """A question. `role` None: the session's own. `full`: the client knows our extensions and is told everything.

    `continues`: the client had answers in this session, so that it must not begin anew without what was said.
    `key` is the client's name for this question, empty: it has none; the same one again is the same question.
    """

    session_id: str
    role: str | None
    inputs: Mapping[str, Any]
    seed: int | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    full: bool = False
    continues: bool = False
    key: str = ""


def read_object(body: bytes | str) -> dict[str, Any]:
    """The JSON object in a body. Raises Refusal for anything else, and for what is nested too deeply."""
    try:
        data = json.loads(body, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "bad_json", f"the body is no JSON: {excerpt(str(error))}") from error
    if not isinstance(data, dict):
        raise Refusal(422, "wrong_type", f"the body: found {json_kind(data)}; expected an object")
    check_nesting(data)
    return data


def read_ask(data: Mapping[str, Any], key: str) -> Ask:
    """The question in the body of /interact; keys that are not known are ignored, as PrismBench does."""
    role = data.get("role")
    seed = data.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        _wrong("seed", seed, "an integer or null")
    if len(key) > MAX_NAME:
        raise Refusal(422, "wrong_type", f"Idempotency-Key: longer than {MAX_NAME} characters")
    return Ask(
        session_id=name_in(data, "session_id"),
        role=None if role is None else name_in(data, "role"),
        inputs=_mapping(data, "input_data"),
        seed=seed,
        labels=_mapping(data, "labels"),
        full=data.get("full") is True,
        continues=data.get("continues") is True,
        key=key,
    )


def name_in(data: Mapping[str, Any], key: str) -> str:
    """A name: text that is not empty, short, and printable."""
    value = data.get(key)
    if not isinstance(value, str) or not value or len(value) > MAX_NAME or not value.isprintable():
        _wrong(key, value, f"text of 1 to {MAX_NAME} printable characters")
    return value


def read_wait(text: str | None) -> float:
    """How long an answer may be waited for, in seconds; None is not at all. More than is allowed is the most."""
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # NaN is neither
        raise Refusal(422, "wrong_type", f"wait: found {excerpt(text)}; expected seconds")
    return min(seconds, MAX_WAIT_SECONDS)


def preferred_wait(prefer: str) -> float:
    """The seconds of a header `Prefer: wait=N`, 0 where it has none (RFC 7240: what is not understood is ignored)."""
    for part in prefer.replace(";", ",").split(","):
        name, _, value = part.strip().partition("=")
        if name.strip().lower() == "wait" and value.strip().isascii() and value.strip().isdigit():
            return min(float(value), MAX_WAIT_SECONDS)
    return 0.0


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        _wrong(key, value, "an object")
    return value


def _wrong(key: str, value: Any, expected: str) -> NoReturn:
    found = excerpt(value, 60) if isinstance(value, str) else json_kind(value)
    raise Refusal(422, "wrong_type", f"{key}: found {found}; expected {expected}")


def no_constant(word: str) -> NoReturn:
    """What json.loads calls for NaN and the infinities."""
    raise ValueError(f"{word} is no JSON")


def check_nesting(value: Any, written: str | None = None) -> None:
    """Refuse what is nested too deeply, and text that is no Unicode: neither can be handed on.

    `written`: the JSON that it was read from, which mostly tells at once that it is neither; None: not at hand.
    """
    if written is not None and not _may_be_either(written):
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.keys()
                inner += each.values()
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, str) and not each.isascii() and _is_broken(each):
                raise Refusal(422, "wrong_type", "the body: found half a surrogate pair; expected Unicode text")
        if not inner:
            return
        level = inner
    raise Refusal(422, "too_deep", f"the body: nested more than {MAX_DEPTH} levels deep")


def _may_be_either(written: str) -> bool:
    return written.count("{") + written.count("[") >= MAX_DEPTH or not written.isascii() or "\\u" in written


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
