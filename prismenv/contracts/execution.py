"""One execution of a node: what belongs to a call of `execute_node` and not to the instance that runs it."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from prismenv.contracts.handle import Crew
from prismenv.words.fileset import FileSet
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.verdict import Verdict


@dataclass(slots=True)
class NodeExecution:
    """The state of one call, so that concurrent calls on one instance do not mix.

    `timeout_seconds` and `max_attempts` are the ones in force for this call. `owner` is the environment, `outer` the
    call that this one was made in (another environment's, or None). `crew` are the call's own agents, None until asked.
    `trail` are the attempts that the author told of, `judged` the programs, tests and verdicts of what it had judged.
    """

    owner: object
    outer: "NodeExecution | None"
    seed: int
    labels: Mapping[str, Any]
    timeout_seconds: float
    max_attempts: int
    trail: list[TrailRecord] = field(default_factory=list)
    judged: list[tuple[str | FileSet, str, Verdict]] = field(default_factory=list)
    crew: Crew | None = None

    def attempts_of(self, problem_index: int) -> int:
        """How many attempts there are of a problem."""
        return sum(record.problem_index == problem_index for record in self.trail)


current_execution: ContextVar[NodeExecution | None] = ContextVar("prismenv_node_execution", default=None)


def execution_of(owner: object) -> NodeExecution | None:
    """The innermost call of `owner` that this task is part of; None outside of any."""
    execution = current_execution.get()
    while execution is not None and execution.owner is not owner:
        execution = execution.outer
    return execution


def told_by(verdict: Verdict | None) -> dict[str, Any]:
    """What a record of an attempt takes from its verdict."""
    if verdict is None:
        return {}
    return {
        "success": verdict.success,
        "output": verdict.output or verdict.message,
        "tests_passed_num": verdict.tests_passed_num,
        "tests_failed_num": verdict.tests_failed_num,
        "tests_errored_num": verdict.tests_errored_num,
        "cpu_seconds": verdict.cpu_seconds,
        "fault": verdict.fault,
    }


def ordered(trail: list[TrailRecord]) -> list[TrailRecord]:
    """Records by problem, attempts of one problem as they were made: the same whatever ran at the same time."""
    return sorted(trail, key=lambda record: record.problem_index)


def summarise_problems(trail: Sequence[TrailRecord]) -> list[ProblemSummary]:
    """One summary for each problem of a trail. Its title is the first line of its statement."""
    by_problem: dict[int, list[TrailRecord]] = {}
    for record in trail:
        by_problem.setdefault(record.problem_index, []).append(record)
    return [_summarise(index, records) for index, records in sorted(by_problem.items())]


def _summarise(index: int, records: list[TrailRecord]) -> ProblemSummary:
    solved = next((record for record in records if record.success), None)
    statement = records[0].problem_statement or ""
    return ProblemSummary(
        problem_index=index,
        success=solved is not None,
        attempts=len(records),
        fixed_by_problem_fixer=solved is not None and solved.fixed_by_problem_fixer,
        title=next((line.strip(" #*") for line in statement.splitlines() if line.strip()), "")[:120],
        fault="none" if solved is not None else records[-1].fault,
    )


def success_rate(problems: Sequence[ProblemSummary]) -> float | None:
    """Solved over measured problems; None where none says anything about the candidate."""
    measured = [problem for problem in problems if problem.fault in ("none", "candidate")]
    return sum(problem.success for problem in measured) / len(measured) if measured else None


def _attempts_judged(execution: NodeExecution) -> list[TrailRecord]:
    """What was judged, as the attempts at one problem that it was as far as the engine knows."""
    return [
        TrailRecord.model_validate(
            {
                "solution_code": solution,
                "test_cases": tests,
                "attempt_num": number,
                "seed": execution.seed,
                "verdict": verdict,
                **told_by(verdict),
            }
        )
        for number, (solution, tests, verdict) in enumerate(execution.judged)
    ]


def timed_out_result(execution: NodeExecution, wall_seconds: float) -> ChallengeResults:
    """What a call comes to whose time ran out: the finished attempts, and one that says `timed_out`.

    Its fault is `environment`: the time of a whole node went by, and nothing says that the candidate's code spent it.
    It belongs to the last problem that there is an attempt of; where that is solved, to the next one.
    """
    finished = ordered(execution.trail or _attempts_judged(execution))
    last = finished[-1] if finished else None
    following = last.problem_index if last else 0
    if last is not None and any(record.success for record in finished if record.problem_index == following):
        last, following = None, following + 1
    message = f"The time limit of {execution.timeout_seconds:g} s for the whole node passed."
    verdict = Verdict(outcome="timed_out", fault="environment", message=message, limits_hit=("timeout",))
    record = TrailRecord(
        problem_statement=last.problem_statement if last else None,
        output=message,
        attempt_num=last.attempt_num + 1 if last else 0,
        problem_index=following,
        verdict=verdict,
        fault="environment",
        wall_seconds=wall_seconds,
        seed=execution.seed,
    )
    trail = [*finished, record]
    problems = summarise_problems(trail)
    return ChallengeResults(success=False, data_trail=trail, problems=problems, success_rate=success_rate(problems))
