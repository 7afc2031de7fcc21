"""What share of hidden tests a program passed, and how little is told of them."""

from dataclasses import dataclass

from prismenv import Verdict

NO_REWARD_FAULTS = ("tests", "environment", "infrastructure")  # nothing was learnt of the program


@dataclass(slots=True)
class Shares:
    """Of the programs that one suite judged in turn. `most_tests` is the most that a verdict counted."""

    most_tests: int = 0

    def of(self, verdict: Verdict) -> float:
        """The share of tests that passed: 1 for a program that passes and less for any other.

        A program that ends its run early leaves tests uncounted; they are known from the attempts before it.
        """
        if verdict.success:
            return 1.0
        if verdict.outcome == "forgery_attempt":
            return 0.0
        total = verdict.tests_passed_num + verdict.tests_failed_num + verdict.tests_errored_num
        self.most_tests = max(self.most_tests, total, verdict.tests_passed_num + 1)
        return verdict.tests_passed_num / self.most_tests


def counts_told(verdict: Verdict) -> str:
    """Counts and the outcome, and nothing else of the tests."""
    passed, failed, errored = verdict.tests_passed_num, verdict.tests_failed_num, verdict.tests_errored_num
    return f"{passed} tests passed, {failed} failed, {errored} errored. Outcome: {verdict.outcome}."
