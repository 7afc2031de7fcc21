"""What pydantic has against a value, said the way a person needs it: where, what was found, what is allowed."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prismenv.words.nearness import did_you_mean

MOST_SHOWN = 10
LONGEST_SHOWN = 60
ABSENT = object()
KeyPath = tuple[str | int, ...]
_KINDS: Mapping[Any, str] = {
    **dict.fromkeys((str, Any), "text"),
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    **dict.fromkeys((list, tuple, set), "a list"),
}
Label = Callable[[KeyPath], str]


def describe(error: ValidationError, model: type[BaseModel], data: Any, label: Label, *, partial: bool = False) -> str:
    """One line for each wrong value: `FILE:LINE: key.path: found X; expected Y`.

    `data` is what was validated; `label` gives the beginning of the line for a key path within it. With `partial` the
    data is a part of a whole: what is missing, or wrong with the whole, is left out, and there may be no line.
    """
    lines = [f"{label(path)}: {what}" for path, what in complaints(error, model, data, partial=partial)]
    if len(lines) > MOST_SHOWN:
        lines[MOST_SHOWN:] = [f"and {len(lines) - MOST_SHOWN} more"]
    return "\n".join(lines)


def complaints(
    error: ValidationError, model: type[BaseModel], data: Any, *, partial: bool = False
) -> list[tuple[KeyPath, str]]:
    """Each wrong value of `data` by its key path, with what was found and what is allowed; as `describe` says it."""
    located = [
        (_data_path(item["loc"], data), item)
        for item in error.errors(include_url=False)
        if not (partial and (item["type"] == "missing" or not item["loc"]))
    ]
    return [
        (path, _complaint([item for _, item in group], model, path))
        for path, group in groupby(located, key=lambda pair: pair[0])
    ]


def labelled(place: str, path: KeyPath) -> str:
    """`PLACE: key.path`, the beginning of a line about a value; `--set key.path` names the key by itself."""
    key = dotted(path) or "the document"
    return place if place.endswith(f" {key}") else f"{place}: {key}"


def dotted(path: Sequence[str | int]) -> str:
    """A key path as people write it: `search.concepts.0`."""
    return ".".join(str(part) for part in path)


def shown(value: object) -> str:
    """What was found, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(repr(str(key)) for key in list(value)[:4])}" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def field_names(model: type[BaseModel]) -> list[str]:
    """The keys that the model declares, as they are written in files."""
    return [info.alias or name for name, info in model.model_fields.items()]


def _complaint(items: Sequence[ErrorDetails], model: type[BaseModel], path: KeyPath) -> str:
    first = items[0]
    kind = first["type"]
    if kind == "extra_forbidden":
        allowed = sorted({name for found in _models_at(model, path[:-1]) for name in field_names(found)})
        return f"unknown key{did_you_mean(str(path[-1]), allowed)}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"missing; {_expected_field(model, path)}"
    wishes = list(dict.fromkeys(_wish(item) for item in items))
    if kind in ("value_error", "assertion_error") and isinstance(first["input"], Mapping | list | tuple):
        return " or ".join(wishes)  # it speaks of what is in there
    if any(found.model_config.get("hide_input_in_errors") for found in _models_around(model, path)):
        return f"found something that is not shown; {' or '.join(wishes)}"
    return f"found {shown(first['input'])}; {' or '.join(wishes)}{_near(first)}"


def _wish(item: ErrorDetails) -> str:
    """`expected …`, from pydantic's own words."""
    message = item["msg"]
    if item["type"] in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        return "expected a mapping of keys to values"
    if item["type"] in ("tuple_type", "list_type", "set_type"):
        return "expected a list"
    if item["type"] == "union_tag_invalid":
        return f"expected type {item['ctx']['expected_tags']}"
    if item["type"] == "union_tag_not_found":
        return "expected the key 'type', which says which kind it is"
    for start in ("Input should be ", "Value error, ", "Assertion failed, "):
        if message.startswith(start):
            rest = message.removeprefix(start)
            return f"expected {rest}" if start.startswith("Input") else rest
    return message[:1].lower() + message[1:]


def _near(item: ErrorDetails) -> str:
    context = item.get("ctx", {})
    expected = context.get("expected") or context.get("expected_tags")
    found = item["input"]
    if item["type"] == "union_tag_invalid":
        found = context.get("tag")
    if not isinstance(expected, str) or not isinstance(found, str):
        return ""
    return did_you_mean(found, [part.strip(" '") for part in expected.replace(" or ", ",").split(",")])


def _expected_field(model: type[BaseModel], path: KeyPath) -> str:
    for found in _models_at(model, path[:-1]):
        info = found.model_fields.get(str(path[-1]))
        if info is not None:
            return f"expected {_kinds(info.annotation)}" + (f" ({info.description})" if info.description else "")
    return "it has to be given"


def _kinds(annotation: Any) -> str:
    """What an annotation takes, in the words of somebody who writes files."""
    members = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(map(repr, members))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_kinds, members)))
    return _KINDS.get(get_origin(annotation) or annotation, "a mapping of keys to values")


def _data_path(location: Sequence[str | int], data: Any) -> KeyPath:
    """The part of pydantic's location that is in the data: names of union members and of validators are left out."""
    path: list[str | int] = []
    here = data
    for position, part in enumerate(location):
        inner = entry(here, part)
        last = position == len(location) - 1
        if inner is not ABSENT:
            here = inner
        elif not last or not isinstance(here, Mapping) or _is_internal(part):
            continue
        path.append(part)
    return tuple(path)


def entry(data: Any, part: str | int) -> Any:
    """What stands in a mapping or list under `part`, ABSENT when nothing does."""
    if isinstance(data, Mapping):
        return data.get(part, ABSENT)
    if isinstance(data, list | tuple) and isinstance(part, int) and 0 <= part < len(data):
        return data[part]
    return ABSENT


def _is_internal(part: str | int) -> bool:
    return isinstance(part, str) and (part == "[key]" or "[" in part or "(" in part)


def _models_at(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    """The models that a value at `path` may have. Keys of plain mappings and indexes of lists lead nowhere new."""
    current = [model]
    for part in path:
        fields = [found.model_fields[str(part)] for found in current if str(part) in found.model_fields]
        if fields:
            current = [found for info in fields for found in _models_in(info.annotation)]
    return current


def _models_around(model: type[BaseModel], path: KeyPath) -> list[type[BaseModel]]:
    """The models that a value at `path` may have, and those that it may be a field of."""
    return _models_at(model, path) + _models_at(model, path[:-1])


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]
