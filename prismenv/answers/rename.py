"""The tests' placeholder `function_to_test` is bound to the solution's function, by syntax tree.

Which function is meant: the only public one at module level; of several, the only one whose name the suite says; else
the only one that the statement names; else the only one that no other calls; else the last.

Names are edited where they stand, so that lines stay where they are; strings and comments are left alone. Where the
new name would meet one that the suite binds itself, the placeholder is imported under its own name instead, on a line
of its own.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from prismenv.answers.syntax import bound, functions, loaded, parse

PLACEHOLDER = "function_to_test"
SOLUTION = "solution"  # the module name under which a suite may import the solution
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class _Edit:
    line: int  # from 1
    column: int  # in bytes of UTF-8, as syntax trees count
    old: bytes
    new: bytes


def bind_function_to_test(tests: str, solution: str, statement: str | None = None) -> str:
    """`tests` with `function_to_test` renamed to the function of `solution` that is meant.

    Unchanged where the tests do not use the placeholder or define it, where the solution defines it, where the solution
    has no public function, and where either is no Python: the verdict will say what is wrong then.
    """
    if PLACEHOLDER not in tests:
        return tests
    suite, program = parse(tests), parse(solution)
    if suite is None or program is None or PLACEHOLDER in bound(program) or _is_defined(suite):
        return tests
    name = meant_function(program, suite, statement)
    if name is None or not any(True for _ in _uses(suite)):
        return tests
    edits = [_edit(node, name) for node in _uses(suite)]
    everywhere = None if name in bound(suite) else _edited(tests, edits)
    if everywhere is not None:
        return everywhere
    of_the_module = [_edit(node, name) for node in _uses(suite) if not isinstance(node, ast.Name)]
    edited = _edited(tests, of_the_module)
    return _imported(tests if edited is None else edited, suite, name)


def meant_function(program: ast.Module, suite: ast.Module, statement: str | None = None) -> str | None:
    """The function of a solution that a suite with a placeholder is about; None without any public function."""
    names = [name for name in functions(program) if not name.startswith("_")]
    if len(names) <= 1:
        return names[0] if names else None
    said = loaded(suite) | {node.attr for node in ast.walk(suite) if isinstance(node, ast.Attribute)}
    called = {
        name
        for definition in program.body
        if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in loaded(definition) - {definition.name}
    }
    stated = set(re.findall(r"\w+", statement or ""))
    for some in (
        [name for name in names if name in said],
        [name for name in names if name in stated],
        [name for name in names if name not in called],
    ):
        if len(some) == 1:
            return some[0]
    return names[-1]


def _is_defined(suite: ast.Module) -> bool:
    """True where the suite itself binds the placeholder at module level, but for an import from the solution."""
    for statement in suite.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == SOLUTION:
            continue
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if statement.name == PLACEHOLDER:
                return True
        elif PLACEHOLDER in bound(statement):
            return True
    return False


def _uses(suite: ast.Module) -> Iterator[ast.Name | ast.Attribute | ast.alias]:
    """Where the placeholder means the solution's function; not in functions that bind the name themselves."""
    waiting: list[ast.AST] = [suite]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and PLACEHOLDER in _own_names(node):
            continue
        if isinstance(node, ast.Name) and node.id == PLACEHOLDER and isinstance(node.ctx, ast.Load):
            yield node
        elif isinstance(node, ast.Attribute) and node.attr == PLACEHOLDER and isinstance(node.value, ast.Name):
            if node.value.id == SOLUTION:
                yield node
        elif isinstance(node, ast.ImportFrom) and node.module == SOLUTION:
            yield from (alias for alias in node.names if alias.name == PLACEHOLDER)
        waiting.extend(ast.iter_child_nodes(node))


def _own_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Names that belong to a function itself; what it imports from the solution is the solution's."""
    names = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    body = function.body if isinstance(function.body, list) else []
    for statement in body:
        if not (isinstance(statement, ast.ImportFrom) and statement.module == SOLUTION):
            names |= bound(statement)
    return names


def _edit(node: ast.Name | ast.Attribute | ast.alias, name: str) -> _Edit:
    new = name
    column, line = node.col_offset, node.lineno
    if isinstance(node, ast.alias):
        new = name if node.asname else f"{name} as {PLACEHOLDER}"
    elif isinstance(node, ast.Attribute):
        line, column = node.end_lineno or line, (node.end_col_offset or 0) - len(PLACEHOLDER)
    return _Edit(line, column, PLACEHOLDER.encode(), new.encode())


def _edited(text: str, edits: list[_Edit]) -> str | None:
    """`text` after all edits; None where one does not meet the name it is for (as within f-strings before 3.12)."""
    data = text.encode("utf-8", "surrogatepass")
    starts = [0, *(found.end() for found in _LINE_ENDS.finditer(data))]
    pieces: list[bytes] = []
    done = len(data)
    for edit in sorted(edits, key=lambda edit: (edit.line, edit.column), reverse=True):
        at = starts[edit.line - 1] + edit.column if edit.line <= len(starts) else -1
        if at < 0 or data[at : at + len(edit.old)] != edit.old or at + len(edit.old) > done:
            return None
        pieces += (data[at + len(edit.old) : done], edit.new)
        done = at
    pieces.append(data[:done])
    return b"".join(reversed(pieces)).decode("utf-8", "surrogatepass")


def _imported(tests: str, suite: ast.Module, name: str) -> str:
    """The suite with one line before its first statement that binds the placeholder to the solution's function."""
    first = next((statement for statement in suite.body if not _stands_first(statement)), None)
    line = first.lineno if first is not None else 1
    decorators = getattr(first, "decorator_list", [])
    line = min([line, *(decorator.lineno for decorator in decorators)])
    data = tests.encode("utf-8", "surrogatepass")
    at = [0, *(found.end() for found in _LINE_ENDS.finditer(data))][line - 1]
    new = f"from {SOLUTION} import {name} as {PLACEHOLDER}\n".encode()
    return (data[:at] + new + data[at:]).decode("utf-8", "surrogatepass")


def _stands_first(statement: ast.stmt) -> bool:
    """A docstring, or an import from the future: nothing may stand before them."""
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return docstring or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__")
