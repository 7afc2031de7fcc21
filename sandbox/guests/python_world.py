"""The two namespaces, solution and suite, and what is done so that neither spoils the other."""

import builtins
import sys
from _operator import is_
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Self

from guest_process import SourceLoader, offer_exit
from python_output import Printed
from python_suite import Suite

BUILTIN_NAMES = frozenset(dir(builtins)) | {"exit", "quit"}
# In the order in which each needs those before it; the first one holds outcomes, the last one collects and runs.
PYTEST_PARTS = (
    "python_outcomes", "python_approx", "python_pytest", "python_builtin_fixtures", "python_variants",
    "python_fixtures",
)  # fmt: skip
VOLATILE = ("_", "__doc__", "__warningregistry__", "IsolatedAsyncioTestCase", "mock", "async_case", "_log")
# What suites compare arrays by, where that package is offered, and what that is made of.
NUMPY = ("numpy", "numpy.testing", "numpy.testing._private.utils", "numpy._core.numeric", "numpy._core.fromnumeric")
LAZY = ("difflib", "pprint", "tokenize")  # unittest imports them for the rare long difference


class LazyModule(ModuleType):
    """A module that is really imported when something in it is asked for: half of unittest's start-up."""

    def __getattr__(self, name: str) -> Any:
        own = self.__name__
        if sys.modules.get(own) is self:
            del sys.modules[own]
        real = __import__(own)
        self.__dict__.update(real.__dict__)
        return getattr(real, name)


class Agreeable:
    """Stands in for anything that a solution could define, to see whether a suite loads by itself.

    `used`: the suite did more with one than to name it, so what came of it could be told to it by a solution as well.
    """

    used = False

    def __init__(self, *_: Any, **__: Any) -> None:
        return

    def __getattr__(self, name: str) -> "Agreeable":
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        Agreeable.used = True
        decorating = len(arguments) == 1 and isinstance(arguments[0], (FunctionType, type))
        return arguments[0] if decorating else self

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def __iter__(self) -> Iterator[Any]:
        Agreeable.used = True
        return iter(())

    def __getitem__(self, _key: Any) -> "Agreeable":
        Agreeable.used = True
        return self

    def __enter__(self) -> Self:
        Agreeable.used = True
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __len__(self) -> int:
        Agreeable.used = True
        return 1

    def __eq__(self, _other: object) -> bool:
        Agreeable.used = True
        return True

    def __hash__(self) -> int:
        return 0

    def _same(self, *_: Any) -> "Agreeable":
        Agreeable.used = True
        return self

    def _true(self, *_: Any) -> bool:
        Agreeable.used = True
        return True

    def _one(self) -> int:
        Agreeable.used = True
        return 1

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __or__ = __and__ = _same
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _true
    __int__ = __index__ = _one


def has_shared_name(name: str) -> bool:
    """True for names of a solution that its suite may find as globals: no dunders, nothing that a builtin has."""
    return not (name.startswith("__") and name.endswith("__")) and name not in BUILTIN_NAMES


def offered_unittest() -> Any:
    """unittest without the parts that it rarely needs; a suite's own unittest.main() has nothing left to do."""
    if "unittest" not in sys.modules:
        main: Any = ModuleType("unittest.main")
        main.TestProgram = main.main = lambda *_, **__: None
        sys.modules["unittest.main"] = main
        for name in LAZY:
            sys.modules.setdefault(name, LazyModule(name))
    return __import__("unittest")


def warm() -> None:
    """What a process that serves many runs does once, before any of them."""
    offered_unittest()
    offer_exit()


def difference(now: Any, before: dict[str, Any]) -> str:
    """The first name whose value is another one than before, empty for none. Nothing of the values is called."""
    if len(now) == len(before) and all(map(is_, now, before)) and all(map(is_, now.values(), before.values())):
        return ""
    for name in {**before, **now}:
        if name not in VOLATILE and before.get(name) is not now.get(name):
            return str(name)
    return ""


def replaced(now: dict[str, Any], before: dict[str, Any]) -> str:
    """The first name that holds another value than before, empty for none: a module may well get new ones."""
    return next((name for name in before if name not in VOLATILE and now.get(name) is not before[name]), "")


class World:
    """Holds the modules `solution` and `tests` and fills them in that order."""

    def __init__(self, suite: Suite, modules: list[str]) -> None:
        self.suite = suite
        self.notes: list[str] = []
        self._names = modules
        self.parts: dict[str, str] = {}  # modules of a solution of several files: their paths by name
        self.files: Any = None  # what lays them out and loads them where that is this process
        self._starred: dict[str, Any] = {}
        self.solution: ModuleType = ModuleType("solution")
        self.tests: ModuleType = ModuleType("tests")
        for module in (self.solution, self.tests):
            module.__dict__["__builtins__"] = builtins  # the real ones: the harness itself reads a copy
        self.unittest: Any = None  # the module as it was before the solution; None where the suite does not use it
        self.recorder: Any = None
        self.pytest: Any = None  # the part python_outcomes, and the one that runs tests; None where no suite needs them
        self.fixtures: Any = None
        self._kept: list[tuple[str, Any, dict[str, Any]]] = []  # name, what it holds now and always, what it held
        self._kept_modules: dict[str, ModuleType] = {}
        self._kept_numpy: list[tuple[str, Any, dict[str, Any]]] = []

    def prepare(self, load: Callable[[str], ModuleType]) -> None:
        """What must be there before the solution: unittest if the suite uses it, and a record of what it looks like."""
        offer_exit()
        self.printed = Printed()
        if self.suite.mentions_unittest:
            self.unittest = offered_unittest()
            self.recorder = load("python_cases").Recorder
        if self.suite.study is not None:
            self.pytest, self.fixtures = [load(name) for name in PYTEST_PARTS][:: len(PYTEST_PARTS) - 1]
        if self.pytest is not None:
            self._stand_in = self.fixtures.stand_in(self.suite.study)
        self._keep()

    def load_solution(self, text: str) -> None:
        """Run the solution as a module; whatever it raises goes to the caller."""
        module = self.solution
        if self.files is not None:
            self.files.load(module)
        else:
            module.__file__ = "solution.py"
            module.__loader__ = SourceLoader(text)  # type: ignore[assignment]
            for name in self._names:
                sys.modules[name] = module
            exec(compile(text, "solution.py", "exec", dont_inherit=True), module.__dict__)
        for name in self._names:
            sys.modules[name] = module
        self._answer_to_solution()

    def load_stub(self) -> None:
        """Put something agreeable where a solution would be."""
        anything = Agreeable()
        self.solution.__dict__["__getattr__"] = lambda _name: anything
        for name in (*self._names, *self.parts):
            sys.modules[name] = self.solution
        self.solution.__dict__.update(dict.fromkeys(self.suite.missing_names(), anything))

    def fails_by_itself(self, message: str) -> bool:
        """Whether a suite that does not load with a stub fails of what no solution can have given it."""
        return not Agreeable.used and Agreeable.__name__ not in message

    def load_suite(self) -> None:
        """Run the suite's module with the solution's names as globals; whatever it raises goes to the caller."""
        module = self.tests
        module.__file__ = "tests.py"
        module.__loader__ = SourceLoader("")  # type: ignore[assignment]
        sys.modules["tests"] = sys.modules["__main__"] = module
        if self.pytest is not None:
            sys.modules["pytest"] = self._stand_in
        module.__dict__.update(self._shared_names())
        if self.suite.starred and self.parts:
            self._starred = self._starred_names()
            module.__dict__.update(self._starred)
        module.__dict__.update(self.suite.explainers)
        exec(self.suite.compiled(), module.__dict__)

    def own_names(self) -> list[str]:
        """Names that the suite itself put into its module, in the order in which it did."""
        shared = self.solution.__dict__
        return [
            name
            for name, value in self.tests.__dict__.items()
            if name in self.suite.bound or name not in shared or shared[name] is not value
            if name not in self._starred or self._starred[name] is not value
        ]

    def public_functions(self) -> list[str]:
        """Names of functions that the solution itself defines, in its order."""
        return [
            name
            for name, value in self.solution.__dict__.items()
            if not name.startswith("_") and isinstance(value, FunctionType) and value.__module__ == "solution"
        ]

    def changed(self) -> str:
        """What of the machinery was changed since prepare(), in one line; empty when nothing was."""
        for name, module in self._kept_modules.items():
            if sys.modules.get(name) is not module:
                return f"the solution replaced the module {name}"
        for owner, now, before in self._kept:
            name = difference(now, before)
            if name:
                return f"the solution changed {owner}.{name}"
        return self._changed_numpy()

    def _changed_numpy(self) -> str:
        for owner, now, before in self._kept_numpy:
            name = replaced(now, before)
            if name:
                return f"{owner}.{name} was changed"
        return ""

    def keep_again(self) -> None:
        """Take what is there now as right: the suite was loaded, and it may arrange unittest as it likes."""
        self._keep()

    def changed_unittest(self) -> str:
        """As changed(), for unittest's classes only: a running test may well patch a builtin."""
        for owner, now, before in self._kept:
            if owner != "builtins" and difference(now, before):
                return f"{owner} was changed while a test ran"
        return self._changed_numpy()

    def value_of(self, name: str) -> Any:
        """What the solution has under a name. NameError when it has nothing."""
        if name not in self.solution.__dict__:
            raise NameError(f"name {name!r} is not defined by the solution")
        return self.solution.__dict__[name]

    def objection(self) -> str:
        """Why a test that passed has failed after all; empty when it has not."""
        return self.changed_unittest()

    def begin_test(self) -> None:
        """A test begins: what is asked of it afterwards counts from here."""

    def was_decided(self) -> bool:
        """Whether the solution's own code decided a comparison of the test. In one process nobody knows."""
        return False

    def may_be_rewritten(self) -> bool:
        """Whether the test may have passed by an argument that the solution changed. In one process nobody knows."""
        return False

    def _shared_names(self) -> dict[str, Any]:
        shared = self.solution.__dict__
        for name in sorted(shared.keys() & self.suite.loaded - self.suite.bound):
            if not name.startswith("__") and name in BUILTIN_NAMES:
                self.notes.append(f"the solution's {name} was not given to the tests: it is the name of a builtin")
        return {n: v for n, v in shared.items() if has_shared_name(n) and n not in self.suite.bound}

    def _starred_names(self) -> dict[str, Any]:
        """What the suite reads of the modules of the solution from which it imports every name."""
        found: dict[str, Any] = {}
        for module in self.suite.starred:
            if module in self._names:
                continue  # its names are given anyway
            __import__(module)
            for name in sorted(self.suite.loaded - self.suite.bound):
                if not name.startswith("_") and has_shared_name(name):
                    try:
                        found[name] = getattr(sys.modules[module], name)
                    except AttributeError:
                        continue
        return found

    def _answer_to_solution(self) -> None:
        if not self.suite.calls_solution or hasattr(self.solution, "solution"):
            return
        functions = self.public_functions()
        if len(functions) == 1:
            self.solution.__dict__["solution"] = self.solution.__dict__[functions[0]]
            self.notes.append(f"the tests call solution; the solution's only public function {functions[0]} was taken")

    @staticmethod
    def _offer_numpy() -> None:
        """Have it before the solution does, where it is offered."""
        try:
            __import__(NUMPY[1])
        except ImportError:  # the suite will hear of it
            return

    def _watched(self) -> Iterator[tuple[str, Any]]:
        yield "builtins", builtins
        unittest = self.unittest
        if unittest is not None:
            for owner in (unittest.TestCase, unittest.TestSuite, unittest.TestResult, unittest.FunctionTestCase):
                yield f"unittest.{owner.__name__}", owner
            yield "unittest", unittest
        if "doctest" in sys.modules:
            doctest: Any = sys.modules["doctest"]
            for owner in (doctest.DocTestRunner, doctest.OutputChecker):
                yield f"doctest.{owner.__name__}", owner
        if self.pytest is not None:
            for owner in (self.pytest.Raises, self.fixtures.Approx):
                yield f"pytest.{owner.__name__.lower()}", owner
            yield "pytest", self._stand_in

    def _keep(self) -> None:
        kept = ("builtins", "sys", "posix", "time")
        names = [n for n in sys.modules if n in kept or n.partition(".")[0] == "unittest"]
        self._kept_modules = {name: sys.modules[name] for name in names}
        self._kept = [(name, vars(owner), dict(vars(owner))) for name, owner in self._watched()]
        if self.suite.mentions_numpy:
            self._offer_numpy()
        found = [(name, vars(sys.modules[name])) for name in NUMPY if name in sys.modules]
        self._kept_numpy = [(name, now, dict(now)) for name, now in found]
