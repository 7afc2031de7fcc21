"""`pytest.approx`: numbers that are near enough, alone, in sequences and in mappings."""

import math
from typing import Any

RELATIVE, ABSOLUTE = 1e-6, 1e-12
UNORDERED = (str, bytes, set, frozenset, dict)


def is_number(value: Any) -> bool:
    """Whether a value is a number of any kind, truth values not counted."""
    if isinstance(value, (int, float, complex)):
        return not isinstance(value, bool)
    from numbers import Number  # noqa: PLC0415 - only Decimal, Fraction and their like come here

    return isinstance(value, Number)


class Approx:
    """Equal to what is near `expected`. Nothing but `==` and `!=` is asked of it."""

    __array_ufunc__ = None  # an array on the left leaves the comparison to this class
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: Any, absolute: Any, nan_ok: bool) -> None:  # noqa: FBT001 - pytest's order
        if isinstance(expected, (set, frozenset)):
            raise TypeError("pytest.approx() does not support sets: they have no order")
        for given, name in ((rel, "relative"), (absolute, "absolute")):
            if given is not None and not given >= 0:
                raise ValueError(f"{name} tolerance can't be negative: {given}")
        self.expected = expected
        self.rel, self.abs, self.nan_ok = rel, absolute, nan_ok
        parts = expected.values() if isinstance(expected, dict) else expected
        if isinstance(expected, (dict, list, tuple)) and any(isinstance(part, (dict, list, tuple)) for part in parts):
            raise TypeError("pytest.approx() does not support nested data structures")

    def __eq__(self, actual: object) -> bool:
        expected = self.expected
        if isinstance(expected, dict):
            return self._agrees_as_mapping(actual)
        if is_number(expected) or isinstance(expected, (*UNORDERED, bool)) or not hasattr(expected, "__len__"):
            return self._agrees(expected, actual)
        return self._agrees_as_sequence(actual)

    def __ne__(self, actual: object) -> bool:
        return not self == actual

    def __bool__(self) -> bool:
        raise AssertionError("approx() is not supported in a boolean context.\nDid you mean: `assert a == approx(b)`?")

    def __repr__(self) -> str:
        expected = self.expected
        if isinstance(expected, dict):
            inner = ", ".join(f"{key!r}: {self._shown(value)}" for key, value in expected.items())
            return f"approx({{{inner}}})"
        if isinstance(expected, (list, tuple)):
            inner = ", ".join(self._shown(value) for value in expected)
            return f"approx([{inner}])" if isinstance(expected, list) else f"approx(({inner}))"
        return self._shown(expected)

    def _agrees_as_mapping(self, actual: Any) -> bool:
        try:
            if len(actual) != len(self.expected) or set(actual.keys()) != set(self.expected):
                return False
            return all(self._agrees(value, actual[key]) for key, value in self.expected.items())
        except (TypeError, AttributeError, KeyError):
            return False

    def _agrees_as_sequence(self, actual: Any) -> bool:
        if isinstance(actual, UNORDERED):
            return False
        try:
            if len(actual) != len(self.expected):
                return False
            return all(self._agrees(*pair) for pair in zip(self.expected, actual, strict=True))
        except (TypeError, ValueError):
            return False

    def _agrees(self, expected: Any, actual: Any) -> bool:
        if not is_number(expected) or not is_number(actual):
            return bool(expected == actual) or (expected is None and actual is None)
        if expected == actual:
            return True
        try:
            if _is_nan(expected):
                return self.nan_ok and _is_nan(actual)
            if math.isinf(abs(expected)) or math.isinf(abs(actual)):
                return False
            return bool(abs(expected - actual) <= self._tolerance(expected))
        except (TypeError, ArithmeticError):
            return False

    def _tolerance(self, expected: Any) -> Any:
        """How far an actual value may be away, as a number that goes with the expected one."""
        kind = type(expected) if not isinstance(expected, (int, float, complex)) else float
        convert = kind if kind.__name__ in ("Decimal", "Fraction") else float
        absolute = convert(str(ABSOLUTE)) if self.abs is None else convert(self.abs)
        if self.rel is None and self.abs is not None:
            return absolute
        relative = convert(str(RELATIVE)) if self.rel is None else convert(self.rel)
        return max(relative * abs(expected), absolute)

    def _shown(self, value: Any) -> str:
        if not is_number(value) or _is_nan(value) or math.isinf(abs(value)):
            return repr(value)
        return f"{value} \u00b1 {float(self._tolerance(value)):.1e}"


def _is_nan(value: Any) -> bool:
    return bool(value != value)  # noqa: PLR0124 - what holds of a nan of every kind
