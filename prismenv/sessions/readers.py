"""Answers that must have a form: JSON by a schema, or fields by patterns and delimiters.

A reader takes the answer apart and says what is wrong with one that does not fit, in words that a model can act on: it
is asked once more with them. What a reader gives is read again to the same, so that it does not matter whether a
service has read an answer before.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prismenv.answers.fences import fenced_blocks
from prismenv.sessions.patterns import compile_pattern, found_by
from prismenv.sessions.schemas import compile_schema
from prismenv.sessions.values import FieldRule


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ABSENT = object()


class Misfit(Exception):
    """An answer that has not the form that it must have; its text says why."""


@dataclass(frozen=True, slots=True)
class Reader:
    """`read` gives the usable text of an answer or raises Misfit; `form` tells a model what is expected."""

    read: Callable[[str], str]
    form: str

    def asked_again(self, why: str) -> str:
        """The question after an answer that did not fit."""
        return (
            f"Your last answer could not be used: {why}\n\n{self.form}\n\n"
            f"Give the whole answer again in this form, and nothing else."
        )


def schema_reader(schema: Mapping[str, Any]) -> Reader:
    """JSON that satisfies `schema`: the whole answer, a fenced block, or what begins at its first brace or bracket."""
    faults = compile_schema(schema)

    def read(raw: str) -> str:
        first = ""
        for text, value in _json_values(raw):
            fault = faults(value)
            if not fault:
                return text
            first = first or fault
        raise Misfit(first or "it holds no JSON.")

    return Reader(read, f"The answer is JSON that satisfies this schema:\n{json.dumps(schema, ensure_ascii=False)}")


def field_reader(rules: Mapping[str, FieldRule]) -> Reader:
    """The fields of an answer as the text of a JSON object; one that is not there and not required is null."""
    finders = {name: _finder(rule) for name, rule in rules.items()}
    required = [name for name, rule in rules.items() if rule.required]

    def read(raw: str) -> str:
        found = _read_before(raw, rules) or {name: find(raw) for name, find in finders.items()}
        if missing := [name for name in required if found[name] is None]:
            raise Misfit(f"it has no {', '.join(missing)}.")
        return json.dumps(found, ensure_ascii=False)

    lines = "\n".join(f"- {name}: {_described(rule)}" for name, rule in rules.items())
    return Reader(read, f"The answer has these fields:\n{lines}")


def _finder(rule: FieldRule) -> Callable[[str], str | None]:
    if rule.pattern is not None:
        compiled = compile_pattern(rule.pattern)
        return lambda raw: _stripped(found_by(compiled, raw))
    start, end = rule.start or "", rule.end
    return lambda raw: _stripped(_between(raw, start, end))


def _between(raw: str, start: str, end: str | None) -> str | None:
    _, opening, rest = raw.partition(start)
    if not opening:
        return None
    if end is None:
        return rest
    inside, closing, _ = rest.partition(end)
    return inside if closing else None


def _stripped(found: str | None) -> str | None:
    return None if found is None else found.strip()


def _described(rule: FieldRule) -> str:
    optional = "" if rule.required else " (may be left out)"
    if rule.pattern is not None:
        return f"matches the regular expression {rule.pattern}{optional}"
    after = f"after {rule.start!r}"
    return f"{after}, before {rule.end!r}{optional}" if rule.end is not None else f"{after}, up to the end{optional}"


def _read_before(raw: str, rules: Mapping[str, FieldRule]) -> dict[str, str | None] | None:
    """The fields of an answer that is a JSON object of exactly them, None for any other."""
    value = _decoded(raw.strip())[1]
    if not isinstance(value, dict) or value.keys() != rules.keys():
        return None
    return value if all(isinstance(item, str | None) for item in value.values()) else None


def _json_values(raw: str) -> Iterator[tuple[str, Any]]:
    """What may be meant: each with its own text."""
    for candidate in (raw, *(block.text for block in fenced_blocks(raw))):
        text, value = _decoded(candidate.strip())
        if value is not _ABSENT and text == candidate.strip():
            yield text, value
    for bracket in "{[":
        if (at := raw.find(bracket)) >= 0:
            text, value = _decoded(raw[at:])
            if value is not _ABSENT:
                yield text, value


def _decoded(text: str) -> tuple[str, Any]:
    """The JSON value that `text` begins with, and its part of the text."""
    try:
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return "", _ABSENT
    return text[:end], value
