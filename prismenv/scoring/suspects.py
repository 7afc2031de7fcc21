"""Suites that look wrong: where it is rather the tests than the candidate that should be looked at.

Three signs, each of what is already stored. None is a proof, so the figures keep counting such nodes, and a report says
what they are without them.

`same_test`     at least three different solutions failed one test of a suite and none passed it, although each of them
                passed at least half of the other tests: they agree on the problem, and the test does not
`same_answer`   a solver's last solution and the fixer's are different programs, and failed the same tests with the same
                words: both read the problem in the same way, and the tests in another
`stub_passes`   a solution that does nothing passed the suite, or a stub passed it when it was tried
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from prismenv.scoring.problems import Score, scores_of
from prismenv.words.nodes import NodeOutcome
from prismenv.words.records import TrailRecord
from prismenv.words.verdict import CaseResult

Sign = Literal["same_test", "same_answer", "stub_passes"]
ENOUGH_SOLUTIONS = 3
FIXER = "problem_fixer"
_FAILED = ("failed", "errored", "timed_out")
_COMMENT = re.compile(r"#[^\n\"']*$", re.MULTILINE)
_DOES_NOTHING = re.compile(r"(?:pass|\.\.\.|return(?:\s+None)?|raise\s+NotImplementedError(?:\(.*\))?)\s*")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A suite that looks wrong. `tests` names the tests concerned, `solutions` counts the different programs."""

    sign: Sign
    node_id: str
    problem: str
    title: str
    tests: tuple[str, ...]
    solutions: int
    why: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "sign": self.sign,
            "node_id": self.node_id,
            "problem": self.problem,
            "title": self.title,
            "tests": list(self.tests),
            "solutions": self.solutions,
            "why": self.why,
        }


@dataclass(slots=True)
class _Suite:
    """What is known of one suite: the tests that a program passed, and by which programs the others were failed.

    `sound` is true once one program passed all: then no test of it is failed by all, and nothing more is kept.
    """

    node_id: str
    title: str
    passed: set[str] = field(default_factory=set)
    failed: dict[str, set[bytes]] = field(default_factory=dict)
    sound: bool = False


class Suspects:
    """Gathers the signs node by node. Its size depends on suites and different programs."""

    def __init__(self) -> None:
        self._suites: dict[bytes, tuple[str, _Suite]] = {}  # with the problem, by a digest of it and the tests' names
        self._found: dict[tuple[Sign, str], Suspect] = {}

    def add(self, outcome: NodeOutcome) -> None:
        """Look at one node."""
        for place, score in enumerate(scores_of(outcome)):
            records = _records(outcome, place)
            for record in records:
                self._count(score, record)
                if record.success and does_nothing(record.solution_code or ""):
                    self.tell_stub(score, title_of(record), "a solution that does nothing passed it")
            self._compare_fixer(score, records)

    def tell_stub(self, score: Score, title: str, why: str) -> None:
        """A stub passed the suite of this problem, `why` says which; from here or from whoever tried some."""
        self._tell(Suspect("stub_passes", score.node_id, score.problem, title, (), 1, why))

    def found(self) -> list[Suspect]:
        """All suspects, in a stable order."""
        return sorted(
            [*self._found.values(), *self._same_tests()], key=lambda item: (item.sign, item.node_id, item.problem)
        )

    def _tell(self, suspect: Suspect) -> None:
        self._found.setdefault((suspect.sign, suspect.problem), suspect)

    def _count(self, score: Score, record: TrailRecord) -> None:
        cases = _cases(record)
        if not cases or record.solution_code is None:
            return
        names = "\n".join([score.problem, *sorted(case.name for case in cases)])
        key = blake2b(names.encode("utf-8", "replace"), digest_size=12).digest()
        if key not in self._suites:
            self._suites[key] = score.problem, _Suite(score.node_id, title_of(record))
        suite = self._suites[key][1]
        if record.success:
            suite.sound = True
            suite.passed.clear()
            suite.failed.clear()
        if not suite.sound:
            _note(suite, cases, _digest(record.solution_code))

    def _same_tests(self) -> Iterator[Suspect]:
        for problem, suite in self._suites.values():
            names = [name for name, programs in sorted(suite.failed.items()) if len(programs) >= ENOUGH_SOLUTIONS]
            if names:
                number = max(len(suite.failed[name]) for name in names)
                why = f"{number} different solutions failed it and none passed, although each passed most other tests"
                yield Suspect("same_test", suite.node_id, problem, suite.title, tuple(names), number, why)

    def _compare_fixer(self, score: Score, records: list[TrailRecord]) -> None:
        fixed = next((record for record in records if FIXER in record.usage), None)
        if fixed is None or fixed.success:
            return
        before = [record for record in records if record.attempt_num < fixed.attempt_num and record.solution_code]
        if not before or _digest(before[-1].solution_code or "") == _digest(fixed.solution_code or ""):
            return
        first, second = _complaints(before[-1]), _complaints(fixed)
        if first and first == second and any(case.outcome == "passed" for case in _cases(fixed)):
            why = "solver and fixer wrote different programs that failed it with the same words"
            names = tuple(sorted(name for name, _ in first))
            self._tell(Suspect("same_answer", score.node_id, score.problem, title_of(fixed), names, 2, why))


def _note(suite: _Suite, cases: Sequence[CaseResult], program: bytes) -> None:
    """Count one program's tests. One that fails most of a suite says nothing of any single test of it."""
    missed = sum(case.outcome in _FAILED for case in cases)
    telling = 2 * (missed - 1) <= len(cases) - 1 and missed < len(cases)
    for case in cases:
        if case.outcome == "passed":
            suite.passed.add(case.name)
            suite.failed.pop(case.name, None)
        elif telling and case.outcome in _FAILED and case.name not in suite.passed:
            suite.failed.setdefault(case.name, set()).add(program)


def _records(outcome: NodeOutcome, place: int) -> list[TrailRecord]:
    result = outcome.result
    if result is None:
        return []
    if not result.problems:
        return list(result.data_trail)
    wanted = result.problems[place].problem_index
    return [record for record in result.data_trail if record.problem_index == wanted]


def _cases(record: TrailRecord) -> tuple[CaseResult, ...]:
    return record.verdict.cases if record.verdict is not None else ()


def _complaints(record: TrailRecord) -> frozenset[tuple[str, str]]:
    """Failed tests with their words; empty where something raised, of which equal words say little."""
    cases = [case for case in _cases(record) if case.outcome in _FAILED]
    if any(case.outcome != "failed" for case in cases):
        return frozenset()
    return frozenset((case.name, case.message) for case in cases)


def title_of(record: TrailRecord) -> str:
    """The first line of a problem's statement, without markup."""
    lines = (line.strip(" #*") for line in (record.problem_statement or "").splitlines())
    return next((line for line in lines if line), "")[:80]


def _digest(program: str) -> bytes:
    """Equal for programs that differ in comments and blanks alone."""
    lines = (line.rstrip() for line in _COMMENT.sub("", program).splitlines())
    text = "\n".join(line for line in lines if line)
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()


def does_nothing(program: str) -> bool:
    """True for a program all of whose functions only pass, return None or raise NotImplementedError."""
    lines = [line.strip() for line in _COMMENT.sub("", program).splitlines() if line.strip()]
    heads = [line for line in lines if re.fullmatch(r"(?:async\s+)?def\s.*:|class\s.*:", line)]
    rest = [line for line in lines if line not in heads]
    return bool(heads) and bool(rest) and all(_DOES_NOTHING.fullmatch(line) for line in rest)


def flagged(scores: Iterable[Score], suspects: Iterable[Suspect]) -> list[Score]:
    """The problems whose suites look wrong."""
    problems = {suspect.problem for suspect in suspects}
    return [score for score in scores if score.problem in problems]
