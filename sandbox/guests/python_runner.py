"""Collects the tests of a loaded suite and runs them one by one, telling of each as it ends."""

from collections.abc import Callable, Iterator
from types import CoroutineType, FunctionType
from typing import Any, NamedTuple

from python_output import Flush
from python_report import Reporter
from python_suite import MOST_TESTS, NAME_CHARACTERS, SuiteError
from python_world import World


class Entry(NamedTuple):
    """One collected test. `cls` None is a plain function; `method` is its name in the class or the suite.

    `variant` is what a test in pytest's style is given, None for any other.
    """

    name: str
    method: str
    cls: type | None
    is_case: bool = False
    variant: Any = None

    @property
    def owner(self) -> str:
        """Name of the class, empty for a function."""
        return self.cls.__qualname__ if self.cls else ""


class Ended(NamedTuple):
    """How one test ended, as it is sent."""

    outcome: str
    message: str = ""
    detail: str = ""
    out_of_memory: bool = False


PASSED = Ended("passed")


def test_methods(cls: type, foreign: frozenset[str]) -> list[str]:
    """Names of the test methods of a class, those of its bases first, in the order of their definition.

    A base from one of the `foreign` modules brings none: tests are the suite's.
    """
    names: dict[str, None] = {}
    for owner in reversed(cls.__mro__):
        if owner.__module__ in foreign:
            continue
        names.update(dict.fromkeys(name for name in owner.__dict__ if name.startswith("test")))
    return [name for name in names if callable(getattr(cls, name, None))]


class Runner:
    """Runs what was collected, in the order of definition; `send` gets `start` and `end` frames."""

    def __init__(self, world: World, reporter: Reporter, send: Callable[..., None], clock: Callable[[], float]) -> None:
        self.world = world
        self.reporter = reporter
        self.send = send
        self.clock = clock
        self._flush = Flush()
        unittest = world.unittest
        self._case_base: Any = unittest.TestCase if unittest else None
        pytest = world.pytest
        self._skips: tuple[Any, ...] = (unittest.SkipTest,) if unittest else ()
        self._failures: tuple[Any, ...] = (pytest.Failed,) if pytest else ()
        if pytest:
            self._skips += (pytest.Skipped,)
        self._session = world.fixtures.Session(world.tests, world.suite.bound, self._finish) if pytest else None
        self._candidate = ""
        self.entries = self._collect()
        if len(self.entries) > MOST_TESTS:
            raise SuiteError(f"the suite makes {len(self.entries)} tests, at most {MOST_TESTS} are judged")
        world.keep_again()

    def names(self) -> list[str]:
        """Names of the collected tests; an index into this list is what frames speak of."""
        return [entry.name[:NAME_CHARACTERS] for entry in self.entries]

    def run(self, skip: frozenset[int]) -> None:
        """Run every entry whose index is not in `skip`."""
        self._flush()
        waiting = [(index, entry) for index, entry in enumerate(self.entries) if index not in skip]
        if self._session is not None:
            self._session.plan([entry for _, entry in waiting])
        while waiting:
            count = next((i for i, (_, entry) in enumerate(waiting) if not entry.is_case), len(waiting))
            if count:
                self._run_cases(waiting[:count])
            else:
                self._run_plain(*waiting[0])
            waiting = waiting[max(count, 1) :]

    def started(self, index: int) -> float:
        """Tell that a test begins; gives the time."""
        self.world.printed.begin()
        self.send("start", index)
        self.world.begin_test()
        return self.clock()

    def ended(self, index: int, begun: float | None, ended: Ended) -> None:
        """Tell how a test ended. `begun` None means that it never ran."""
        self._flush()
        decided = self.world.was_decided()
        if ended.outcome == "passed":
            ended = self._confirmed(index)
        if begun is not None and ended.outcome not in ("passed", "skipped"):
            printed = self.world.printed.text()
            ended = ended._replace(detail=f"{ended.detail}\n\nprinted:\n{printed}") if printed else ended
        # The next test of the same class begins at once: nothing but the harness runs between the two frames.
        following = self.entries[index + 1 : index + 2]
        hold = bool(following) and following[0].cls is self.entries[index].cls
        wall = None if begun is None else max(self.clock() - begun, 0.0)
        told = (ended.outcome, ended.message, ended.detail, ended.out_of_memory, wall, decided)
        self.send("end", index, *told, hold=hold)

    def judged(self, error: BaseException, failure: tuple[type[BaseException], ...] = (AssertionError,)) -> Ended:
        """The end of a test that raised `error`: a skip counts only when the solution had no part in it."""
        by_solution = self.reporter.touches_solution(error.__traceback__)
        if self._skips and isinstance(error, self._skips) and not by_solution:
            return Ended("skipped", self.reporter.short(error))
        outcome = "failed" if isinstance(error, failure + self._failures) else "errored"
        memory = isinstance(error, MemoryError)
        return Ended(outcome, self.reporter.short(error), self.reporter.detail(error), memory)

    def _confirmed(self, index: int) -> Ended:
        """What a test that passed comes to when everything else is known of it."""
        objection = self.world.objection()
        if objection:
            return Ended("failed", objection, objection)
        if self.world.may_be_rewritten():
            self.send("suspect", index, hold=True)
        return PASSED

    def _collect(self) -> list[Entry]:
        if self.world.suite.is_check:
            self._candidate = self._name_of_candidate()
            return [Entry("check", "check", None)]
        if self.world.suite.examples is not None:
            return [Entry(each.name, "", None, variant=each) for each in self.world.suite.examples.groups]
        entries = [entry for name in self.world.own_names() for entry in self._entries(name)]
        if self._session is not None:
            entries = [variant for entry in entries for variant in self._session.entries(entry)]
        return entries

    def _entries(self, name: str) -> Iterator[Entry]:
        value = self.world.tests.__dict__[name]
        if getattr(value, "__module__", None) != "tests":
            return
        if isinstance(value, type):
            is_case = self._case_base is not None and issubclass(value, self._case_base)
            if is_case or (name.startswith("Test") and getattr(value, "__init__", None) is object.__init__):
                for method in test_methods(value, self.world.suite.modules):
                    yield Entry(f"{value.__qualname__}.{method}", method, value, is_case)
        elif isinstance(value, FunctionType) and name.startswith("test"):
            yield Entry(name, name, None)

    def _run_cases(self, batch: list[tuple[int, Entry]]) -> None:
        waiting = batch
        while waiting:
            recorder = self.world.recorder(self, waiting)
            try:
                recorder.run()
            except BaseException as error:
                recorder.interrupted(error)
            recorder.close()
            waiting = recorder.left

    def _run_plain(self, index: int, entry: Entry) -> None:
        begun = self.started(index)
        try:
            self._call(entry)
            ended = PASSED
        except BaseException as error:
            ended = self.judged(error)
        self.ended(index, begun, ended)

    def _call(self, entry: Entry) -> None:
        names = self.world.tests.__dict__
        if self.world.suite.is_check:
            names["check"](self._resolved(self._candidate))
            return
        if self.world.suite.examples is not None:
            self.world.suite.examples.run(entry.variant, names, self.reporter)
            return
        if self._session is not None:
            self._session.run(entry)
            return
        if entry.cls is None:
            self._finish(names[entry.name]())
            return
        instance = entry.cls()
        self._hook(entry.cls, "setup_class")
        self._hook(instance, "setup_method")
        try:
            self._finish(getattr(instance, entry.method)())
        finally:
            self._hook(instance, "teardown_method")
            self._hook(entry.cls, "teardown_class")

    def _hook(self, owner: Any, name: str) -> None:
        hook = getattr(owner, name, None)
        if hook is not None:
            code = getattr(hook, "__code__", None)
            hook(*([None] if code is not None and code.co_argcount > 1 else []))

    def _finish(self, value: Any) -> None:
        if isinstance(value, CoroutineType):
            import asyncio  # noqa: PLC0415 - only suites with coroutines pay for it

            asyncio.run(value)
        elif hasattr(value, "__next__"):
            raise TypeError("a test that yields is not supported: it would check nothing")

    def _name_of_candidate(self) -> str:
        named = self.world.suite.candidate
        if named is not None:
            return named
        public = self.world.public_functions()
        if public:
            self.world.notes.append(
                f"check() does not say what it checks; the last public function {public[-1]} was taken"
            )
        return public[-1] if public else ""

    def _resolved(self, name: str) -> Any:
        if not name:
            raise NameError("the solution defines no public function that check() could be called with")
        if name in self.world.suite.bound:
            return self.world.tests.__dict__[name]
        return self.world.value_of(name)
