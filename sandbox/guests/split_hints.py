"""Annotations of the solution's that are text: what asks for type hints evaluates them, among the tests.

`typing.get_type_hints` and `inspect.get_annotations(eval_str=True)` run such a text as an expression. So only names,
dots, subscripts and `|` stay as they are: nothing in them calls or binds. Any other text is shown with a mark that no
compiler takes.
"""

from typing import Any

MARK = "?"
HARMLESS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ .,[]|")
MOST_CHARACTERS = 1000


def shown_annotations(value: Any) -> Any:
    """The annotations of an object as the tests may have them."""
    if not issubclass(type(value), dict) or getattr(type(value), "prism_number", 0):
        return None if value is None else {}  # what only stands for a mapping would be asked for its texts later
    return {name: shown(each) if isinstance(each, str) else each for name, each in dict.items(value)}


def shown(text: str) -> str:
    """A text that is harmless to evaluate, the same where it is so already."""
    text = str.__str__(text)  # the data alone: a text of a class of the solution's may decide what joining it gives
    if len(text) > MOST_CHARACTERS or not HARMLESS.issuperset(text):
        return MARK + text
    words = "".join(each if each.isalnum() or each == "_" else " " for each in text).split()
    return MARK + text if any(word in KEYWORDS for word in words) else text


# `for` binds what stands before it, an attribute too; the others have no place in a type.
KEYWORDS = frozenset(
    {"and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
     "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise",
     "return", "try", "while", "with", "yield"}
)  # fmt: skip
