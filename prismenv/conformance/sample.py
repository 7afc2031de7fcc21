"""The smallest value that a JSON Schema takes, as far as schemas of actions go. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

_DEPTH = 16
_PARTS = 10_000  # of a value: a stranger's schema may ask for more than there is room for
_CHARACTERS = 1_000
_TEXT = "hello"


def sample(schema: Mapping[str, Any]) -> Any:
    """A value for the schema: required keys alone, a short text, the lowest numbers.

    None where it cannot be told, and for what is no schema: it is a stranger's.
    """
    try:
        return _Sampler(schema.get("$defs", {})).value(schema, _DEPTH)
    except (TypeError, ValueError, AttributeError, LookupError):
        return None


class _Sampler:
    """Makes one value. ValueError where it has too many parts."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._parts = 0

    def value(self, schema: Any, depth: int) -> Any:
        self._parts += 1
        if self._parts > _PARTS:
            raise ValueError("a value of too many parts")
        if not isinstance(schema, Mapping) or depth == 0:
            return None
        if "$ref" in schema:
            return self.value(self._definitions.get(str(schema["$ref"]).rpartition("/")[2]), depth - 1)
        given = [schema[key] for key in ("const", "default") if key in schema] or list(schema.get("enum", ()))
        if given:
            return given[0]
        several = next((schema[key] for key in ("anyOf", "oneOf", "allOf") if schema.get(key)), None)
        if several:
            return self.value(several[0], depth - 1)
        kind = schema.get("type", "object" if "properties" in schema else None)
        make = _KINDS.get(kind) if isinstance(kind, str) else None
        return None if make is None else make(schema, lambda inner: self.value(inner, depth - 1))


def _object(schema: Mapping[str, Any], inner: Callable[[Any], Any]) -> dict[str, Any]:
    known = schema.get("properties", {})
    return {name: inner(known.get(name)) for name in schema.get("required", ())}


def _array(schema: Mapping[str, Any], inner: Callable[[Any], Any]) -> list[Any]:
    return [inner(schema.get("items")) for _ in range(int(schema.get("minItems", 0)))]


def _text(schema: Mapping[str, Any], _inner: Callable[[Any], Any]) -> str:
    least = min(int(schema.get("minLength", 0)), _CHARACTERS)
    return _TEXT.ljust(least, "o")[: int(schema.get("maxLength", _CHARACTERS))]


def _number(schema: Mapping[str, Any], _inner: Callable[[Any], Any]) -> Any:
    return schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else schema.get("minimum", 0)


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Callable[[Any], Any]], Any]] = {
    "object": _object,
    "array": _array,
    "string": _text,
    "integer": _number,
    "number": _number,
    "boolean": lambda _schema, _inner: False,
}
