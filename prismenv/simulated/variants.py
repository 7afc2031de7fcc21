"""Other shapes of a solution: names changed, an endless loop, a crash, a slip of the keyboard.

Each is made once for each challenge and kept. The sources are the bank's own, so parsing them is safe.
"""

import ast
import builtins
from collections.abc import Iterable
from functools import cache

from prismenv.simulated.bank import Challenge
from prismenv.simulated.mutation import Edit, SourceTree

_BUILTINS = frozenset(dir(builtins))
SUFFIXES = ("_value", "_now", "2")
_LOOP = "while True:\n{indent}    pass\n{indent}"
CRASHES = (
    "raise RuntimeError('this part is not finished')\n{indent}",
    "import sys\n{indent}sys.exit(1)\n{indent}",
    "import os\n{indent}os._exit(0)\n{indent}",
    "return undefined_name\n{indent}",
)


@cache
def renamed(challenge: Challenge, suffix: str) -> str:
    """The reference with `suffix` behind the names of its local variables; what it does is the same."""
    tree = SourceTree(challenge.solution)
    taken = set(_names_in(tree.tree))
    names = {name for name in _local_names(tree) if f"{name}{suffix}" not in taken}
    edits = [
        tree.replace("renamed", node, f"{node.id}{suffix}")
        for node in tree.nodes()
        if isinstance(node, ast.Name) and node.id in names
    ]
    return apply_all(challenge.solution, edits)


@cache
def hanging(challenge: Challenge) -> str:
    """The reference with an endless loop where its entry point begins."""
    return _inserted(challenge, _LOOP)


@cache
def crashing(challenge: Challenge, crash: str) -> str:
    """The reference with `crash`, one of CRASHES, where its entry point begins."""
    return _inserted(challenge, crash)


@cache
def misspelt(challenge: Challenge, *, cut_off: bool) -> str:
    """The reference with an error of syntax: an answer that ends half way, or a word that is misspelt."""
    source = challenge.solution
    start = _entry(SourceTree(source)).lineno - 1
    lines = source.split("\n")
    first = lines[start]
    if cut_off:
        middle = start + 1 + (len(lines) - start) // 2
        return "\n".join([*lines[:middle], "    return ("])
    return "\n".join([*lines[:start], first.replace("def ", "dfe ", 1), *lines[start + 1 :]])


def apply_all(source: str, edits: list[Edit]) -> str:
    """`source` with all of `edits`, which must not overlap."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        source = edit.apply(source)
    return source


def _entry(tree: SourceTree, name: str | None = None) -> ast.FunctionDef:
    """The module's function `name`; its last one when that is None or is no plain function."""
    functions = [node for node in tree.tree.body if isinstance(node, ast.FunctionDef)]
    return next((node for node in functions if node.name == name), functions[-1])


def _inserted(challenge: Challenge, text: str) -> str:
    tree = SourceTree(challenge.solution)
    first = _entry(tree, challenge.entry_point).body[0]
    place = tree.span(first)[0]
    return Edit("inserted", place, place, text.format(indent=" " * first.col_offset)).apply(challenge.solution)


def _local_names(tree: SourceTree) -> frozenset[str]:
    """Variables that can be renamed by their Name nodes alone: local, no parameter, in no f-string, no import."""
    nodes = list(ast.walk(tree.tree))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    kept = {name for node in nodes for name in _bound_otherwise(node)}
    bodies = [tree.tree.body, *(node.body for node in nodes if isinstance(node, ast.ClassDef))]
    for statement in (statement for body in bodies for statement in body):
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            kept.update(_names_in(statement))
    return frozenset(name for name in stored - kept - _BUILTINS if not name.startswith("_"))


def _bound_otherwise(node: ast.AST) -> Iterable[str | None]:
    match node:
        case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.ExceptHandler(name=name) | ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return (name,)
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return names
        case ast.alias():
            return ((node.asname or node.name).split(".")[0],)
        case ast.JoinedStr():
            return _names_in(node)
    return ()


def _names_in(node: ast.AST) -> list[str]:
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
