"""What the syntax tree of a suite says that only a split verdict asks: classes that it names, arguments read again."""

from _ast import AST, Attribute, Call, ClassDef, ExceptHandler, Name, Tuple
from typing import Any

CLASS_USERS = frozenset(
    {"isinstance", "issubclass", "assertIsInstance", "assertNotIsInstance", "assertRaises", "assertRaisesRegex",
     "raises",
     "assertIsSubclass"}
)  # fmt: skip


def class_names(nodes: list[AST]) -> frozenset[str]:
    """Names that a suite, all of whose nodes these are, uses as only classes are used, however they are spelt."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Call):
            function = node.func
            used = function.attr if isinstance(function, Attribute) else getattr(function, "id", "")
            if used in CLASS_USERS:
                for argument in node.args:
                    found.update(_names(argument))
        elif isinstance(node, ClassDef):
            for base in node.bases:
                found.update(_names(base))
        elif isinstance(node, ExceptHandler) and node.type is not None:
            found.update(_names(node.type))
    return frozenset(found)


def _names(node: Any) -> list[str]:
    if isinstance(node, Tuple):
        return [name for each in node.elts for name in _names(each)]
    if isinstance(node, Attribute):
        return [node.attr]
    return [node.id] if isinstance(node, Name) else []
