"""Data of the standard library that crosses by value: what it is made of, and how it is made again of checked parts."""

import sys
from collections.abc import Callable
from typing import Any

DECIMAL_CHARACTERS = 20_000
MOST_EXPONENT = 20_000
NAMED_DATA = {
    ("datetime", "datetime"), ("datetime", "date"), ("datetime", "time"), ("datetime", "timedelta"),
    ("datetime", "timezone"), ("decimal", "Decimal"), ("fractions", "Fraction"), ("uuid", "UUID"),
    ("collections", "Counter"), ("collections", "OrderedDict"), ("collections", "defaultdict"),
    ("collections", "deque"), ("pathlib", "PosixPath"), ("pathlib", "PurePosixPath"),
    ("pathlib._local", "PosixPath"), ("pathlib._local", "PurePosixPath"),
}  # fmt: skip
FACTORIES = {None: None, "int": int, "list": list, "set": set, "dict": dict, "str": str, "float": float, "tuple": tuple}
FIELDS = {
    "datetime": ("year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo", "fold"),
    "time": ("hour", "minute", "second", "microsecond", "tzinfo", "fold"),
    "date": ("year", "month", "day"),
    "timedelta": ("days", "seconds", "microseconds"),
    "Fraction": ("numerator", "denominator"),
}


PLAIN = frozenset(
    {int, float, str, bool, type(None), bytes, complex, list, tuple, dict, set, frozenset, bytearray, range, slice}
)


class MalformedError(Exception):
    """What came is nothing that the format knows, or more than it allows."""


def wants(content: Any, kind: type, *kinds: type) -> Any:
    """`content` if it is exactly of one of the kinds."""
    if type(content) is not kind and type(content) not in kinds:
        raise MalformedError(f"{type(content).__name__} where {kind.__name__} is due")
    return content


def is_library(module: str) -> bool:
    """Whether both sides have a module: the standard library's, or numpy's where it is offered."""
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names or (root == "numpy" and root in sys.modules)


def is_plain(value: Any) -> bool:
    """Whether a value is plain data, or data of the standard library."""
    kind = type(value)
    return kind in PLAIN or kind.__module__ in ("datetime", "decimal", "fractions", "collections", "numpy")


def parts_of(name: str, value: Any) -> list[Any] | None:
    """What a value of the standard library is made of; None where that is no data."""
    if name in FIELDS:
        return [getattr(value, field) for field in FIELDS[name]]
    if name == "timezone":
        return [value.utcoffset(None), value.tzname(None)]
    if name in ("Counter", "OrderedDict"):
        return [dict(value)]
    if name == "defaultdict":
        factory = getattr(value.default_factory, "__name__", None)
        known = factory in FACTORIES and FACTORIES[factory] is value.default_factory
        return [dict(value), factory] if known else None
    return [list(value), value.maxlen] if name == "deque" else [str(value)]


def named_of(name: Any, content: dict[str, Any]) -> Any:
    maker = MAKERS.get(name)
    if maker is None:
        raise MalformedError("data of an unknown name")
    return maker(*wants(content["p"], list))


def _from(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


def _moment(kind: str, *parts: Any) -> Any:
    *numbers, zone, fold = parts
    wants(zone, type(None), _from("datetime", "timezone"))
    return _from("datetime", kind)(*(wants(each, int) for each in numbers), tzinfo=zone, fold=wants(fold, int))


def _zone(offset: Any, name: Any) -> Any:
    timezone = _from("datetime", "timezone")
    wants(offset, _from("datetime", "timedelta"))
    return timezone(offset) if timezone(offset).tzname(None) == name else timezone(offset, wants(name, str))


def _decimal(text: Any) -> Any:
    if len(wants(text, str)) > DECIMAL_CHARACTERS:
        raise MalformedError("a Decimal of too many digits")
    value = _from("decimal", "Decimal")(text)
    if value.is_finite() and abs(value.as_tuple().exponent) > MOST_EXPONENT:
        raise MalformedError("a Decimal with too large an exponent")
    return value


def _default_dict(content: Any, factory: Any) -> Any:
    return _from("collections", "defaultdict")(FACTORIES[factory], wants(content, dict))


def _ordered(content: Any) -> Any:
    return _from("collections", "OrderedDict")(wants(content, dict))


def _counter(content: Any) -> Any:
    counter = _from("collections", "Counter")()
    dict.update(counter, wants(content, dict))
    return counter


MAKERS: dict[str, Callable[..., Any]] = {
    "datetime": lambda *parts: _moment("datetime", *parts),
    "time": lambda *parts: _moment("time", *parts),
    "date": lambda *parts: _from("datetime", "date")(*(wants(part, int) for part in parts)),
    "timedelta": lambda *parts: _from("datetime", "timedelta")(*(wants(part, int) for part in parts)),
    "timezone": _zone,
    "Decimal": _decimal,
    "Fraction": lambda top, bottom: _from("fractions", "Fraction")(wants(top, int), wants(bottom, int)),
    "UUID": lambda text: _from("uuid", "UUID")(wants(text, str)),
    "Counter": _counter,
    "OrderedDict": _ordered,
    "defaultdict": _default_dict,
    "deque": lambda items, most: _from("collections", "deque")(wants(items, list), wants(most, int, type(None))),
    "PosixPath": lambda text: _from("pathlib", "PosixPath")(wants(text, str)),
    "PurePosixPath": lambda text: _from("pathlib", "PurePosixPath")(wants(text, str)),
}
