"""What a program of tests reported: the one shape that every reader of results gives."""

from dataclasses import dataclass, field

from prismenv.isolation.transcript import CaseReport
from prismenv.words.verdict import CaseOutcome

MOST_TESTS = 10_000
NAME_CHARACTERS = 300
MESSAGE_CHARACTERS = 2000


@dataclass(slots=True)
class TestResults:
    """Tests in their order. `expected` is how many there should have been, None: it was not said.

    `problem` is why they cannot be believed to be all, empty: they can.
    """

    __test__ = False  # not pytest's

    names: list[str] = field(default_factory=list)
    reports: dict[int, CaseReport] = field(default_factory=dict)
    expected: int | None = None
    problem: str = ""

    def add(self, name: str, outcome: CaseOutcome, detail: str = "") -> None:
        """One test; two of the same name are told apart by their number."""
        if len(self.names) == MOST_TESTS:
            self.problem = self.problem or f"it reported more than {MOST_TESTS} tests"
            return
        number = len(self.names) + 1
        called = name.strip()[:NAME_CHARACTERS] or f"test {number}"
        self.names.append(f"{called} ({number})" if called in self.names else called)
        self.set_report(number - 1, outcome, detail)

    def set_report(self, index: int, outcome: CaseOutcome, detail: str) -> None:
        """What became of a test that was added."""
        text = detail.strip()[:MESSAGE_CHARACTERS]
        self.reports[index] = CaseReport(outcome, text.partition("\n")[0], text, out_of_memory=False, wall_seconds=None)

    def lengthen(self) -> None:
        """Name the tests that should have been and were not reported."""
        missing = min(self.expected or 0, MOST_TESTS) - len(self.names)
        self.names += [f"test {len(self.names) + number}" for number in range(1, missing + 1)]
