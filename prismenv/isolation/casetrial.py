"""One program before its cases of input and output.

Theory of operation: each case starts the program afresh, in a guest of its own. The expected output never leaves this
process, so there is nothing in the jail that a program could find, and its verdict mode is `split` by nature. All cases
share the run's limits of wall clock and CPU time; a test's own limit is each case's.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prismenv.isolation.casefile import ProgramCase, ProgramSuite
from prismenv.isolation.judgement import Finding, Judgement, weigh
from prismenv.isolation.outputs import agrees, both, difference
from prismenv.isolation.report import clipped
from prismenv.isolation.transcript import CaseReport
from prismenv.isolation.trial import LEAST_SECONDS
from prismenv.words.limits import Limits
from prismenv.words.verdict import CaseOutcome, Execution, Isolation, Outcome, Verdict

ERROR_CHARACTERS = 2000
OUTCOMES: dict[str, CaseOutcome] = {"timed_out": "timed_out"}  # every other end than an exit is an error of the case
WORST: tuple[Outcome, ...] = ("timed_out", "out_of_memory", "output_limit", "crashed")

# Runs the program once with that input and those arguments.
Start = Callable[[str, tuple[str, ...], Limits], Awaitable[Execution]]


@dataclass(frozen=True, slots=True)
class CaseTrial:
    """`start` runs the program that is judged."""

    start: Start
    suite: ProgramSuite
    limits: Limits
    harness_hash: str
    isolation: Isolation

    async def verdict(self) -> Verdict:
        """Run the cases in their order and weigh them."""
        judgement = Judgement(self.limits, self.harness_hash, self.isolation, "split")
        judgement.names = self.suite.names()
        ends: list[Outcome] = []
        finding = None
        for index, case in enumerate(self.suite.cases):
            left = self._left(judgement)
            if left is None:
                finding = Finding("timed_out", "candidate", self._used_up(judgement))
                break
            done = await self.start(case.stdin, case.args, left)
            if done.outcome == "infrastructure_error":
                finding = Finding("infrastructure_error", "infrastructure", done.message)
                break
            self._take(index, case, done, judgement)
            ends.extend(outcome for outcome in WORST if outcome == done.outcome)
        if finding is None:
            worst = next((outcome for outcome in WORST if outcome in ends), None)
            finding = weigh(judgement.names, judgement.reports, extras=0)
            finding = Finding(worst, "candidate") if worst else finding
        return judgement.verdict(finding, [])

    def _left(self, judgement: Judgement) -> Limits | None:
        """What the next case may use; None when the run's time is over."""
        limits = self.limits
        wall = limits.wall_seconds - judgement.wall_seconds
        cpu = limits.cpu_seconds - judgement.cpu_seconds
        if min(wall, cpu) < LEAST_SECONDS:
            return None
        own = limits.test_wall_seconds
        update = {
            "wall_seconds": wall if own is None else min(wall, own),
            "cpu_seconds": cpu,
            "test_wall_seconds": None,
        }
        return limits.model_copy(update=update)

    def _used_up(self, judgement: Judgement) -> str:
        if judgement.wall_seconds > self.limits.wall_seconds - LEAST_SECONDS:
            judgement.limits_hit["wall_seconds"] = None
            return f"its cases took longer than {self.limits.wall_seconds:g} s"
        judgement.limits_hit["cpu_seconds"] = None
        return f"its cases used more than {self.limits.cpu_seconds:g} s of CPU time"

    def _take(self, index: int, case: ProgramCase, done: Execution, judgement: Judgement) -> None:
        judgement.cpu_seconds += done.cpu_seconds
        judgement.wall_seconds += done.wall_seconds
        own = self.limits.test_wall_seconds
        for name in done.limits_hit:
            by_case = name == "wall_seconds" and own is not None and judgement.wall_seconds < self.limits.wall_seconds
            judgement.limits_hit["test_wall_seconds" if by_case else name] = None
        outcome, message = self._end(case, done)
        detail = "" if outcome == "passed" else self._detail(case, done, message)
        memory = done.outcome == "out_of_memory"
        judgement.reports[index] = CaseReport(outcome, message, detail, memory, done.wall_seconds)

    def _end(self, case: ProgramCase, done: Execution) -> tuple[CaseOutcome, str]:
        if done.outcome != "exited":
            return OUTCOMES.get(done.outcome, "errored"), done.message
        if done.exit_code != 0:
            return "errored", f"the program left with exit code {done.exit_code}"
        if agrees(done.stdout, case.stdout, self.suite):
            return "passed", ""
        return "failed", difference(done.stdout, case.stdout, self.suite)

    @staticmethod
    def _detail(case: ProgramCase, done: Execution, message: str) -> str:
        parts = [message, both(done.stdout, case.stdout)]
        if done.stderr.strip():
            parts.append(f"errors:\n{clipped(done.stderr.rstrip(), ERROR_CHARACTERS)}")
        return "\n".join(parts)
