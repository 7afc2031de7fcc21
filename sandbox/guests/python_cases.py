"""Takes what unittest reports of a group of tests and turns it into one end for each."""

import sys
import unittest
from typing import Any

from python_runner import PASSED, Ended, Entry, Runner

Suite, Case = unittest.TestSuite, unittest.TestCase  # as they were before there was a solution
PLAIN = {name: getattr(Case, name).__func__ for name in ("setUpClass", "tearDownClass")}
FIXTURES = ("setUpModule", "tearDownModule")
SHOWN = 3  # how many failed sub-tests of one test are told in full


def _is_plain(cls: Any) -> bool:
    """Whether nothing is to be done before and after the tests of a class, as far as the class says."""
    return all(getattr(getattr(cls, name), "__func__", None) is found for name, found in PLAIN.items())


class Recorder(unittest.TestResult):
    """One end for each test: sub-tests are gathered in theirs, a failed fixture fails the tests that needed it."""

    def __init__(self, runner: Runner, batch: list[tuple[int, Entry]]) -> None:
        super().__init__()
        self.left = batch  # those that were not told of when an exception ended the group early
        self._runner = runner
        self._indexes: dict[int, int] = {}
        self._ends: list[Ended] = []
        self._begun: dict[int, float] = {}
        self._told: set[int] = set()
        self._fixtures: list[tuple[str, Ended]] = []
        self._interrupted = False
        self._blamed: BaseException | None = None
        self._instances = [self._instance(index, entry) for index, entry in batch]

    def run(self) -> None:
        """Run the test cases as a suite of unittest's would; what passes it by is raised.

        Without fixtures of a class or of the module such a suite comes to calling one case after the other.
        """
        instances = [instance for instance in self._instances if instance is not None]
        names = self._runner.world.tests.__dict__
        if any(name in names for name in FIXTURES) or not all(map(_is_plain, {type(each) for each in instances})):
            Suite(instances).run(self)
            return
        previous = None
        for each in instances:
            if self.shouldStop:
                break
            if previous is not type(each):
                self._clean_up(previous, each)
                self._previousTestClass = previous = type(each)
            each(self)
        self._clean_up(previous, None)
        if unittest.case._module_cleanups:  # type: ignore[attr-defined]  # noqa: SLF001 - no public word for it
            Suite()._handleModuleTearDown(self)  # type: ignore[attr-defined]  # noqa: SLF001 - as above

    def _clean_up(self, previous: Any, following: Any) -> None:
        """Do what a class' own tests have left for its end."""
        if getattr(previous, "_class_cleanups", None):
            Suite()._tearDownPreviousClass(following, self)  # type: ignore[attr-defined]  # noqa: SLF001 - as above

    def interrupted(self, error: BaseException) -> None:
        """Something that unittest lets pass ended the group: a test's, which was told, or a fixture's."""
        if error is self._blamed:
            self._interrupted = True
        else:
            self._fixtures.append(("", self._runner.judged(error)))

    def close(self) -> None:
        """Tell of the tests that never ran because a fixture failed; keep the rest for another go."""
        for description, ended in self._fixtures:
            if description.startswith("tearDown"):
                self._runner.send("extra", description, ended.message, ended.detail)
        self.left = [(index, entry) for index, entry in self.left if index not in self._told]
        if self._interrupted:
            return
        for index, entry in self.left:
            self._runner.ended(index, None, self._fixture_of(entry))
        self.left = []

    def startTest(self, test: Any) -> None:  # noqa: N802 - unittest's
        self._ends = []
        index = self._indexes[id(test)]
        self._begun[index] = self._runner.started(index)

    def stopTest(self, test: Any) -> None:  # noqa: N802 - unittest's
        index = self._indexes[id(test)]
        if index in self._told:
            return
        error = sys.exc_info()[1]
        if not self._ends and error is not None:  # on its way out, past unittest: it ends the group as well
            self._blamed = error
            self._ends.append(self._runner.judged(error))
        self._tell(index, self._combined())

    def addSuccess(self, test: Any) -> None:  # noqa: ARG002, N802 - unittest's
        self._ends.append(PASSED)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's
        self._ends.append(self._runner.judged(err[1], (test.failureException,)))

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802 - unittest's
        ended = self._runner.judged(err[1], ())
        if ended.outcome == "skipped" and isinstance(err[1], Exception):  # pytest.skip() comes here and is right
            ended = Ended("errored", *ended[1:])
        if id(test) in self._indexes:
            self._ends.append(ended)
        else:
            self._fixtures.append((str(test), ended))

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802 - unittest's
        if err is None:
            return
        ended = self._runner.judged(err[1], (test.failureException,))
        which = str(subtest).partition(" ")[2].partition(") ")[2]
        self._ends.append(ended._replace(message=f"{which} {ended.message}", detail=f"{which}\n{ended.detail}"))

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802 - unittest's
        error = sys.exc_info()[1]
        ended = Ended("skipped", str(reason))
        if error is not None and self._runner.reporter.touches_solution(error.__traceback__):
            ended = Ended("errored", "the solution raised SkipTest", self._runner.reporter.detail(error))
        if id(test) in self._indexes:
            self._ends.append(ended)
        else:
            self._fixtures.append((str(test), ended))

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: ARG002, N802 - unittest's
        self._ends.append(PASSED)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: ARG002, N802 - unittest's
        text = "the test is marked as an expected failure, and it passed"
        self._ends.append(Ended("failed", text, text))

    def _instance(self, index: int, entry: Entry) -> Any:
        try:
            instance = entry.cls(entry.method)  # type: ignore[misc]
        except BaseException as error:
            self._tell(index, self._runner.judged(error))
            return None
        self._indexes[id(instance)] = index
        return instance

    def _combined(self) -> Ended:
        bad = [ended for ended in self._ends if ended.outcome in ("failed", "errored")]
        if not bad:
            if not self._ends:
                return Ended("errored", "the test ended without a result", "the test ended without a result")
            skipped = [ended for ended in self._ends if ended.outcome == "skipped"]
            return skipped[0] if skipped else PASSED
        outcome = "errored" if any(ended.outcome == "errored" for ended in bad) else "failed"
        message = "; ".join(ended.message for ended in bad[:SHOWN])
        if len(bad) > SHOWN:
            message += f"; {len(bad) - SHOWN} more"
        detail = "\n\n".join(ended.detail for ended in bad[:SHOWN])
        return Ended(outcome, message, detail, any(ended.out_of_memory for ended in bad))

    def _tell(self, index: int, ended: Ended) -> None:
        self._told.add(index)
        self._ends = []  # Python 3.12.1 does not announce a test that it skips
        self._runner.ended(index, self._begun.get(index), ended)

    def _fixture_of(self, entry: Entry) -> Ended:
        for description, ended in self._fixtures:
            fixture, _, owner = description.partition(" (")
            needed = not description or fixture == "setUpModule" or owner == f"tests.{entry.owner})"
            if needed and not fixture.startswith("tearDown"):
                return ended._replace(message=f"{fixture or 'the suite'}: {ended.message}")
        text = "the test was collected and never ran"
        return Ended("errored", text, text)
