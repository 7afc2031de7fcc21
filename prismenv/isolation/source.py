"""A solution as guests are told of it: one text, or the files of a set."""

import sys
from dataclasses import dataclass
from typing import Any, Self

from prismenv.isolation.judgement import Finding
from prismenv.words.fileset import RESERVED, SOLUTION, FileSet
from prismenv.words.verdict import Verdict

ALONE = "solution.py"  # what the one text is called


@dataclass(frozen=True, slots=True)
class Source:
    """What is judged. `files` None: it is `text` alone; else that is the text of their entry.

    `module` is another name under which tests import it; None: there is none. `offered` are packages that tests have
    beside the library: a file of the set does not take the name of one.
    """

    text: str
    files: FileSet | None
    module: str | None
    offered: frozenset[str] = frozenset()

    @classmethod
    def of(cls, solution: str | FileSet, module: str | None, offered: frozenset[str] = frozenset()) -> Self:
        """The solution that a caller gave."""
        if isinstance(solution, str):
            return cls(solution, None, module)
        return cls(solution.text, solution, module, offered)

    def objection(self) -> Finding | None:
        """Why it cannot be judged under its module name; None when it can."""
        if self.module is None:
            return None
        if self.module not in sys.stdlib_module_names:
            return None
        message = f"the solution cannot be the module {self.module}: the standard library has one of that name"
        return Finding("invalid_tests", "tests", message)

    def payload(self, tests: str) -> dict[str, Any]:
        """What the guests are given of it and of the tests."""
        names = [SOLUTION, self.module or SOLUTION]
        given: dict[str, Any] = {"solution": self.text, "tests": tests, "entry": ALONE, "files": {}, "parts": {}}
        if self.files is not None:
            main = self.files.main
            parts = {n: path for n, path in self.files.modules().items() if n.partition(".")[0] not in self.offered}
            names += [name for name, path in parts.items() if path == main]
            given |= {"entry": main, "files": dict(self.files.files), "parts": parts}
            given["reserved"] = sorted(RESERVED | self.offered)
        return {**given, "modules": list(dict.fromkeys(names))}

    def program(self, name: str) -> tuple[str, dict[str, str], str]:
        """As a plain program: the path to start, all files, what their surrogates are. `name` is that of a text."""
        if self.files is None:
            return name, {name: self.text}, "surrogatepass"
        return self.files.main, dict(self.files.files), "surrogateescape"

    def noted(self, verdict: Verdict) -> Verdict:
        """The verdict, with a note of files that are no modules though they look like some."""
        if self.files is None:
            return verdict
        taken = {path for n, path in self.files.modules().items() if path and n.partition(".")[0] in self.offered}
        unnamed = sorted({*self.files.unnamed(), *(taken - {self.files.main})})
        notes = [f"{path} of the solution is no module: its name is one that the tests have" for path in unnamed]
        return verdict.model_copy(update={"notes": (*verdict.notes, *notes)}) if notes else verdict
