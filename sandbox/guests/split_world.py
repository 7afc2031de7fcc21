"""The suite's namespace in the judge's process, with what stands for the solution in it."""

import sys
from typing import Any

from guest_process import SourceLoader
from python_suite import Suite
from python_world import BUILTIN_NAMES, World, has_shared_name
from split_codec import wants
from split_files import WORDS, Lender
from split_judge_link import JudgeLink
from split_limits import imported, unsplittable, watch_timers
from split_lookups import Lookups
from split_notices import listening
from split_remote import RemoteClass, RemoteModule
from split_rewrites import reads_later
from split_source import show_source
from split_suite import class_names


class RemoteWorld(World):
    """As World, but that the solution is somewhere else."""

    def __init__(self, suite: Suite, modules: list[str], link: JudgeLink, entry: str) -> None:
        super().__init__(suite, modules)
        self._link = link
        self._entry = entry
        self._modules: Any = None  # finds those of a solution of several files
        self._there: list[str] = []
        self._public: list[str] = []
        self._objects: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        used = class_names(suite.nodes)
        link.names_class = lambda name: name[:1].isupper() or name in used

    def load_solution(self, text: str) -> None:
        """Have it loaded there; whatever it raises goes to the caller. `text` is what the tests see as its source."""
        module, names, public, objects, values = wants(self._link.request("L", listening(self.suite.words)), list)
        for each in (names, public, objects):
            if not all(type(name) is str for name in wants(each, list)):
                raise TypeError("names of the solution that are no text")
        self.solution = wants(module, RemoteModule)
        self._there, self._public = names, public
        self._objects = dict(zip(objects, wants(values, list), strict=True))
        self.solution.__file__ = self._entry
        if self._entry.endswith("/__init__.py"):
            self.solution.__path__ = []
        self._offer_restoring()
        self.solution.__loader__ = SourceLoader(text)  # type: ignore[assignment]
        for name in self._names:
            sys.modules[name] = self.solution
        if self._modules is not None:
            sys.meta_path.insert(sys.meta_path.index(self._link.imports), self._modules)  # the guard stays the last
        if "inspect" in self.suite.bound or "inspect" in self.suite.loaded:
            show_source(text)
        self._link.named.update(
            value.prism_number
            for name, value in self._objects.items()
            if type(value) is RemoteClass and name in self.suite.loaded and self._link.names_class(name)
        )
        self._answer_to_solution()
        if self.suite.words & WORDS:
            self._link.lender = Lender(self._link)

    def _offer_restoring(self) -> None:
        """Let pickle find, by a name, what makes an object of the solution's again of the bytes that stand for it."""
        link = self._link

        def restored(data: bytes) -> Any:
            return link.request("D", link.pack(data))

        restored.__module__, restored.__qualname__ = "solution", "_restored"
        self.solution.__dict__["_restored"] = link.restore = restored

    def _refuse_unsplittable(self) -> None:
        """End the run if the suite does what cannot be split."""
        why = unsplittable(self.suite.nodes, self.suite.words, frozenset((*self._names, *self.parts)))
        if why:
            self._link.end("unsplit", why)

    def _guard(self, load: Any) -> None:
        """Stand in the way of what would run or look up the solution's words."""

        def refuse(why: str) -> Any:
            return self._link.end("unsplit", why)

        suite, names = self.suite, frozenset(imported(self.suite.nodes).values())
        self._link.texts.take(suite)
        watch_timers(suite.nodes, names, refuse)
        lookups = Lookups(suite, self._link.texts, frozenset((*self._names, *self.parts)), refuse)
        lookups.guard(names)
        if self.pytest is not None:
            fixtures = load("python_builtin_fixtures")
            find = fixtures.named_place

            def checked(target: Any) -> Any:
                lookups.check_target(target)
                return find(target)

            fixtures.named_place = checked

    def load_suite(self) -> None:
        """As in World. A test case that derives from the solution's classes would be told of by the solution."""
        self._link.imports.begin(self._link)
        self._link.texts.begin(self._link)
        super().load_suite()
        base = self.unittest.TestCase if self.unittest is not None else ()
        for name, value in self.tests.__dict__.items():
            if type(value) is RemoteClass and value.prism_defined and issubclass(value, base):
                self._link.end("unsplit", f"the test case {name} derives from a class of the solution")

    def own_names(self) -> list[str]:
        shared = self._shared
        return [
            name
            for name, value in self.tests.__dict__.items()
            if name in self.suite.bound or name not in shared or shared[name] is not value
            if name not in self._starred or self._starred[name] is not value
        ]

    def public_functions(self) -> list[str]:
        return self._public

    def value_of(self, name: str) -> Any:
        """What the solution has under a name. NameError when it has nothing."""
        if name in self._objects:
            return self._objects[name]
        if name not in self._there:
            raise NameError(f"name {name!r} is not defined by the solution")
        return getattr(self.solution, name)

    def changed(self) -> str:
        return ""

    def changed_unittest(self) -> str:
        return ""

    def _keep(self) -> None:
        """Nothing here can be changed by the solution."""

    def objection(self) -> str:
        """Why a test that passed has failed after all; empty when it has not."""
        failures, self._link.failures = self._link.failures, []
        if failures:
            return f"the solution swallowed the {type(failures[0]).__name__} of a callback of the tests"
        return super().objection()

    def begin_test(self) -> None:
        link = self._link
        link.decided = False
        link.failures.clear()
        link.rewrites.clear()

    def was_decided(self) -> bool:
        return self._link.decided

    def may_be_rewritten(self) -> bool:
        """Whether the solution changed an argument in place that nothing reads in a later statement."""
        rewrites = self._link.rewrites
        return bool(rewrites) and not any(reads_later(self.suite.tree, *rewrite) for rewrite in rewrites)

    def prepare(self, load: Any) -> None:
        self._refuse_unsplittable()
        super().prepare(load)
        self._guard(load)
        if self.parts:
            self._modules = load("split_modules").Modules(self._link, self.parts)
        if self.unittest is not None:
            self._watch_expectations(self.unittest.case._AssertRaisesContext)  # noqa: SLF001 - no public word for it
        if self.pytest is not None:
            self._watch_expectations(self.pytest.Raises)

    def _watch_expectations(self, context: Any) -> None:
        """Let the link know which exceptions a running assertRaises waits for."""
        expected, leave = self._link.expected, context.__exit__

        def enter(self: Any) -> Any:
            expected.append(self.expected)
            return self

        def watched_leave(self: Any, *raised: Any) -> Any:
            expected.pop()
            return leave(self, *raised)

        context.__enter__, context.__exit__ = enter, watched_leave

    def _shared_names(self) -> dict[str, Any]:
        wanted, bound = self.suite.loaded, self.suite.bound
        for name in sorted(set(self._there) & wanted - bound):
            if not name.startswith("__") and name in BUILTIN_NAMES:
                self.notes.append(f"the solution's {name} was not given to the tests: it is the name of a builtin")
        shared = {n: v for n, v in self._objects.items() if has_shared_name(n) and n not in bound}
        for name in self._there:
            if name in wanted and name not in shared and name not in bound and has_shared_name(name):
                shared[name] = getattr(self.solution, name)
        self._shared = shared
        return shared

    def _answer_to_solution(self) -> None:
        if not self.suite.calls_solution or "solution" in self._there or len(self._public) != 1:
            return
        function = self._public[0]
        self._objects["solution"] = self.solution.__dict__["solution"] = self.value_of(function)
        self._there.append("solution")
        self.notes.append(f"the tests call solution; the solution's only public function {function} was taken")
