"""What a node says of each of its problems: the unit that all figures count.

A node with three problems counts three times, a node whose environment does not list problems counts once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from prismenv.words.nodes import NodeOutcome
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.verdict import Fault

_MEASURED: tuple[Fault, ...] = ("none", "candidate")


@dataclass(frozen=True, slots=True)
class Score:
    """One problem of one node.

    `problem` is equal for the same problem wherever it was measured: its `problem_id`, else its statement. `value` is
    the share of its samples that passed, 0 or 1 where there is one sample. `kind` says what an unsolved problem failed
    of: the outcome of its last verdict, `no_verdict` where nothing was judged.
    """

    problem: str
    index: int  # of the request
    node_id: str
    concepts: tuple[str, ...]
    difficulty: str
    solved: bool
    value: float
    fault: Fault
    kind: str = ""
    attempts: int = 0
    by_fixer: bool = False
    samples: int = 1

    @property
    def measured(self) -> bool:
        """True when it says something about the candidate."""
        return self.fault in _MEASURED


def scores_of(outcome: NodeOutcome) -> Iterator[Score]:
    """Each problem of a node.

    Where the node has a fault that leaves it out and no problem says which of them it was, it is the fault of all that
    were not solved.
    """
    result = outcome.result
    if result is None or not result.problems:
        yield _score(outcome, None, outcome.success, outcome.fault)
        return
    told = outcome.measured or any(problem.fault not in _MEASURED for problem in result.problems)
    for problem in result.problems:
        fault = problem.fault if told or problem.success else outcome.fault
        yield _score(outcome, problem, problem.success, fault)


def _score(outcome: NodeOutcome, problem: ProblemSummary | None, solved: bool, fault: Fault) -> Score:  # noqa: FBT001
    request, result = outcome.request, outcome.result
    samples, value = _samples(result, problem, solved=solved)
    return Score(
        problem=_identity(outcome, problem),
        index=request.index,
        node_id=request.node_id,
        concepts=request.concepts,
        difficulty=request.difficulty,
        solved=solved,
        value=value,
        fault=fault,
        kind="" if solved else _kind(result, problem),
        attempts=problem.attempts if problem else len(result.data_trail) if result else 0,
        by_fixer=bool(problem and problem.success and problem.fixed_by_problem_fixer),
        samples=samples,
    )


def own_samples(result: ChallengeResults) -> tuple[int, int] | None:
    """(samples, passed) of a result that counts its own; None for any other."""
    n, c = result.get("samples"), result.get("passed")
    return (n, c) if type(n) is int and type(c) is int and 0 <= c <= n else None


def _samples(result: ChallengeResults | None, problem: ProblemSummary | None, *, solved: bool) -> tuple[int, float]:
    counts = own_samples(result) if result is not None else None
    if counts is None or not counts[0] or (problem is not None and result is not None and len(result.problems) > 1):
        return 1, float(solved)
    return counts[0], counts[1] / counts[0]


def _identity(outcome: NodeOutcome, problem: ProblemSummary | None) -> str:
    """The problem's own id, else a digest of its statement, else the place where it was measured."""
    result, index = outcome.result, problem.problem_index if problem else 0
    own: Any = result.get("problem_id") if result is not None and len(result.problems) <= 1 else None
    records = trail_of(result, problem)
    own = own if own is not None else next((record.get("problem_id") for record in records), None)
    if own is not None:
        return f"id:{own}"
    statement = next((record.problem_statement for record in records if record.problem_statement), None)
    if statement is None:
        return f"place:{outcome.request.index}/{index}"
    return "text:" + blake2b(statement.encode("utf-8", "replace"), digest_size=10).hexdigest()


def trail_of(result: ChallengeResults | None, problem: ProblemSummary | None) -> list[TrailRecord]:
    """The attempts at a problem; None means any problem."""
    trail: Sequence[TrailRecord] = result.data_trail if result else ()
    return [record for record in trail if problem is None or record.problem_index == problem.problem_index]


def _kind(result: ChallengeResults | None, problem: ProblemSummary | None) -> str:
    for record in reversed(trail_of(result, problem)):
        if record.verdict is not None:
            return record.verdict.outcome
    return "no_verdict"
