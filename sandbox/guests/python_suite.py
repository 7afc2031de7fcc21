"""What a suite says of itself before the solution is there: its tests, its names, how it speaks of the solution."""

import builtins
import sys
from _ast import (
    AST,
    Assert,
    Assign,
    AsyncFunctionDef,
    Attribute,
    Call,
    ClassDef,
    Compare,
    Constant,
    Delete,
    ExceptHandler,
    Expr,
    FunctionDef,
    Global,
    Import,
    ImportFrom,
    Lambda,
    Load,
    MatchAs,
    MatchMapping,
    MatchStar,
    Module,
    Name,
    Pass,
    PyCF_ONLY_AST,
)
from collections.abc import Callable, Mapping
from types import CodeType, MappingProxyType
from typing import Any

MOST_TESTS = 10_000
NAME_CHARACTERS = 200
SCOPES = (FunctionDef, AsyncFunctionDef, Lambda, ClassDef)
FUNCTIONS = (FunctionDef, AsyncFunctionDef)
CASE_BASES = frozenset({"TestCase", "IsolatedAsyncioTestCase"})
HOOKS = frozenset({"setup_module", "teardown_module", "setup_function", "teardown_function"})
GENERATORS = frozenset({"setattr", "type", "globals", "vars", "locals", "exec"})  # ways to make tests at run time


class SuiteError(Exception):
    """The suite cannot be judged against anything; the message says why in one line."""


# Fields that hold nothing that is looked for: operators and contexts, and what is no node.
NO_CHILDREN = frozenset(
    {"ctx", "op", "ops", "type_comment", "id", "attr", "arg", "kind", "level", "module", "asname", "rest", "conversion",
     "simple", "is_async"}
)  # fmt: skip
_fields: dict[type, tuple[str, ...]] = {Constant: ()}


def _fields_of(node: AST) -> tuple[str, ...]:
    fields = _fields[node.__class__] = tuple(name for name in node._fields if name not in NO_CHILDREN)
    return fields


def _add_children(node: AST, found: list[AST]) -> None:
    fields = _fields.get(node.__class__)
    for field in _fields_of(node) if fields is None else fields:
        value = getattr(node, field, None)
        if value.__class__ is list:
            for item in value:
                if isinstance(item, AST):
                    found.append(item)  # noqa: PERF401 - a comprehension is a function more
        elif isinstance(value, AST):
            found.append(value)


def children(node: AST) -> list[AST]:
    """The direct children of a node, without operators and contexts."""
    found: list[AST] = []
    _add_children(node, found)
    return found


def every(tree: AST) -> list[AST]:
    """All nodes of a tree."""
    nodes = [tree]
    for node in nodes:
        _add_children(node, nodes)
    return nodes


def outside_scopes(tree: AST) -> list[AST]:
    """All nodes but those that stand inside functions and classes."""
    nodes = [tree]
    for node in nodes:
        if node is tree or not isinstance(node, SCOPES):
            nodes += children(node)
    return nodes


def _asks(node: Any, own: int) -> bool:
    arguments = node.args
    count = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return node.name.startswith("test") and count > own and not node.decorator_list


class Suite:
    """A parsed suite.

    `expected` are the names of the tests that must at least be collected, `bound` the names that the suite binds at
    module level, `loaded` those that it reads anywhere. `candidate` is what a HumanEval `check` is called with, None
    where the text does not say; `is_check` says that the suite is one. `study` is what python_marks found of a suite
    in pytest's style, None for any other; `examples` are the texts of a suite of doctest examples.
    """

    study: Any = None
    examples: Any = None
    explainers: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, text: str, modules: tuple[str, ...]) -> None:
        flags: int = PyCF_ONLY_AST
        self.tree: Any = compile(text, "tests.py", "exec", flags, dont_inherit=True)
        self.mentions_unittest = "unittest" in text
        self.mentions_numpy = "numpy" in text
        self.modules = frozenset(modules)
        self.starred: list[str] = []  # modules of the solution from which it imports every name
        self.nodes = every(self.tree)
        self._drop_star_imports()
        self.loaded = {n.id for n in self.nodes if isinstance(n, Name) and isinstance(n.ctx, Load)}
        self.words = self.loaded | {n.attr for n in self.nodes if isinstance(n, Attribute)}
        self.bound = self._bound_names()
        self.calls_solution = self._calls_solution()
        self.expected = self.expected_tests(lambda node: not node.decorator_list)
        self.uses_pytest = "pytest" in text or bool(HOOKS & self.bound) or self._tests_take_arguments()
        self.is_check = not self.expected and self._has_check()
        self.candidate = self._named_candidate() if self.is_check else None
        if self.is_check:
            self.expected = ["check"]
        self.expect(self.expected)
        self.may_generate = bool(GENERATORS & self.loaded) or any(
            node.bases if isinstance(node, ClassDef) else isinstance(node, FUNCTIONS) and node.name.startswith("test")
            for node in self.nodes
        )
        self._drop_direct_calls()
        self.asserts = self._plain_asserts() if "assert " in text else []
        self._statements = len(self.tree.body)  # what follows is for who asks what the suite names, not to be run
        self._code: CodeType | None = None

    @property
    def has_tests(self) -> bool:
        """Whether there is a test in it, or what may make one while it is loaded."""
        return bool(self.expected) or self.mentions_unittest or self.uses_pytest

    def compiled(self) -> CodeType:
        """The suite as it is to be run. Compiling finds what is wrong with it that its tree alone does not show."""
        if self._code is None:
            own = Module(self.tree.body[: self._statements], [])  # reading the text once more takes longer
            self._code = compile(own, "tests.py", "exec", dont_inherit=True)
        return self._code

    def look_into(self, examples: "Suite") -> None:
        """Let who asks what the suite names know of statements, too, that somebody else runs."""
        self.tree.body += examples.tree.body
        self.nodes += examples.nodes
        self.loaded |= examples.loaded
        self.words |= examples.words
        self.calls_solution = self.calls_solution or examples.calls_solution

    def change(self, names: dict[str, Any]) -> None:
        """Its tree was changed, and now needs these names in its module."""
        self.explainers = {**self.explainers, **names}
        self._code = None

    def expect(self, names: list[str]) -> None:
        """Take these as the tests that must at least be collected. SuiteError when they are too many."""
        if len(names) > MOST_TESTS:
            raise SuiteError(f"the suite has {len(names)} tests, at most {MOST_TESTS} are judged")
        self.expected = names

    def missing_names(self) -> list[str]:
        """Names that the suite reads and nobody but the solution can give."""
        known = self.bound | set(dir(builtins)) | sys.stdlib_module_names
        return sorted(self.loaded - known)

    def _drop_star_imports(self) -> None:
        # The solution's names are given to the suite anyway; a star import would let them shadow the suite's own.
        if not any(isinstance(node, ImportFrom) and node.names[0].name == "*" for node in self.nodes):
            return
        for node in self.nodes:
            for field in ("body", "orelse", "finalbody"):
                body = getattr(node, field, None)
                if isinstance(body, list):
                    body[:] = [self._without_star(statement) for statement in body]

    def _without_star(self, statement: AST) -> AST:
        if not isinstance(statement, ImportFrom) or statement.names[0].name != "*" or statement.level:
            return statement
        if statement.module not in self.modules:
            return statement
        self.starred.append(statement.module)
        return Pass(
            lineno=statement.lineno,
            col_offset=statement.col_offset,
            end_lineno=statement.end_lineno,
            end_col_offset=statement.end_col_offset,
        )

    def _bound_names(self) -> set[str]:
        names: set[str] = set()
        for node in outside_scopes(self.tree):
            if isinstance(node, (*FUNCTIONS, ClassDef)):
                names.add(node.name)
            elif isinstance(node, Name) and not isinstance(node.ctx, Load):
                names.add(node.id)
            elif isinstance(node, (Import, ImportFrom)):
                names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            elif isinstance(node, (ExceptHandler, MatchAs, MatchStar)) and node.name:
                names.add(node.name)
            elif isinstance(node, MatchMapping) and node.rest:
                names.add(node.rest)
        for node in self.nodes:
            if isinstance(node, Global):
                names.update(node.names)
        return names

    def _calls_solution(self) -> bool:
        if "solution" not in self.modules:
            return False
        for node in self.nodes:
            if isinstance(node, ImportFrom) and node.module in self.modules:
                if any(alias.name == "solution" for alias in node.names):
                    return True
            elif isinstance(node, Name) and node.id == "solution" and "solution" not in self.bound:
                return True
        return False

    def expected_tests(self, counted: Callable[[Any], bool]) -> list[str]:
        """Names of the tests that are written; `counted` says of a function whether it is one as it stands."""
        tests: dict[str, tuple[str, ...]] = {}
        for statement in self.tree.body:
            if isinstance(statement, FUNCTIONS):
                tests.pop(statement.name, None)
                if statement.name.startswith("test") and counted(statement):
                    tests[statement.name] = (statement.name,)
            elif isinstance(statement, ClassDef):
                tests[statement.name] = self._class_tests(statement, tests)
            elif isinstance(statement, (Assign, Delete)):
                for target in statement.targets:
                    if isinstance(target, Name):
                        tests.pop(target.id, None)
        return [name[:NAME_CHARACTERS] for names in tests.values() for name in names]

    def _class_tests(self, node: ClassDef, earlier: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
        bases = [base.attr if isinstance(base, Attribute) else getattr(base, "id", "") for base in node.bases]
        own = [item.name for item in node.body if isinstance(item, FUNCTIONS)]
        plain = not node.bases and node.name.startswith("Test") and "__init__" not in own
        inherited = [name.rpartition(".")[2] for base in bases for name in earlier.get(base, ())]
        if not plain and not inherited and not CASE_BASES.intersection(bases):
            return ()
        rebound = {t.id for item in node.body if isinstance(item, Assign) for t in item.targets if isinstance(t, Name)}
        names = [name for name in dict.fromkeys([*inherited, *own]) if name.startswith("test") and name not in rebound]
        return tuple(f"{node.name}.{name}" for name in names)

    def _tests_take_arguments(self) -> bool:
        """Whether a test asks for something by the name of an argument, as pytest's do."""
        for statement in self.tree.body:
            if isinstance(statement, FUNCTIONS) and _asks(statement, 0):
                return True
            plain = isinstance(statement, ClassDef) and statement.name.startswith("Test") and not statement.bases
            if plain and any(isinstance(item, FUNCTIONS) and _asks(item, 1) for item in statement.body):
                return True
        return False

    def _plain_asserts(self) -> list[Any]:
        """Statements of tests that compare two values and have no message of their own."""
        found = []
        for statement in self.tree.body:
            for function in statement.body if isinstance(statement, ClassDef) else [statement]:
                if isinstance(function, FUNCTIONS) and function.name.startswith(("test", "check")):
                    found += [each for each in every(function) if isinstance(each, Assert)]
        return [a for a in found if a.msg is None and isinstance(a.test, Compare) and len(a.test.ops) == 1]

    def _has_check(self) -> bool:
        for statement in self.tree.body:
            if isinstance(statement, FunctionDef) and statement.name == "check":
                arguments = statement.args
                count = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
                if count == 1 and not any(argument.arg is None for argument in arguments.kwonlyargs):
                    return True
        return False

    def _named_candidate(self) -> str | None:
        for statement in self.tree.body:
            if isinstance(statement, Expr) and isinstance(statement.value, Call):
                call = statement.value
                if getattr(call.func, "id", "") == "check" and len(call.args) == 1 and isinstance(call.args[0], Name):
                    return call.args[0].id
        for statement in self.tree.body:
            if isinstance(statement, Assign) and isinstance(statement.value, Constant):
                names = {target.id.lower() for target in statement.targets if isinstance(target, Name)}
                if names & {"entry_point", "entry"} and isinstance(statement.value.value, str):
                    return statement.value.value
        return None

    def _drop_direct_calls(self) -> None:
        # `test_addition()` or `check(add)` as a statement: the test runs as a test, not while the suite is loaded.
        functions = {name for name in self.expected if "." not in name}
        kept = [
            statement
            for statement in self.tree.body
            if not (
                isinstance(statement, Expr)
                and isinstance(statement.value, Call)
                and getattr(statement.value.func, "id", "") in functions
            )
        ]
        if len(kept) < len(self.tree.body):
            self.tree.body[:] = kept
