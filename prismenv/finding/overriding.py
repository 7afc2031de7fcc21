"""A plugin's source rewritten so that it overrides: edits by syntax tree, at the place and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

from prismenv.words.errors import ConfigurationException

_DECORATORS = ("register", "register_environment_method")


def declare_overrides(source: str, name: str) -> str:
    """The source with `overrides=True` in every registration. ConfigurationException where it has none."""
    try:
        calls = [call for call in _registrations(ast.parse(source)) if not _declared(call)]
    except SyntaxError as error:
        raise ConfigurationException(f"{name}:{error.lineno}: {error.msg}", subject=name) from error
    lines = source.encode().splitlines(keepends=True)
    for call in sorted(calls, key=_end, reverse=True):
        line, column = _end(call)
        lines[line - 1] = lines[line - 1][:column] + b", overrides=True" + lines[line - 1][column:]
    edited = b"".join(lines).decode()
    after = list(_registrations(ast.parse(edited)))
    if not after or not all(map(_declared, after)):
        raise ConfigurationException(
            f"{name}: finds no registration that it can mark with overrides=True", subject=name
        )
    return edited


def relative_imports(path: Path) -> list[Path]:
    """The files beside `path` that it imports as `from ._shared import …`, and those that they import; sorted."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        for node in ast.walk(ast.parse(current.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                near = {path.parent / f"{name.split('.')[0]}.py" for name in names if name}
                new = {file for file in near if file.is_file() and file != path} - found
                found |= new
                waiting.extend(new)
    return sorted(found)


def _registrations(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", None) in _DECORATORS:
                    yield decorator


def _declared(call: ast.Call) -> bool:
    return any(keyword.arg == "overrides" for keyword in call.keywords)


def _end(call: ast.Call) -> tuple[int, int]:
    """Where the last argument ends: line from 1, column in bytes."""
    parts = [*call.args, *(keyword.value for keyword in call.keywords)]
    return max(((part.end_lineno or 0, part.end_col_offset or 0) for part in parts), default=(1, 0))
