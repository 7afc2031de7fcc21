"""What outcomes say of one cell: effective counts of solved problems, and partial credit of the unsolved ones.

Problems of one cell are not alike, so several answers to the same problem say less of the cell than answers to several
problems. m answers to one problem count as m / (1 + (m - 1) r) answers, the design effect of clustered samples (Kish
1965), with r the correlation within a problem, which is learned (`correlation`). Answers to different problems are
independent given the cell.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from math import log

from prismenv.search.adaptive.correlation import USUAL, Pattern, effective_answers, next_answer
from prismenv.words.nodes import NodeOutcome
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.verdict import Fault

_MEASURED: tuple[Fault, ...] = ("none", "candidate")


@dataclass(frozen=True, slots=True)
class Answer:
    """One measured problem of one node.

    `problem` is equal for answers to the same problem. `credit` is the logit of the share of tests that the last judged
    attempt passed, shrunk by half a test; None for a solved problem, and where fewer than two tests were counted.
    """

    problem: str
    solved: bool
    credit: float | None


def answers_of(outcome: NodeOutcome, *, fixed: bool) -> list[Answer]:
    """The measured problems of an outcome; none where it says nothing about the candidate.

    `fixed`: the node is one problem, the same each time. Else problems are told apart by the result's `problem_id`,
    their titles or statements, and count as new where there are neither.
    """
    if not outcome.measured:
        return []
    result = outcome.result
    if result is None or not result.problems:
        name = outcome.request.node_id if fixed else _name(outcome, None)
        return [Answer(name, outcome.success, None if outcome.success else _credit(result, None))]
    answers = []
    for problem in result.problems:
        if problem.fault in _MEASURED:
            name = f"{outcome.request.node_id}/{problem.problem_index}" if fixed else _name(outcome, problem)
            credit = None if problem.success else _credit(result, problem)
            answers.append(Answer(name, problem.success, credit))
    return answers


def _name(outcome: NodeOutcome, problem: ProblemSummary | None) -> str:
    result = outcome.result
    index = 0 if problem is None else problem.problem_index
    if result is not None:
        if known := result.get("problem_id"):
            return f"id {known} {index}"
        if problem is not None and problem.title:
            return f"title {problem.title}"
        for record in _records(result, problem):
            if record.problem_statement:
                return f"statement {blake2b(record.problem_statement.encode(), digest_size=16).hexdigest()}"
    return f"request {outcome.request.index} {index}"


def _credit(result: ChallengeResults | None, problem: ProblemSummary | None) -> float | None:
    for record in () if result is None else reversed(list(_records(result, problem))):
        passed = record.tests_passed_num
        missed = record.tests_failed_num + record.tests_errored_num
        if passed + missed >= 2:  # noqa: PLR2004 - of a single test there is no part
            return log((passed + 0.5) / (missed + 0.5))
    return None


def _records(result: ChallengeResults, problem: ProblemSummary | None) -> Iterator[TrailRecord]:
    for record in result.data_trail:
        if problem is None or record.problem_index == problem.problem_index:
            yield record


@dataclass(slots=True)
class _Problem:
    answers: int = 0
    solved: int = 0
    credits: int = 0
    credit: float = 0.0


class CellEvidence:
    """All that was measured of one cell."""

    def __init__(self, correlation: float = USUAL) -> None:
        self._problems: dict[str, _Problem] = {}
        self.measured = 0  # answers as they are
        self.solved = 0
        self.trials = 0.0  # effective ones
        self.effective_solved = 0.0
        self.credits = 0.0  # problems that have partial credit
        self.credit_sum = 0.0  # of their mean credits
        self.credit_squares = 0.0
        self.patterns: Counter[Pattern] = Counter()  # of problems with several answers
        self.correlation = correlation
        self._once = 0  # problems with a single answer
        self._once_solved = 0
        self._again = 0.0  # what an answer to a known problem brings, summed over answers

    def add(self, answer: Answer) -> None:
        """Count one answer."""
        problem = self._problems.setdefault(answer.problem, _Problem())
        self._count(problem, -1)
        problem.answers += 1
        problem.solved += answer.solved
        if answer.credit is not None:
            problem.credits += 1
            problem.credit += answer.credit
        self._count(problem, 1)
        self.measured += 1
        self.solved += answer.solved

    def gain(self) -> float:
        """Effective answers that one more is expected to bring.

        It is to a new problem about as often as there are problems met once among all answers (Good and Turing).
        """
        fresh = (self._once + 1) / (self.measured + 1)
        known = self._again / self.measured if self.measured else 1.0
        return fresh + (1 - fresh) * known

    def recount(self, correlation: float) -> None:
        """Take another correlation of answers to one problem."""
        self.correlation = correlation
        self.trials, self.effective_solved = float(self._once), float(self._once_solved)
        self._again = self._once * next_answer(1, correlation)
        for pattern, problems in sorted(self.patterns.items()):
            self._weigh(*pattern, problems)

    def _weigh(self, answers: int, solved: int, problems: int) -> None:
        weight = problems * effective_answers(answers, self.correlation)
        self.trials += weight
        self.effective_solved += weight * solved / answers
        self._again += problems * answers * next_answer(answers, self.correlation)

    def _count(self, problem: _Problem, sign: int) -> None:
        if not problem.answers:
            return
        self._weigh(problem.answers, problem.solved, sign)
        if problem.answers == 1:
            self._once += sign
            self._once_solved += sign * problem.solved
        else:
            pattern = (problem.answers, problem.solved)
            self.patterns[pattern] += sign
            if not self.patterns[pattern]:
                del self.patterns[pattern]
        if problem.credits:
            mean = problem.credit / problem.credits
            self.credits += sign
            self.credit_sum += sign * mean
            self.credit_squares += sign * mean * mean
