"""What the variants of a test are called: by literals of the suite's own, by place where there is none."""

from _ast import Constant, UAdd, UnaryOp, USub
from typing import Any, NamedTuple


class Element(NamedTuple):
    """One set of values of a written list. `texts` None: not a literal; `fixed` is the id that `pytest.param` gives."""

    fixed: str | None
    texts: list[str | None]
    own: bool


class Parameters(NamedTuple):
    """What can be seen of one list of parameters. `elements` None: it is computed; `own`: by the suite alone."""

    counted: bool
    own: bool
    elements: list[Element] | None
    ids: list[str | None] | None
    own_ids: bool
    line: int


def literal_text(node: Any) -> str | None:
    """A literal as it stands in a test's name; None for anything else."""
    sign = ""
    if isinstance(node, UnaryOp) and isinstance(node.op, (USub, UAdd)):
        sign = "-" if isinstance(node.op, USub) else ""
        node = node.operand
        if not isinstance(node, Constant) or type(node.value) not in (int, float, complex):
            return None
    return text_of(node.value, sign) if isinstance(node, Constant) else None


def text_of(value: Any, sign: str = "") -> str | None:
    """A plain value as it stands in a test's name; None when it is nothing plain."""
    if type(value) is str:
        return value.encode("unicode_escape", "backslashreplace").decode("ascii")
    if type(value) is bytes:
        return value.decode("ascii", "backslashreplace")
    if value is None or type(value) in (bool, int, float, complex):
        try:
            return sign + str(value)
        except ValueError:  # an int with more digits than may be printed
            return None
    return None


def id_text(node: Any) -> str | None:
    """An id that is written in a list of them; None there means that there is none."""
    return None if isinstance(node, Constant) and node.value is None else literal_text(node)


def split_names(text: str) -> list[str]:
    """`"a, b"` as a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def set_names(names: list[str], found: Parameters, given: list[str | None]) -> list[str]:
    """What the sets of a list are called: by an id, by their literals, by the place of what is none. All different.

    `given` are ids that the suite computed, None where it did not.
    """
    elements = (
        found.elements if found.elements is not None else [Element(None, [None] * len(names), own=False)] * len(given)
    )
    made = []
    for index, (element, computed) in enumerate(zip(elements, given, strict=True)):
        listed = found.ids[index] if found.ids is not None and index < len(found.ids) else None
        parts = [
            text if text is not None else f"{name}{index}" for name, text in zip(names, element.texts, strict=True)
        ]
        made.append(listed or element.fixed or computed or "-".join(parts))
    return told_apart(made)


def told_apart(made: list[str]) -> list[str]:
    """The same names, those that stand more than once with a number behind."""
    twice = {name for name in made if made.count(name) > 1} if len(set(made)) < len(made) else set()
    taken = set(made) - twice
    counts: dict[str, int] = dict.fromkeys(twice, 0)
    found = []
    for name in made:
        if name in twice:
            base = name + ("_" if name[-1:].isdigit() else "")
            while f"{base}{counts[name]}" in taken:
                counts[name] += 1
            name = f"{base}{counts[name]}"  # noqa: PLW2901 - it is what the loop makes
            taken.add(name)
        found.append(name)
    return found
