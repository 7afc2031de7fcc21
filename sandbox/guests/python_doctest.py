"""A suite of doctest examples: each docstring, or each block of a text, is one test for the standard module."""

import sys
from _ast import AsyncFunctionDef, ClassDef, Constant, Expr, FunctionDef
from types import ModuleType
from typing import Any, NamedTuple

from python_ids import told_apart
from python_report import Reporter
from python_suite import Suite, SuiteError
from python_world import offered_unittest

OWNERS = (FunctionDef, AsyncFunctionDef, ClassDef)
PROMPT = ">>> "


class ExampleError(AssertionError):
    """Examples of one test gave something else than they should."""


class Group(NamedTuple):
    """The examples of one test. `apart`: it has a namespace of its own."""

    name: str
    line: int
    examples: list[Any]
    apart: bool


class NoDebugger:
    """What doctest needs of pdb when nobody debugs: half of its start-up."""

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def reset(self) -> None:
        """Nothing to forget."""

    def set_trace(self, *_: Any) -> None:
        """Nothing to trace."""


def doctest_module() -> Any:
    """The standard module, without a debugger."""
    if "doctest" not in sys.modules:
        offered_unittest()
        before = sys.modules.get("pdb")
        pdb: Any = ModuleType("pdb")
        pdb.Pdb, pdb.set_trace = NoDebugger, None
        sys.modules["pdb"] = pdb
        try:
            __import__("doctest")
        finally:
            del sys.modules["pdb"]
            if before is not None:
                sys.modules["pdb"] = before
    return sys.modules["doctest"]


class Examples:
    """All examples of a suite, in groups."""

    def __init__(self, doctest: Any, groups: list[Group]) -> None:
        self.groups = groups
        self._doctest = doctest
        self._common: dict[str, Any] | None = None

    def run(self, group: Group, names: dict[str, Any], reporter: Reporter) -> None:
        """Run the examples of one group with these names. ExampleError tells of all that failed."""
        doctest = self._doctest
        if group.apart:
            names = dict(names)
        else:
            names = self._common = dict(names) if self._common is None else self._common

        class Runner(doctest.DocTestRunner):  # type: ignore[misc, name-defined]
            def report_unexpected_exception(self, out: Any, test: Any, example: Any, exc_info: Any) -> None:
                error = exc_info[1].with_traceback(exc_info[2].tb_next)
                text = reporter.detail(error).replace("\n", "\n    ")
                out(f"{self._failure_header(test, example)}Exception raised:\n    {text}\n")

        parts: list[str] = []
        test = doctest.DocTest(group.examples, names, group.name, "tests.py", group.line - 1, None)
        test.globs = names  # not a copy: the next block of a text goes on with them
        if Runner(verbose=False).run(test, out=parts.append, clear_globs=False).failed:
            raise ExampleError("".join(parts).replace("*" * 70 + "\n", "").rstrip("\n"))


def suite_of(text: str, modules: tuple[str, ...], parsed: Suite | None) -> Suite | None:
    """The suite that the examples of `text` make; None when there are none. `parsed` None: it is no Python."""
    doctest = doctest_module()
    found = _of_text(text) if parsed is None else _of_docstrings(parsed)
    groups = []
    for name, line, part in found:
        examples = _examples(doctest, part, line)
        if not all(example.options.get(doctest.SKIP) for example in examples):
            groups.append(Group(name, line, examples, apart=parsed is not None))
    if not groups:
        return None
    names = told_apart([group.name for group in groups])
    groups = [group._replace(name=name) for group, name in zip(groups, names, strict=True)]
    suite = parsed or Suite("", modules)
    known = Suite("".join(each.source for group in groups for each in group.examples if _is_python(each)), modules)
    suite.look_into(known)
    suite.is_check = False
    suite.examples = Examples(doctest, groups)
    suite.expect(names)
    return suite


def _examples(doctest: Any, part: str, line: int) -> list[Any]:
    try:
        return doctest.DocTestParser().get_examples(part)  # type: ignore[no-any-return]
    except ValueError as error:
        raise SuiteError(f"tests.py, the examples from line {line} on: {error}") from None


def _is_python(example: Any) -> bool:
    try:
        compile(example.source, "tests.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # an example may well show a syntax error
        return False
    return True


def _of_text(text: str) -> list[tuple[str, int, str]]:
    """Blocks of a text between blank lines that hold an example: what each is called, its first line, its text."""
    found, block, begun = [], [], 1
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            begun = begun if block else number
            block.append(line)
        else:
            if any(each.lstrip().startswith(PROMPT) for each in block):
                found.append((f"examples of line {begun}", begun, "\n".join(block)))
            block = []
    return found


def _of_docstrings(suite: Suite) -> list[tuple[str, int, str]]:
    """Docstrings that hold an example: whose each is, its first line, its text."""
    found = []
    waiting: list[tuple[str, Any]] = [("", suite.tree)]
    for path, node in waiting:
        first = node.body[0] if node.body else None
        value = first.value if isinstance(first, Expr) else None
        if isinstance(value, Constant) and type(value.value) is str and PROMPT in value.value:
            found.append((path or "module", value.lineno, _cleaned(value.value)))
        inner = [each for each in node.body if isinstance(each, OWNERS)]
        waiting += [(f"{path}.{each.name}" if path else each.name, each) for each in inner]
    return found


def _cleaned(docstring: str) -> str:
    """A docstring without its indentation, as Python itself keeps it from 3.13 on; with every line of it."""
    first, *rest = docstring.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.lstrip(), *[line[margin:] for line in rest]])
