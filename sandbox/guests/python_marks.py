"""What the syntax tree of a pytest-style suite says: which tests its parameters make, and what they are called.

The number of tests and their names come from the suite alone. So a list of parameters has to be written out, or be
computed by the suite from nothing that the solution gives; where that cannot be seen the suite is refused. A name is
made of the suite's own literals; anything else is told apart by its place.
"""

import builtins
from _ast import (
    AST,
    Assign,
    Attribute,
    Call,
    ClassDef,
    Constant,
    DictComp,
    GeneratorExp,
    Import,
    ImportFrom,
    List,
    ListComp,
    Load,
    Name,
    Starred,
    Subscript,
    Tuple,
    arg,
)
from typing import Any

from python_ids import Element, Parameters, id_text, literal_text, set_names, split_names
from python_suite import FUNCTIONS, NAME_CHARACTERS, Suite, SuiteError, every, outside_scopes

SUPPORTED = frozenset(
    {
        "CaptureFixture", "ExceptionInfo", "FixtureRequest", "MonkeyPatch", "TempPathFactory", "approx",
        "deprecated_call", "fail", "fixture", "importorskip", "main", "mark", "param", "raises", "skip", "warns",
        "xfail",
    }
)  # fmt: skip
MISSPELT = frozenset({"parameterize", "parametrise", "parameterise", "parametrized"})
CONDITIONAL = frozenset({"skipif", "skipIf", "skipUnless"})
DISPLAYS = (List, Tuple)
KEEPING_COUNT = frozenset({"list", "tuple", "zip", "enumerate", "reversed", "sorted"})
DOORS = frozenset({"globals", "locals", "vars", "eval", "exec", "__import__", "importlib", "modules"})


def refused(line: int, why: str) -> SuiteError:
    """The error for a suite that cannot be judged."""
    return SuiteError(f"tests.py, line {line}: {why}")


def end_of(node: Any) -> tuple[int, int]:
    """Where a node ends: what tells a call of the suite apart from every other when it runs."""
    return node.end_lineno, node.end_col_offset


class Study:
    """The names through which something of the solution may come, and every list of parameters."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._nodes = every(suite.tree)
        self._assigned = self._single_assignments()
        self.foreign = self._foreign_names()
        self.parameters: dict[tuple[int, int], Parameters] = {}
        for node in self._nodes:
            if isinstance(node, Call) and self._called(node) in ("parametrize", "fixture"):
                self.at(end_of(node))
            elif isinstance(node, Call) and self._called(node) in CONDITIONAL and isinstance(node.func, Attribute):
                self._check_condition(node)

    def at(self, end: tuple[int, int]) -> Parameters | None:
        """The parameters of the call that ends there; SuiteError where their number cannot be known."""
        if end not in self.parameters:
            node = next((n for n in self._nodes if isinstance(n, Call) and end_of(n) == end), None)
            found = None if node is None else self._of_call(node)
            if found is None:
                return None
            if not found.counted:
                raise refused(
                    found.line, "the number of tests may depend on the solution: write the list of parameters out"
                )
            self.parameters[end] = found
        return self.parameters[end]

    def sets(self, call: Any) -> list[str | None]:
        """Names of the sets of a written list of parameters, as far as literals give them; one None if it is not."""
        found = self.parameters.get(end_of(call))
        if found is None or found.elements is None:
            return [None]
        names = argument_names(call.args[0] if call.args else keyword(call, "argnames"))
        if names is None or not found.elements:
            return [None]
        return list(set_names(names, found, [None] * len(found.elements)))

    def _check_condition(self, node: Any) -> None:
        conditions = [*node.args, keyword(node, "condition")]
        if any(each is not None and self._is_foreign(each) for each in conditions):
            what = self._called(node)
            raise refused(node.lineno, f"whether {what} applies may depend on the solution, and that is for the tests")

    @staticmethod
    def _called(node: Any) -> str:
        return str(node.func.attr if isinstance(node.func, Attribute) else getattr(node.func, "id", ""))

    def _of_call(self, node: Any) -> Parameters | None:
        if self._called(node) == "fixture" or keyword(node, "params") is not None:
            values, count = keyword(node, "params"), None
            if values is None:
                return None
        else:
            values = node.args[1] if len(node.args) > 1 else keyword(node, "argvalues")
            given = node.args[0] if node.args else keyword(node, "argnames")
            found = argument_names(given)
            count = None if isinstance(given, Constant) and len(found or ()) == 1 else len(found or ())
            if values is None or found is None:
                return Parameters(counted=False, own=False, elements=None, ids=None, own_ids=False, line=node.lineno)
        ids = keyword(node, "ids")
        own = not self._is_foreign(values)
        written = self._display(values)
        elements = None if written is None else [self._element(each, count) for each in written.elts]
        listed = [id_text(each) for each in ids.elts] if isinstance(ids, DISPLAYS) else None
        own_ids = ids is not None and not self._is_foreign(ids) and own
        return Parameters(self._is_counted(values), own, elements, listed, own_ids, node.lineno)

    def _element(self, node: Any, count: int | None) -> Element:
        """One set; `count` None: it is a single value that stands alone."""
        values, fixed = [node], None
        if isinstance(node, Call) and self._called(node) == "param":
            values = node.args
            given = keyword(node, "id")
            fixed = literal_text(given) if isinstance(given, Constant) and type(given.value) is str else None
        elif count is not None and isinstance(node, DISPLAYS):
            values = node.elts
        texts = [literal_text(each) for each in values]
        wanted = 1 if count is None else count
        return Element(fixed, texts if len(texts) == wanted else [None] * wanted, not self._is_foreign(node))

    def _display(self, node: Any) -> Any:
        """The written list that a node is or names; None when it is none."""
        if isinstance(node, Name):
            node = self._assigned.get(node.id)
        if isinstance(node, DISPLAYS) and not any(isinstance(each, Starred) for each in node.elts):
            return node
        return None

    def _is_counted(self, node: Any) -> bool:
        if self._display(node) is not None or not self._is_foreign(node):
            return True
        if isinstance(node, DISPLAYS):
            return all(self._is_counted(e.value) if isinstance(e, Starred) else True for e in node.elts)
        if isinstance(node, (ListComp, GeneratorExp, DictComp)):
            each = node.generators
            return not any(self._is_foreign(part) for generator in each for part in (generator.iter, *generator.ifs))
        if isinstance(node, Call) and isinstance(node.func, Name) and node.func.id in KEEPING_COUNT:
            return all(self._is_counted(argument) for argument in node.args)
        return False

    def _single_assignments(self) -> dict[str, Any]:
        stored: dict[str, int] = {}
        for node in self._nodes:
            if isinstance(node, Name) and not isinstance(node.ctx, Load):
                stored[node.id] = stored.get(node.id, 0) + 1
            elif isinstance(node, (Attribute, Subscript)) and isinstance(getattr(node, "value", None), Name):
                changed = not isinstance(node.ctx, Load) or isinstance(node, Attribute)
                stored[node.value.id] = stored.get(node.value.id, 0) + changed  # type: ignore[attr-defined]
        found: dict[str, Any] = {}
        for statement in self._suite.tree.body:
            if isinstance(statement, Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                if isinstance(target, Name) and stored[target.id] == 1:
                    found[target.id] = statement.value
        return found

    def _foreign_names(self) -> frozenset[str]:
        """Names of the suite's module that may hold something of the solution's."""
        known = self._suite.bound | set(dir(builtins))
        foreign = (self._suite.loaded - known) | DOORS
        imported: set[str] = set()
        for node in outside_scopes(self._suite.tree):
            if isinstance(node, (Import, ImportFrom)):
                names = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
                (foreign.update if self._is_of_solution(node) else imported.update)(names)
        before = -1
        while before < len(foreign):
            before = len(foreign)
            for statement in self._suite.tree.body:
                if self._reads(statement) & foreign:
                    foreign |= self._touched(statement, foreign) - imported
        return frozenset(foreign)

    def _is_of_solution(self, node: Any) -> bool:
        names = [node.module] if isinstance(node, ImportFrom) else [alias.name for alias in node.names]
        return any(str(name).partition(".")[0] in self._suite.modules for name in names)

    def _is_foreign(self, node: AST) -> bool:
        return bool(self._reads(node) & self.foreign)

    def _reads(self, node: AST) -> set[str]:
        """Names that a node reads from outside of itself; attributes that are doors count as names."""
        loaded: set[str] = set()
        bound: set[str] = set()
        for each in every(node):
            if isinstance(each, Name):
                (loaded if isinstance(each.ctx, Load) else bound).add(each.id)
            elif isinstance(each, arg):
                bound.add(each.arg)
            elif isinstance(each, Attribute) and each.attr in DOORS:
                loaded.add(each.attr)
            elif isinstance(each, (Import, ImportFrom)) and self._is_of_solution(each):
                loaded.add("importlib")
        return loaded - bound

    def _touched(self, statement: Any, foreign: set[str]) -> set[str]:
        """Names that a statement binds, or whose objects it or the solution may change."""
        own = {statement.name} if isinstance(statement, (*FUNCTIONS, ClassDef)) else set()
        if own and statement.name.lower().startswith("test"):
            return own  # it runs when everything is counted
        names: set[str] = set()
        local: set[str] = set()
        for node in every(statement):
            if isinstance(node, Name) and not isinstance(node.ctx, Load):
                local.add(node.id)
            elif isinstance(node, arg):
                local.add(node.arg)
            elif isinstance(node, (*FUNCTIONS, ClassDef)) and node is not statement:
                local.add(node.name)
            elif isinstance(node, (Attribute, Subscript)) and isinstance(node.value, Name):
                names.add(node.value.id)
            elif isinstance(node, Call) and self._reads(node.func) & foreign:
                given = [*node.args, *(each.value for each in node.keywords)]
                names.update(each.id for each in given if isinstance(each, Name))
        return (names - local) | own if own else names | local


def keyword(call: Any, name: str) -> Any:
    """The value of a call's keyword; None when it has none of that name."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def argument_names(node: Any) -> list[str] | None:
    """The names that a parametrize call gives values to; None when they are not written there."""
    if isinstance(node, Constant) and type(node.value) is str:
        return split_names(node.value)
    if isinstance(node, DISPLAYS) and all(isinstance(e, Constant) and type(e.value) is str for e in node.elts):
        return [each.value for each in node.elts]
    return None


def study(suite: Suite) -> None:
    """Refuse what is not supported, and count the tests that parameters make."""
    modules = _names_of_pytest(suite)
    suite.study = found = Study(suite)
    functions = _functions(suite, modules)
    expected: list[str] = []
    for name in suite.expected_tests(lambda node: _is_only_marked(node, modules)):
        node, owner = functions.get(name, (None, None))
        marks = [] if node is None else list(reversed(node.decorator_list))
        marks += [] if owner is None else list(reversed(owner.decorator_list))
        variants = [""]
        for mark in marks:
            if isinstance(mark, Call) and getattr(mark.func, "attr", "") == "parametrize":
                variants = [f"{a}-{b}" if a else b for a in variants for b in (s or "" for s in found.sets(mark))]
        expected += [(f"{name}[{variant}]" if variant else name)[:NAME_CHARACTERS] for variant in variants]
    if expected:
        suite.expect(expected)


def _names_of_pytest(suite: Suite) -> set[str]:
    """Names under which the suite has pytest. SuiteError for what it asks of it that is not there."""
    names: set[str] = set()
    for node in every(suite.tree):
        if isinstance(node, Import):
            names.update(alias.asname or alias.name for alias in node.names if alias.name == "pytest")
        elif isinstance(node, ImportFrom) and node.module == "pytest":
            for alias in node.names:
                _check_supported(alias.name, node.lineno)
    for node in every(suite.tree):
        if isinstance(node, Attribute) and isinstance(node.value, Name) and node.value.id in names:
            _check_supported(node.attr, node.lineno)
        if isinstance(node, Attribute) and node.attr in MISSPELT and getattr(node.value, "attr", "") == "mark":
            raise refused(node.lineno, f"there is no mark {node.attr}: it is spelt parametrize")
    return names


def _check_supported(name: str, line: int) -> None:
    if name not in SUPPORTED and not name.startswith("__"):
        raise refused(line, unsupported(name))


def unsupported(name: str) -> str:
    """What to say of a name of pytest's that is not there."""
    return f"pytest.{name} is not supported; of pytest there are {', '.join(sorted(SUPPORTED))}"


def _is_only_marked(node: Any, modules: set[str]) -> bool:
    """Whether all decorators of a function are marks of pytest's: then it is a test as it stands."""
    for decorator in node.decorator_list:
        inner = decorator.func if isinstance(decorator, Call) else decorator
        mark = inner.value if isinstance(inner, Attribute) else None
        is_module = isinstance(mark, Attribute) and isinstance(mark.value, Name) and mark.value.id in modules
        if not (is_module and mark.attr == "mark"):  # type: ignore[union-attr]
            return False
    return True


def _functions(suite: Suite, modules: set[str]) -> dict[str, tuple[Any, Any]]:
    """The function and the class of each test that is written, by the test's name."""
    found: dict[str, tuple[Any, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}
    for statement in suite.tree.body:
        if isinstance(statement, FUNCTIONS):
            found[statement.name] = (statement, None)
        elif isinstance(statement, ClassDef):
            own: dict[str, Any] = {}
            for base in statement.bases:
                own.update(methods.get(getattr(base, "id", ""), {}))
            own.update({item.name: item for item in statement.body if isinstance(item, FUNCTIONS)})
            methods[statement.name] = own
            for name, node in own.items():
                counted = _is_only_marked(node, modules)
                found[f"{statement.name}.{name}"] = (node, statement) if counted else (None, None)
    return found
