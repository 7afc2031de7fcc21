"""Lets a plain `assert a == b` of a test say what both sides were.

The comparison of such a statement becomes a call that compares in the same order, once, and keeps both sides only when
it fails; its message becomes one that shows them. A statement with a message of its own stays as it is.
"""

from _ast import (
    Assert,
    Call,
    Compare,
    Eq,
    Gt,
    GtE,
    In,
    Is,
    IsNot,
    Load,
    Lt,
    LtE,
    Name,
    NotEq,
    NotIn,
)
from _operator import contains, eq, ge, gt, is_, is_not, le, lt, ne
from collections.abc import Callable
from typing import Any

SIDE_CHARACTERS = 160
WHY = "@why"  # no program can spell these names
OPERATORS: dict[type, tuple[str, Callable[[Any, Any], Any]]] = {
    Eq: ("==", eq),
    NotEq: ("!=", ne),
    Lt: ("<", lt),
    LtE: ("<=", le),
    Gt: (">", gt),
    GtE: (">=", ge),
    Is: ("is", is_),
    IsNot: ("is not", is_not),
    In: ("in", lambda item, items: contains(items, item)),
    NotIn: ("not in", lambda item, items: not contains(items, item)),
}


def rewrite(asserts: list[Assert]) -> dict[str, Any]:
    """Change these statements, and give the names that they now need in the suite's module."""
    for node in asserts:
        test: Any = node.test
        if isinstance(test, Compare):
            name = f"@{OPERATORS[type(test.ops[0])][0]}"
            node.test = _placed(Call(_placed(Name(name, Load()), test), [test.left, test.comparators[0]], []), test)
            node.msg = _placed(Call(_placed(Name(WHY, Load()), test), [], []), test)
    held: list[Any] = []

    def comparing(symbol: str, operate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
        def compare(left: Any, right: Any) -> bool:
            if operate(left, right):
                return True
            held[:] = left, symbol, right
            return False

        return compare

    def why() -> str:
        left, symbol, right = held
        held.clear()
        return f"assert {shown(left)} {symbol} {shown(right)}"

    return {WHY: why, **{f"@{symbol}": comparing(symbol, operate) for symbol, operate in OPERATORS.values()}}


def shown(value: Any) -> str:
    """A value in at most some hundred characters, whatever it is."""
    try:
        from reprlib import Repr  # noqa: PLC0415 - only a failure needs it

        short = Repr()
        short.maxlevel = 4
        short.maxstring = short.maxother = short.maxlong = SIDE_CHARACTERS
        short.maxlist = short.maxtuple = short.maxdict = short.maxset = short.maxfrozenset = 12
        text = short.repr(value)
    except BaseException:  # an object may not want to be printed
        return f"({type(value).__name__}, which cannot be printed)"
    half = SIDE_CHARACTERS // 2
    return text if len(text) <= SIDE_CHARACTERS else f"{text[:half]}...{text[-half:]}"


def _placed(node: Any, like: Any) -> Any:
    """The node at the place of another one: what asks for the place of a call finds the comparison."""
    for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
        setattr(node, name, getattr(like, name))
    return node
