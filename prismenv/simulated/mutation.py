"""Plausible bugs: small edits of a solution, found in its syntax tree and written as changes of its text.

Theory of operation. Each operator walks the tree and proposes edits; an edit replaces one stretch of the source, so a
mutant keeps the reference's layout and comments, needs no unparser, and reads the same under every Python version.
Proposals are only candidates: whether one is a bug is decided by running the suite when the bank is built
(`mutants.py`), never here.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One bug: the characters from `start` up to `stop` become `text`. `operator` names the kind of slip."""

    operator: str
    start: int
    stop: int
    text: str

    def apply(self, source: str) -> str:
        """`source` with this bug in it."""
        return f"{source[: self.start]}{self.text}{source[self.stop :]}"


class SourceTree:
    """A parsed source that knows where each node stands, in characters."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = ast.parse(source)
        self._lines = source.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)

    def nodes(self) -> Iterator[ast.AST]:
        """All nodes but those inside f-strings, whose places Python 3.11 does not know."""
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            yield node
            if not isinstance(node, ast.JoinedStr):
                pending.extend(ast.iter_child_nodes(node))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Where `node` begins and ends in the source."""
        assert node.end_lineno is not None  # ast.parse always sets them  # noqa: S101
        assert node.end_col_offset is not None  # noqa: S101
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """The source of `node`."""
        start, stop = self.span(node)
        return self.source[start:stop]

    def replace(self, operator: str, node: ast.expr | ast.stmt, text: str) -> Edit:
        """The edit that puts `text` in the place of `node`."""
        return Edit(operator, *self.span(node), text)

    def between(self, operator: str, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Edit]:
        """The edit that changes the token `old` between two nodes."""
        start, stop = self.span(left)[1], self.span(right)[0]
        found = re.search(rf"(?<![\w<>=!*/]){re.escape(old)}(?![\w<>=*/])", self.source[start:stop])
        if found:
            yield Edit(operator, start + found.start(), start + found.end(), new)

    def _place(self, line: int, column: int) -> int:
        text = self._lines[line - 1]
        if not text.isascii():
            column = len(text.encode()[:column].decode())
        return self._starts[line - 1] + column


_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "%"),
    ast.Mod: ("%", "//"),
    ast.Div: ("/", "//"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
_TWINS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "bisect_left": "bisect_right",
    "bisect_right": "bisect_left",
    "pop": "popleft",
    "popleft": "pop",
    "lstrip": "strip",
    "extend": "append",
    "setdefault": "get",
}


def _comparison(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            yield from tree.between("comparison", left, right, *_COMPARISONS[type(operator)])


def _arithmetic(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield from tree.between("arithmetic", node.left, node.right, *_ARITHMETIC[type(node.op)])


def _swapped_operands(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.FloorDiv | ast.Mod | ast.Div):
        left, right = tree.text(node.left), tree.text(node.right)
        gap = tree.source[tree.span(node.left)[1] : tree.span(node.right)[0]]
        if "(" not in gap and ")" not in gap:
            yield tree.replace("swapped_operands", node, f"{right}{gap}{left}")


def _and_or(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BoolOp):
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from tree.between("and_or", left, right, *words)


def _is_int(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _off_by_one(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield tree.replace("off_by_one", node, str(node.value + 1))
        if node.value > 0:
            yield tree.replace("off_by_one", node, str(node.value - 1))


def _initial_value(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    for value in values:
        if _is_int(value):
            yield tree.replace("initial_value", value, "1" if tree.text(value) == "0" else "0")
        elif isinstance(value, ast.Constant) and isinstance(value.value, bool):
            yield tree.replace("initial_value", value, str(not value.value))


def _range_bounds(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        bounds = [tree.text(argument) for argument in node.args]
        stop = 0 if len(bounds) == 1 else 1
        for change in (" - 1", " + 1"):
            yield tree.replace("range_bounds", node.args[stop], f"{bounds[stop]}{change}")
        if stop:
            yield tree.replace("range_bounds", node.args[0], f"{bounds[0]} + 1")


def _swapped_arguments(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Call) and len(node.args) in (2, 3):
        first, second = node.args[:2]
        if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
            start, stop = tree.span(first)[0], tree.span(second)[1]
            gap = tree.source[tree.span(first)[1] : tree.span(second)[0]]
            yield Edit("swapped_arguments", start, stop, f"{tree.text(second)}{gap}{tree.text(first)}")


def _negated_condition(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            yield tree.replace("negated_condition", node.test, tree.text(node.test.operand))
        elif not isinstance(node.test, ast.Compare | ast.Constant):
            yield tree.replace("negated_condition", node.test, f"not ({tree.text(node.test)})")


def _block(tree: SourceTree, operator: str, body: list[ast.stmt]) -> Edit:
    return Edit(operator, tree.span(body[0])[0], tree.span(body[-1])[1], "pass")


def _missing_branch(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.If) and not isinstance(node.body[0], ast.Pass):
        yield _block(tree, "missing_branch", node.body)
        is_elif = len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)
        if node.orelse and not is_elif:
            yield _block(tree, "missing_branch", node.orelse)


def _dropped_statement(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.stmt):
        return
    simple = isinstance(node, ast.AugAssign | ast.Continue | ast.Break)
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    stores = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript | ast.Attribute)
    if simple or call or stores:
        yield tree.replace("dropped_statement", node, "pass")


def _wrong_return(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Return) or node.value is None:
        return
    value = node.value
    if isinstance(value, ast.Constant):
        if isinstance(value.value, bool):
            yield tree.replace("wrong_return", value, str(not value.value))
        elif value.value is not None:
            yield tree.replace("wrong_return", value, "None")
    elif isinstance(value, ast.List | ast.Dict) and not tree.text(value).strip("[]{} "):
        yield tree.replace("wrong_return", value, "None")
    elif isinstance(value, ast.Tuple) and len(value.elts) > 1 and not isinstance(value.elts[0], ast.Starred):
        yield tree.replace("wrong_return", value, tree.text(value.elts[0]))
    else:
        yield tree.replace("wrong_return", node, tree.text(value))


def _wrong_exception(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
        other = "RuntimeError" if node.exc.func.id != "RuntimeError" else "ValueError"
        yield tree.replace("wrong_exception", node.exc.func, other)


def _wrong_call(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        _, stop = tree.span(node.func)
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        twin = _TWINS.get(name)
        if twin:
            yield Edit("wrong_call", stop - len(name), stop, twin)


def _flipped_flag(tree: SourceTree, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
        yield tree.replace("flipped_flag", node.value, str(not node.value.value))


OPERATORS: tuple[Callable[[SourceTree, ast.AST], Iterator[Edit]], ...] = (
    _comparison,
    _off_by_one,
    _missing_branch,
    _range_bounds,
    _dropped_statement,
    _initial_value,
    _and_or,
    _arithmetic,
    _negated_condition,
    _swapped_operands,
    _wrong_return,
    _swapped_arguments,
    _wrong_call,
    _flipped_flag,
    _wrong_exception,
)


def candidates(source: str) -> list[Edit]:
    """All edits that give a program that parses and differs from `source`, sorted by place; no two give the same."""
    tree = SourceTree(source)
    edits = {edit for node in tree.nodes() for operator in OPERATORS for edit in operator(tree, node)}
    found: dict[str, Edit] = {}
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.stop, edit.operator, edit.text)):
        mutant = edit.apply(source)
        if mutant != source and _parses(mutant):
            found.setdefault(mutant, edit)
    return list(found.values())


def _parses(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except SyntaxError:
        return False
    return True
