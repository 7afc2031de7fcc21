"""Gymnasium's spaces of what is described by a JSON Schema: texts, numbers and objects as Python has them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gymnasium.spaces import Space

LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+-()[]:,.\n"
LONGEST_SAMPLE = 40
MOST_ITEMS = 3
WIDEST = 1000  # how far from zero numbers are drawn where the schema says no bound
DEEPEST = 32  # schemas that name themselves are drawn from, and compared with, no deeper
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list, tuple),
    "object": (dict,),
}
_CHOICES = ("anyOf", "oneOf")


class JsonSpace(Space[Any]):
    """All values of JSON that fit a schema, as mappings, lists, texts, numbers, True, False and None.

    Of the schema these words count: type, enum, const, anyOf, oneOf, $ref to $defs, properties, required,
    additionalProperties, items, minItems, maxItems, minLength, maxLength, minimum, maximum and their exclusive forms.
    """

    def __init__(self, schema: Mapping[str, Any], seed: Any = None) -> None:
        super().__init__(None, None, seed)
        self.schema = dict(schema)

    @property
    def is_np_flattenable(self) -> bool:
        """Texts have no place in an array."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> Any:
        """A value that fits; neither masks nor probabilities are known."""
        if mask is not None or probability is not None:
            raise ValueError("a JSON space takes neither mask nor probability")
        return self._drawn(self.schema, 0)

    def contains(self, x: Any) -> bool:
        """Whether a value fits."""
        return self._fits(x, self.schema, 0)

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """They are JSON already."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[Any]:
        """The same."""
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonSpace) and other.schema == self.schema

    def __hash__(self) -> int:
        return hash(repr(self.schema))

    def __repr__(self) -> str:
        return f"JsonSpace({self.schema.get('title') or self.schema.get('type') or 'any'})"

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """A schema without its reference; anything goes where it refers to nothing that is known."""
        for _ in range(DEEPEST):
            reference = schema.get("$ref") if isinstance(schema, Mapping) else None
            if not isinstance(reference, str):
                break
            schema = self.schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
        return schema if isinstance(schema, Mapping) else {}

    # ---- membership

    def _fits(self, value: Any, given: Any, depth: int) -> bool:
        schema = self._resolved(given)
        if depth > DEEPEST:
            return False
        if "const" in schema and not _same(value, schema["const"]):
            return False
        if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
            return False
        for word in _CHOICES:
            if word in schema and not any(self._fits(value, each, depth + 1) for each in schema[word]):
                return False
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if kinds and not any(_is_a(value, kind) for kind in kinds):
            return False
        return _in_bounds(value, schema) and self._parts_fit(value, schema, depth)

    def _parts_fit(self, value: Any, schema: Mapping[str, Any], depth: int) -> bool:
        if isinstance(value, dict):
            known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
            if any(name not in value for name in schema.get("required", ())):
                return False
            rest = {name: each for name, each in value.items() if name not in known}
            if rest and (more is False or not all(self._fits(each, more, depth + 1) for each in rest.values())):
                return False
            return all(self._fits(value[name], each, depth + 1) for name, each in known.items() if name in value)
        if isinstance(value, list | tuple) and "items" in schema:
            return all(self._fits(each, schema["items"], depth + 1) for each in value)
        return True

    # ---- drawing

    def _drawn(self, given: Any, depth: int) -> Any:
        schema = self._resolved(given)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._one_of(schema["enum"])
        for word in _CHOICES:
            if word in schema:
                return self._drawn(
                    self._one_of(schema[word]) if depth < DEEPEST else _simplest(schema[word]), depth + 1
                )
        kind = schema.get("type", "object")
        return self._drawn_as(kind if isinstance(kind, str) else self._one_of(kind), schema, depth)

    def _drawn_as(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        if kind in ("integer", "number"):
            low, high = _bounds(schema)
            whole = kind == "integer"
            return self._whole(math.ceil(low), math.floor(high)) if whole else float(self.np_random.uniform(low, high))
        if kind in ("boolean", "null"):
            return bool(self._whole(0, 1)) if kind == "boolean" else None
        if kind == "string":
            length = self._length(schema, "Length", LONGEST_SAMPLE)
            return "".join(self._one_of(LETTERS) for _ in range(length))
        if kind == "array":
            length = self._length(schema, "Items", MOST_ITEMS if depth < DEEPEST else 0)
            return [self._drawn(schema.get("items", {}), depth + 1) for _ in range(length)]
        required = schema.get("required", ())
        chosen = {
            name: each
            for name, each in schema.get("properties", {}).items()
            if name in required or (depth < DEEPEST and self._whole(0, 1))
        }
        return {name: self._drawn(each, depth + 1) for name, each in chosen.items()}

    def _length(self, schema: Mapping[str, Any], of: str, usual: int) -> int:
        least = schema.get(f"min{of}", 0)
        return self._whole(least, max(least, min(schema.get(f"max{of}", usual), usual)))

    def _whole(self, low: int, high: int) -> int:
        return int(self.np_random.integers(low, high + 1))

    def _one_of(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.np_random.integers(len(choices)))]


def _same(value: Any, other: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ())) and not (isinstance(value, float) and not math.isfinite(value))


def _in_bounds(value: Any, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if isinstance(value, list | tuple):
        return bool(schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
        )
    return True


def _bounds(schema: Mapping[str, Any]) -> tuple[float, float]:
    """Between what numbers are drawn; exclusive bounds are kept off by one, or by half of what is between them."""
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None:
        low = -WIDEST if high is None else high - 2 * WIDEST
    if high is None:
        high = low + 2 * WIDEST
    step = min(1.0, (high - low) / 4)
    low = low + step if "exclusiveMinimum" in schema else low
    high = high - step if "exclusiveMaximum" in schema else high
    return low, high


def _simplest(choices: Sequence[Any]) -> Any:
    """The choice that ends: null where it is one."""
    return next((each for each in choices if isinstance(each, Mapping) and each.get("type") == "null"), choices[0])
