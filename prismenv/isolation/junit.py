"""Reads JUnit's XML from what a program printed. The program may be hostile: it declares no entities and no document

type, and is read as it comes, without a tree.
"""

from dataclasses import dataclass, field
from xml.parsers import expat

from prismenv.isolation.testresults import MESSAGE_CHARACTERS, TestResults
from prismenv.words.verdict import CaseOutcome

MOST_DEPTH = 50
ENDS: dict[str, CaseOutcome] = {"failure": "failed", "error": "errored", "skipped": "skipped"}
WORST: tuple[CaseOutcome, ...] = ("errored", "failed", "skipped", "passed")


class _RefusedError(Exception):
    pass


@dataclass(slots=True)
class _Reading:
    results: TestResults
    depth: int = 0
    suites: int = 0
    case: str | None = None
    outcome: CaseOutcome = "passed"
    said: list[str] = field(default_factory=list)
    listening: bool = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise _RefusedError(f"its elements are nested more than {MOST_DEPTH} deep")
        if self.depth == 1 and tag not in ("testsuite", "testsuites"):
            raise _RefusedError(f"its first element is {tag[:40]!r}, not testsuite or testsuites")
        if tag == "testsuite":
            self._count(attributes.get("tests", ""))
        elif tag == "testcase":
            if self.case is not None:
                raise _RefusedError("a testcase stands within another")
            place = attributes.get("classname", "")
            self.case = f"{place}.{attributes.get('name', '')}" if place else attributes.get("name", "")
            self.outcome, self.said = "passed", []
        elif tag in ENDS and self.case is not None:
            self.outcome = min(self.outcome, ENDS[tag], key=WORST.index)
            self.said.append(attributes.get("message", ""))
            self.listening = True

    def _count(self, tests: str) -> None:
        self.suites += 1
        if tests.isascii() and tests.isdecimal() and len(tests) < 9:  # noqa: PLR2004 - no number that takes long to read
            self.results.expected = (self.results.expected or 0) + int(tests)

    def end(self, tag: str) -> None:
        self.depth -= 1
        if tag in ENDS:
            self.listening = False
        elif tag == "testcase" and self.case is not None:
            detail = "\n".join(part for part in self.said if part.strip())
            if self.outcome != "passed" and not detail:
                detail = self.outcome
            self.results.add(self.case, self.outcome, detail if self.outcome != "passed" else "")
            self.case = None

    def text(self, data: str) -> None:
        if self.listening and sum(map(len, self.said)) < MESSAGE_CHARACTERS:
            self.said.append(data)

    def refuse(self, *_: object) -> None:
        raise _RefusedError("it declares a document type")


def read_junit(text: str) -> TestResults:
    """The results that `text` holds; `problem` says why they are not whole."""
    results = TestResults()
    reading = _Reading(results)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = reading.refuse
    begin = text.find("<")
    try:
        parser.Parse(text[max(begin, 0) :].strip().encode("utf-8", "replace"), True)  # noqa: FBT003 - it is the last part
    except expat.ExpatError as error:
        results.problem = f"what it printed is no JUnit XML: {error}"
    except _RefusedError as error:
        results.problem = f"what it printed is no JUnit XML: {error}"
    if results.expected is not None and len(results.names) > results.expected and not results.problem:
        # Suites within suites count their tests twice, so more may be said than there are, never fewer.
        results.problem = f"it said {results.expected} tests and reported {len(results.names)}"
    if reading.suites == 1:
        results.lengthen()
    return results
