"""Python text read safely: whether it parses, whether it means anything, which names it defines and reads.

Text comes from models. Nothing here runs it, and nothing raises for it: what cannot be parsed is None.
"""

import ast
import warnings
from dataclasses import dataclass

MOST_CHARACTERS = 2**20  # longer text is no program that anybody wrote
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IDLE = (ast.Name, ast.Constant, ast.Attribute, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.JoinedStr, ast.Compare)
_IDLE_OPERATIONS = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Subscript, ast.Slice, ast.Starred)


@dataclass(frozen=True, slots=True)
class Source:
    """A text that parses as Python, with its syntax tree."""

    text: str
    tree: ast.Module


def parse(text: str) -> ast.Module | None:
    """The syntax tree of `text`, None where it is no Python (or too long, or too deep to be read)."""
    if len(text) > MOST_CHARACTERS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a compiler's remark about an escape sequence is nobody's business here
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return None


def read(text: str) -> Source | None:
    """`text` with its tree, None where it does not parse or is mere words: `Done` and `Note: this` are names."""
    tree = parse(text)
    return Source(text, tree) if tree is not None and any(map(_acts, tree.body)) else None


def functions(tree: ast.Module) -> list[str]:
    """Names of the functions at module level, lambdas that are given a name among them; each once, in order."""
    names = [name for statement in tree.body for name in _function_names(statement)]
    return list(dict.fromkeys(names))


def definitions(tree: ast.Module) -> set[str]:
    """Names of the functions and classes at module level."""
    classes = {statement.name for statement in tree.body if isinstance(statement, ast.ClassDef)}
    return classes | set(functions(tree))


def bound(tree: ast.AST) -> set[str]:
    """All names that are bound anywhere in the tree, in whatever scope."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                names.add(node.id)
        elif isinstance(node, _SCOPES):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
    return names


def loaded(tree: ast.AST) -> set[str]:
    """All names that are read anywhere in the tree."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _acts(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, _IDLE + _IDLE_OPERATIONS)
    return not (isinstance(statement, ast.AnnAssign) and statement.value is None)


def _function_names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return []
