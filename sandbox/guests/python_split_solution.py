"""The solution's process of a split verdict: loads the candidate's code and serves what the judge asks of it.

Nothing in here is trusted by anybody: the candidate's code shares the process. What it may be known by is what it sends
over the bridge, and the judge takes that for what a stranger says. It is never sent a test.
"""

import builtins
import posix
import sys
from _warnings import filters as warning_filters
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from guest_process import (
    SourceLoader,
    limit_memory,
    limit_process,
    move_out_of_reach,
    offer_exit,
    open_channel,
    reserve_memory,
)
from split_files import Borrower
from split_notices import tell
from split_operations import operations
from split_solution_link import SolutionLink
from split_wire import Wire

BRIDGE = 3
_ready: list[tuple[SolutionLink, Borrower]] = []
MOST_NAMES = 20_000
SHOWN_CHARACTERS = 10**6  # of a longer text no line is shown in a traceback


class Candidate:
    """The solution's module, loaded when the judge says so."""

    def __init__(self, text: str, names: list[str], files: Any = None) -> None:
        self._text = text
        self._names = names
        self._files = files  # what lays out and loads a solution of several; None: it is one text

    def load(self, link: SolutionLink, told: list[str]) -> list[Any]:
        """Run the module; gives its names, its public functions, and the objects that are no data by name.

        `told` are the modules whose notices the judge wants.
        """
        module = ModuleType("solution")
        module.__dict__["__builtins__"] = builtins
        if self._files is None:
            self._run_text(module, link, told)
        else:
            tell(link, told)
            self._files.load(module)
        for name in self._names:
            sys.modules[name] = module
        names = [name for name in list(module.__dict__) if type(name) is str][:MOST_NAMES]
        public = [
            name
            for name in names
            if not name.startswith("_")
            and isinstance(value := module.__dict__[name], FunctionType)
            and value.__module__ == "solution"
        ]
        objects = {
            name: value
            for name in names
            if isinstance(value := module.__dict__[name], (FunctionType, type)) and not name.startswith("__")
        }
        return [module, names, public, list(objects), list(objects.values())]

    def _run_text(self, module: ModuleType, link: SolutionLink, told: list[str]) -> None:
        # Not before it is asked for: what is too much for the compiler is then known to be the candidate's doing.
        code = compile(self._text, "solution.py", "exec", dont_inherit=True)
        tell(link, told)
        module.__dict__.update(__file__="solution.py", __loader__=SourceLoader(self._text))
        for name in self._names:
            sys.modules[name] = module
        exec(code, module.__dict__)


def warm() -> tuple[SolutionLink, Borrower]:
    """What serves the judge, made before there is one: in a process that serves many runs once for all of them."""
    if not _ready:
        borrower = Borrower()
        _ready.append((SolutionLink(operations(borrower)), borrower))
        offer_exit()
    return _ready[0]


def renew() -> None:
    """Make it anew, where it was used."""
    _ready.clear()
    warm()


def serve(payload: dict[str, Any], load: Callable[[str], ModuleType], wire: Wire, leave: Callable[[int], Any]) -> None:
    """Answer what comes over the wire until the judge is gone."""
    files = load("python_files").Files(payload) if payload["files"] else None
    candidate = Candidate(payload["solution"], payload["modules"], files)
    link, borrower = warm()
    link.attach(wire, candidate.load, leave)
    if files is not None:
        borrower.keep(files.contents)
        if sum(map(len, files.sources.values())) > SHOWN_CHARACTERS:
            files.sources.clear()
        link.codec.lines = {path: text.split("\n") for path, text in files.sources.items()}
    elif len(payload["solution"]) <= SHOWN_CHARACTERS:
        link.codec.lines = {"solution.py": payload["solution"].split("\n")}
    link.serve()


def main(payload: dict[str, Any], load: Callable[[str], ModuleType]) -> None:
    """Serve until the judge is gone."""
    warning_filters.insert(0, ("ignore", None, SyntaxWarning, None, 0))  # a compiler's remark is no output
    leave = posix._exit  # noqa: SLF001 - its public name
    try:
        send, bridge = open_channel(payload["nonce"]), move_out_of_reach(BRIDGE)
        limit_process(payload["limits"], payload["marker"])
        reserve_memory(payload["limits"]["memory_bytes"])
        send("ready")
        limit_memory(payload["limits"]["memory_bytes"])
        serve(payload, load, Wire(bridge), leave)
    finally:
        leave(70)
