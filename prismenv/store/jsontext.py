"""JSON that takes whatever an environment returned.

What JSON cannot say is written as the nearest thing that it can, so a result is never lost for one odd value: a tuple
or a set as a list, an object as its `repr`, a number that is not finite as null, an integer that Python would not
convert as its digits.
"""

import json
import math
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json

from prismenv.words.errors import StorageException

_MOST_DIGITS = 4000  # below what Python converts between text and integer


def dump(value: Any, *, exclude: set[str] | None = None) -> str:
    """Strict JSON of plain data or a record, without the keys in `exclude`; StorageException for data with a cycle."""
    try:
        return to_json(value, exclude=exclude, inf_nan_mode="null", fallback=repr).decode()
    except PydanticSerializationError:
        return _dump_slowly(value, exclude or set())


def load(text: str) -> Any:
    """What `dump` wrote."""
    try:
        return from_json(text)
    except ValueError:  # lone surrogates, deep nesting, huge integers
        return json.loads(text, parse_int=_integer)


def encodable(text: str) -> str:
    """The text, its lone surrogates replaced: no encoding can write them, and no database takes them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _dump_slowly(value: Any, exclude: set[str]) -> str:
    """For lone surrogates, raw bytes and deep nesting, which the quick writer refuses."""
    try:
        plain = _plain(value)
        if exclude:
            plain = {key: item for key, item in plain.items() if key not in exclude}
        return json.dumps(plain, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise StorageException(
            f"A result cannot be written as JSON: {error}.",
            code="unstorable_result",
            hint="Return plain data (texts, numbers, lists, mappings with text keys), without cycles or great depth.",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel | dict):
        return {str(key): _plain(item) for key, item in dict(value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | bool | int) else repr(value)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) < _MOST_DIGITS else digits
