"""Collects and runs tests of a suite in pytest's style: parameters, marks, fixtures.

Theory of operation: a test's variants are made when the suite is collected, from sets whose number and names the
suite's own text decides (python_marks). When a variant runs, its fixtures are set up, those of wider scope first; what
ends them is kept on one stack for each scope, and unwound in reverse: after the test, after the last test of its class,
after the last test at all. What fails at an end fails the test after which it ran.
"""

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import python_pytest
from python_approx import Approx
from python_builtin_fixtures import BUILTIN, TYPES
from python_ids import told_apart
from python_outcomes import Failed, Skipped, XFailed
from python_pytest import Fixture, Mark, marks_of
from python_suite import MOST_TESTS, SuiteError
from python_variants import (
    Variant,
    arguments,
    call_hook,
    holds,
    indirect,
    raw,
    skip_reason,
    used,
    with_param,
    with_sets,
)

__all__ = ["Approx", "Session", "stand_in"]
WIDTH = {"module": 0, "class": 1, "function": 2}
GENERATOR, COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of a code's flags


class Request:
    """`request`, as a fixture or a test sees it."""

    def __init__(self, session: "Session", entry: Any, fixture: Fixture | None, stack: list[Any]) -> None:
        self._session, self._entry, self._stack = session, entry, stack
        self.fixturename = fixture.name if fixture else None
        self.scope = fixture.scope if fixture else "function"
        self.cls, self.instance = entry.cls, session.instance
        self.function = session.function_of(entry)
        self.module = session.module
        self.node = self

    @property
    def name(self) -> str:
        """Of request.node: the test's name."""
        return str(self._entry.name.rpartition(".")[2] if "[" not in self._entry.name else self._entry.method)

    @property
    def param(self) -> Any:
        """The fixture's parameter of this variant."""
        params = self._entry.variant.params
        if self.fixturename not in params:
            raise AttributeError(f"the fixture {self.fixturename} has no parameter here")
        return params[self.fixturename][1]

    def getfixturevalue(self, argname: str) -> Any:
        """The value of another fixture."""
        return self._session.value(argname, self._entry)

    def addfinalizer(self, finalizer: Callable[[], Any]) -> None:
        """Call this when the fixture's scope ends."""
        self._stack.append((finalizer, None))


class Session:
    """All of one suite's tests; `bound` are the names that the suite's module binds.

    `finish` completes a coroutine and refuses a test that yields.
    """

    def __init__(self, module: Any, bound: set[str], finish: Callable[[Any], None]) -> None:
        self.module = module
        self._bound = bound
        self.instance: Any = None
        self._finish = finish
        self._defined = {each.name: each for each in vars(module).values() if type(each) is Fixture}
        self._class_fixtures: dict[Any, dict[str, list[Fixture]]] = {}
        self._values: dict[tuple[str, str], tuple[Any, Any]] = {}  # by scope and key: the value and its parameter
        self._stacks: dict[str, list[tuple[Callable[[], Any], Any]]] = {"module": [], "class": [], "function": []}
        self._lasts: dict[str, str] = {}

    def plan(self, entries: list[Any]) -> None:
        """Tell which tests run, in their order: so it is known after which one a scope ends."""
        plain = [entry for entry in entries if not entry.is_case]
        for entry, following in zip(plain, [*plain[1:], None], strict=True):
            if following is None or following.cls is not entry.cls:
                self._lasts[entry.name] = "class" if following is not None else "module"

    def entries(self, entry: Any) -> Iterator[Any]:
        """The variants of a collected test. SuiteError for what cannot be run here."""
        function = self.function_of(entry)
        marks = self._marks(entry, function)
        if entry.is_case:
            self._check_case(entry, function, marks)
            yield entry
            return
        asked = arguments(function, entry.cls)
        fixtures = self._closure([*self._automatic(entry.cls), *used(marks), *asked], entry, marks)
        combined = [("", Variant({}, {}, tuple(marks), tuple(asked)))]
        given = {name for mark in marks if mark.name == "parametrize" for name in mark.sets[0]}
        for fixture in fixtures:
            if fixture.sets is not None and fixture.name not in given:
                sets = [(fixture.name, index, each) for index, each in enumerate(fixture.sets)]
                combined = [with_param(*made, *each) for made in combined for each in sets]
        for mark in marks:
            if mark.name == "parametrize":
                combined = [pair for made in combined for pair in with_sets(*made, mark)]
                if len(combined) > MOST_TESTS:
                    raise SuiteError(f"{entry.name} has more than {MOST_TESTS} variants")
        names = told_apart([ids for ids, _ in combined])
        for ids, (_, variant) in zip(names, combined, strict=True):
            yield entry._replace(name=f"{entry.name}[{ids}]" if ids else entry.name, variant=variant)

    def function_of(self, entry: Any) -> Any:
        """The function of a test as it was written."""
        found = getattr(self.module, entry.method, None) if entry.cls is None else raw(entry.cls, entry.method)
        return getattr(found, "__func__", found)

    def run(self, entry: Any) -> None:
        """Run one variant; returns when it has passed, raises whatever it ended with."""
        marks = entry.variant.marks
        for mark in marks:
            reason = skip_reason(mark)
            if reason is not None:
                raise Skipped(reason)
        expected = next((mark for mark in marks if mark.name == "xfail" and holds(mark)), None)
        if expected is None:
            self._run(entry)
            return
        reason = str(expected.kwargs.get("reason", ""))
        strict = expected.kwargs.get("strict", False)
        if expected.kwargs.get("run", True) is False:
            raise Skipped(f"it is not run: {reason}")
        try:
            self._run(entry)
        except (Exception, Failed) as error:
            if not isinstance(error, expected.kwargs.get("raises") or BaseException) or isinstance(error, MemoryError):
                raise
        else:
            if strict:
                raise Failed(f"[XPASS(strict)] {reason}")
            return
        if not strict:
            raise Skipped(f"it failed as expected: {reason}")

    def value(self, name: str, entry: Any, above: Fixture | None = None) -> Any:
        """What a fixture gives to this test. `above` asks for the fixture that it overrides."""
        if name == "request":
            return Request(self, entry, above, self._stacks[above.scope if above else "function"])
        if above is None and name in entry.variant.values:
            return entry.variant.values[name]
        fixture = self._fixture(name, entry.cls, above if above is not None and above.name == name else None)
        scope = fixture.scope if fixture is not None else BUILTIN[name][1]
        param = entry.variant.params.get(name)
        key = (scope, name if above is None or above.name != name else f"{name} {id(fixture)}")
        index = None if param is None else param[0]
        if key in self._values:
            if self._values[key][1] == index:
                return self._values[key][0]
            self._unwind(scope, key)
        given = self._made(name, scope) if fixture is None else self._set_up(fixture, entry, key)
        self._values[key] = given, index
        return given

    def _run(self, entry: Any) -> None:
        self.instance = entry.cls() if entry.cls is not None else None
        ends = self._lasts.get(entry.name, "function")
        try:
            self._call(entry)
        except XFailed as error:
            raise Skipped(f"it failed as expected: {error}") from None
        finally:
            for scope in ("function", "class", "module"):
                if WIDTH[scope] >= WIDTH[ends]:
                    self._unwind(scope)

    def _call(self, entry: Any) -> None:
        cls, instance, function = entry.cls, self.instance, self.function_of(entry)
        if ("module", "") not in self._values:
            self._values["module", ""] = None, None
            self._hooks(self.module, "setup_module", "teardown_module", "module", self.module)
        if cls is not None and ("class", "") not in self._values:
            self._values["class", ""] = None, None
            self._hooks(cls, "setup_class", "teardown_class", "class", cls)
        automatic = sorted(self._automatic(cls), key=lambda name: WIDTH[self._scope(name, cls)])
        needed = [*automatic, *used(entry.variant.marks)]
        for name in dict.fromkeys(needed):
            if name not in entry.variant.values:
                self.value(name, entry)
        if instance is not None:
            self._hooks(instance, "setup_method", "teardown_method", "function", function)
        else:
            self._hooks(self.module, "setup_function", "teardown_function", "function", function)
        wide_first = sorted(entry.variant.asked, key=lambda name: WIDTH[self._scope(name, cls)])
        given = {name: self.value(name, entry) for name in wide_first}
        ordered = {name: given[name] for name in entry.variant.asked}
        called = getattr(instance, entry.method) if instance is not None else getattr(self.module, entry.method)
        self._finish(called(**ordered))

    def _hooks(self, owner: Any, before: str, after: str, scope: str, argument: Any) -> None:
        # In the suite's module a function of the solution's with such a name is none of the suite's.
        offered = [name for name in (before, after) if owner is not self.module or name in self._bound]
        if before in offered and getattr(owner, before, None) is not None:
            call_hook(getattr(owner, before), argument)
        if after in offered and getattr(owner, after, None) is not None:
            self._stacks[scope].append((lambda: call_hook(getattr(owner, after), argument), None))

    def _set_up(self, fixture: Fixture, entry: Any, key: tuple[str, str]) -> Any:
        function = fixture.function
        if self.instance is not None and self._defined.get(fixture.name) is not fixture:
            function = function.__get__(self.instance)
        request = Request(self, entry, fixture, self._stacks[fixture.scope])
        given = {}
        for name in arguments(fixture.function, None if function is fixture.function else entry.cls):
            overridden = fixture if name == fixture.name else None
            given[name] = request if name == "request" else self.value(name, entry, overridden)
        made = function(**given)
        stack = self._stacks[fixture.scope]
        if not fixture.function.__code__.co_flags & GENERATOR:
            stack.append((_nothing, key))
            return made
        try:
            value = next(made)
        except StopIteration:
            raise ValueError(f"the fixture {fixture.name} did not yield a value") from None
        stack.append((lambda: _exhaust(made, fixture.name), key))
        return value

    def _made(self, name: str, scope: str) -> Any:
        make, _, end = BUILTIN[name]
        value = make()
        self._stacks[scope].append((getattr(value, end) if end else _nothing, (scope, name)))
        return value

    def _unwind(self, scope: str, until: Any = None) -> None:
        """End what lives in a scope, the last first, down to the key `until` or all; then raise the first error."""
        stack, errors = self._stacks[scope], []
        while stack:
            finalizer, key = stack.pop()
            try:
                finalizer()
            except BaseException as error:
                errors.append(error)
            self._values.pop(key, None)
            if until is not None and key == until:
                break
        if until is None:
            self._values.pop((scope, ""), None)
        if errors:
            raise errors[0]

    def _fixture(self, name: str, cls: Any, below: Fixture | None = None) -> Fixture | None:
        """The definition that counts; None for one of the built-in ones. SuiteError when there is none."""
        found = self._definitions(cls).get(name, [])
        if below is not None and below in found:
            found = found[: found.index(below)]
        if found:
            return found[-1]
        if name not in BUILTIN:
            known = sorted({*self._definitions(cls), *BUILTIN, "request"})
            raise SuiteError(f"the fixture {name!r} is not found; there are: {', '.join(known)}")
        return None

    def _scope(self, name: str, cls: Any) -> str:
        found = self._definitions(cls).get(name)
        return found[-1].scope if found else BUILTIN.get(name, ("", "function"))[1]

    def _definitions(self, cls: Any) -> dict[str, list[Fixture]]:
        """Every fixture that a test of the class sees, those that override later."""
        if cls not in self._class_fixtures:
            found = {name: [each] for name, each in self._defined.items()}
            for owner in reversed(cls.__mro__) if cls is not None else ():
                for each in vars(owner).values():
                    if type(each) is Fixture:
                        found.setdefault(each.name, []).append(each)
            self._class_fixtures[cls] = found
        return self._class_fixtures[cls]

    def _automatic(self, cls: Any) -> list[str]:
        return [name for name, found in self._definitions(cls).items() if found[-1].autouse]

    def _closure(self, names: list[str], entry: Any, marks: list[Mark]) -> list[Fixture]:
        """All fixtures that a test needs, those of its parameters left out."""
        direct = {name for mark in marks if mark.name == "parametrize" and not indirect(mark) for name in mark.sets[0]}
        waiting: list[tuple[str, Fixture | None, int]] = [
            (name, None, WIDTH["function"]) for name in names if name not in direct and name != "request"
        ]
        found: dict[int, Fixture] = {}
        for name, below, width in waiting:
            fixture = self._fixture(name, entry.cls, below)
            scope = fixture.scope if fixture is not None else BUILTIN[name][1]
            if WIDTH[scope] > width:
                raise SuiteError(f"ScopeMismatch: a fixture of wider scope asks for {name}, whose scope is {scope}")
            if fixture is None or id(fixture) in found:
                continue
            if fixture.function.__code__.co_flags & (COROUTINE | ASYNC_GENERATOR):
                raise SuiteError(f"the fixture {name} is a coroutine; that is not supported")
            found[id(fixture)] = fixture
            owner = None if self._defined.get(name) is fixture else entry.cls
            needed = [each for each in arguments(fixture.function, owner) if each not in direct]
            waiting += [(each, fixture if each == name else None, WIDTH[scope]) for each in needed if each != "request"]
        return list(found.values())

    def _marks(self, entry: Any, function: Any) -> list[Mark]:
        marks = marks_of(function) if isinstance(function, FunctionType) else []
        for owner in entry.cls.__mro__ if entry.cls is not None else ():
            marks = [*marks, *(marks_of(owner) if "pytestmark" in vars(owner) else [])]
        return [*marks, *marks_of(self.module)]

    def _check_case(self, entry: Any, function: Any, marks: list[Mark]) -> None:
        """A TestCase runs by unittest: of pytest it may have skips only."""
        if any(mark.name in ("parametrize", "usefixtures", "xfail") for mark in marks) or self._automatic(entry.cls):
            raise SuiteError(f"{entry.name}: fixtures, parametrize and xfail are not supported in a unittest.TestCase")
        for mark in marks:
            reason = skip_reason(mark)
            if reason is not None:
                function.__unittest_skip__, function.__unittest_skip_why__ = True, reason


def _exhaust(made: Any, name: str) -> None:
    for _ in made:
        raise ValueError(f"the fixture {name} yields more than once")


def _nothing() -> None:
    """The end of what needs none."""


def stand_in(suite_study: Any) -> Any:
    """The module pytest for one suite."""
    python_pytest.study = suite_study
    return python_pytest.stand_in({**TYPES, "FixtureRequest": Request})
