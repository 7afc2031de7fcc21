"""What the library would run among the tests: texts that it compiles, data that makes objects, libraries that it opens.

A suite that evaluates what the solution answers is seen by its own syntax tree (split_limits). Much else does it on its
behalf: types are evaluated that are texts, a debugger runs a command, a snapshot is a pickle. So the interpreter itself
tells here of every text that is compiled, every name that a pickle asks for, every library that is opened (an audit
hook), and who does it. A text is let through where it stands in the suite, or where nothing in it calls or binds
(split_hints); what a pickle may ask for is data and the suite's own classes. Anything else ends the run: it cannot be
split.
"""

import sys
from _ast import Call, ClassDef, Constant, FunctionDef
from typing import Any

from python_suite import Suite
from split_hints import MARK, shown

WATCHED = frozenset(
    {"compile", "pickle.find_class", "marshal.loads", "marshal.load", "ctypes.dlopen", "sqlite3.load_extension"}
)
# They compile what they made themselves of checked names, what lies in files that split_imports lets through, or what
# their own guards have seen (split_limits).
MAKERS = frozenset(
    {"_frozen_importlib", "_frozen_importlib_external", "ast", "collections", "dataclasses", "doctest", "gettext",
     "importlib", "multiprocessing", "py_compile", "runpy", "timeit", "unittest", "zipimport"}
)  # fmt: skip
# Packages that make programs of the texts that they are given.
TEXT_RUNNERS = frozenset({"asteval", "jinja2", "mako", "numexpr", "pandas", "simpleeval", "sympy"})
PICKLERS = frozenset({"pickle", "_pickle", "copyreg"})
READERS = frozenset({"_frozen_importlib", "_frozen_importlib_external", "importlib", "zipimport"})
SUITE = frozenset({"tests", "__main__"})
DATA_MODULES = frozenset(
    {"array", "collections", "datetime", "decimal", "fractions", "ipaddress", "pathlib", "pathlib._local", "uuid",
     "zoneinfo"}
)  # fmt: skip
DATA = frozenset(
    {("builtins", name) for name in
     ("set", "frozenset", "bytearray", "complex", "slice", "range", "object", "int", "float", "str", "list", "dict",
      "tuple", "bytes", "bool")}
    | {("copyreg", "_reconstructor"), ("_codecs", "encode"), ("types", "SimpleNamespace"), ("solution", "_restored")}
    | {(f"numpy.{core}.{part}", name) for core in ("core", "_core")
       for part, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))}
    | {("numpy", "ndarray"), ("numpy", "dtype")}
)  # fmt: skip
MOST_SHOWN = 100
AMONG = "here it would run among the tests"


class Texts:
    """Stands where texts become code: watches from `begin` to `end`, in a process that may serve many runs."""

    _link: Any = None  # ends the run
    _suite: Any = None
    _own: frozenset[str] | None = None

    def install(self) -> None:
        """Have the interpreter tell. That is for good: it forgets nobody that it tells."""
        sys.addaudithook(self._hear)

    def take(self, suite: Suite) -> None:
        """Know what stands in this suite."""
        self._suite, self._own = suite, None

    def begin(self, link: Any) -> None:
        """Watch from here on."""
        self._link = link

    def end(self) -> None:
        """Watch nothing any more, and hold nothing: the next one would have to give up what this one had."""
        self._link = self._suite = self._own = None

    def are_own(self, text: str) -> bool:
        """Whether a text stands in the suite."""
        return _bare(text) in self._own_texts()

    def hold(self, part: str) -> bool:
        """Whether a text of the suite holds a part."""
        return any(part in each for each in self._own_texts())

    def ends_own(self, end: str) -> bool:
        """Whether a text of the suite ends so."""
        return any(each.endswith(end) for each in self._own_texts())

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event not in WATCHED or self._link is None:
            return
        frame = sys._getframe(1)  # noqa: SLF001 - there is no other way to know who asks
        if event == "compile":
            self._weigh_text(given[0], _module_of(frame))
        elif event == "pickle.find_class":
            while frame.f_back is not None and _module_of(frame) in PICKLERS:
                frame = frame.f_back
            self._weigh_name(str(given[0]), str(given[1]), _module_of(frame))
        elif event == "ctypes.dlopen":
            if isinstance(given[0], (str, bytes)):
                self._weigh_library(given[0])
        elif event == "sqlite3.load_extension":
            self._weigh_library(given[1])
        elif _root(_module_of(frame)) not in READERS | SUITE:  # a suite's own call is split_limits' matter
            self._refuse(f"{_module_of(frame)} reads marshalled data")

    def _weigh_text(self, text: Any, module: str) -> None:
        if text is None or not self._is_watched(module):  # None: a tree, which is what somebody made of a text
            return
        text = bytes(text).decode("utf-8", "replace") if not isinstance(text, str) else text
        if text.startswith(MARK) or shown(text) == text or self.are_own(text):
            return
        who = "it" if module in SUITE else module
        self._refuse(f"{who} runs a text that does not stand in the suite, {text[:MOST_SHOWN]!r}")

    def _is_watched(self, module: str) -> bool:
        if module in SUITE:
            return "compile" not in self._suite.words  # else it looks whether it compiles: split_limits sees it run
        root = _root(module)
        return root in TEXT_RUNNERS or (root in sys.stdlib_module_names and root not in MAKERS)

    def _weigh_name(self, module: str, name: str, asker: str) -> None:
        if module in DATA_MODULES or (module, name) in DATA or (asker in SUITE and self._has_own_pickles()):
            return
        first, *inner = name.split(".")
        if module in SUITE and first in self._defined() and not any(part.startswith("_") for part in inner):
            return
        self._refuse(f"{asker} makes objects of pickled data, by {module[:MOST_SHOWN]}.{name[:MOST_SHOWN]}")

    def _weigh_library(self, path: Any) -> None:
        self._link.imports.check(path.decode("utf-8", "replace") if isinstance(path, bytes) else str(path))

    def _refuse(self, what: str) -> None:
        self._link.end("unsplit", f"{what}: {AMONG}")

    def _own_texts(self) -> frozenset[str]:
        """The texts of the suite, bare: its constants, and its annotations where they are kept as texts."""
        if self._own is None:
            found = {node.value for node in self._suite.nodes if isinstance(node, Constant) and _is_text(node.value)}
            codes = [self._suite.compiled()]
            for code in codes:
                codes += [each for each in code.co_consts if isinstance(each, type(code))]
                for each in code.co_consts:
                    found.update(filter(_is_text, each if isinstance(each, tuple) else (each,)))
            self._own = frozenset(map(_bare, found))
        return self._own

    def _has_own_pickles(self) -> bool:
        """Whether the suite pickles what it loads: only then it may load what is not known to be data."""
        calls = [node for node in self._suite.nodes if isinstance(node, Call) and node.args]
        return any(isinstance(node.args[0], Call) and _called(node.args[0]) == "dumps" for node in calls)

    def _defined(self) -> set[str]:
        return {node.name for node in self._suite.nodes if isinstance(node, (ClassDef, FunctionDef))}


def _module_of(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _root(module: str) -> str:
    return module.partition(".")[0]


def _called(call: Call) -> str:
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def _is_text(value: Any) -> bool:
    return type(value) is str


def _bare(text: str) -> str:
    """A text without what tells two spellings of the same line apart."""
    return "\n".join(line.strip() for line in text.strip().split("\n"))
