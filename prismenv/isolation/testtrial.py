"""One solution before tests that are a program of its own language.

Theory of operation: the program of tests includes or loads the solution, so both are one process, and what it prints
are its results (TAP or JUnit XML). The solution could print them just as well: the verdict is `shared`, is only given
where that was asked for, and says so. A program of tests that reports nothing is tried with an empty solution: if it
comes to the same, it is the tests' fault.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from prismenv.isolation.building import Build
from prismenv.isolation.judgement import Finding, Judgement, no_tests, weigh
from prismenv.isolation.junit import read_junit
from prismenv.isolation.programs import Start, unbuilt
from prismenv.isolation.report import clipped
from prismenv.isolation.tap import read_tap
from prismenv.isolation.testresults import TestResults as Results
from prismenv.isolation.toolwords import TestResults as Format
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation, Outcome, Verdict

READERS: Mapping[Format, Callable[[str], Results]] = {"tap": read_tap, "junit": read_junit}
SHOWN_CHARACTERS = 4000
NOTE = "the tests ran in one process with the solution, which could have written their results: a shared verdict"

# Builds the program of tests with that text as the solution, and gives what starts it, None where it was not built.
Prepare = Callable[[str], Awaitable[tuple[Build | None, bool, Start]]]


@dataclass(frozen=True, slots=True)
class TestTrial:
    """`prepare` builds tests and solution; `solution` is its text."""

    __test__ = False  # not pytest's

    prepare: Prepare
    solution: str
    results: Format
    limits: Limits
    harness_hash: str
    isolation: Isolation

    async def verdict(self) -> Verdict:
        """Build, run, read."""
        judgement = Judgement(self.limits, self.harness_hash, self.isolation, "shared")
        judgement.notes[NOTE] = None
        build, fresh, start = await self.prepare(self.solution)
        if build is not None and build.problem:
            return await self._unbuilt(build, fresh, judgement)
        done = await start("", (), self.limits)
        judgement.cpu_seconds, judgement.wall_seconds = done.cpu_seconds, done.wall_seconds
        judgement.limits_hit.update(dict.fromkeys(done.limits_hit))
        if done.outcome == "infrastructure_error":
            return judgement.verdict(Finding("infrastructure_error", "infrastructure", done.message), [])
        found = READERS[self.results](done.stdout)
        judgement.names, judgement.reports = found.names, found.reports
        return judgement.verdict(await self._weighed(done, found), [])

    async def _unbuilt(self, build: Build, fresh: bool, judgement: Judgement) -> Verdict:  # noqa: FBT001 - prepare()'s
        """Of what does not compile: the tests' fault where it does not with an empty solution, for the same reason."""
        if build.done.outcome == "exited":
            other, _, _ = await self.prepare("")
            if other is not None and other.problem == build.problem:
                said = clipped(build.done.stdout.strip(), SHOWN_CHARACTERS)
                finding = Finding("invalid_tests", "tests", f"the tests: {build.problem}", said)
                return judgement.verdict(finding, [])
        return unbuilt(build, fresh, judgement, [])

    async def _weighed(self, done: Execution, found: Results) -> Finding:
        if done.outcome != "exited":
            outcome: Outcome = done.outcome
            return Finding(outcome, "candidate", done.message, _said(done))
        if not found.names or found.problem:
            problem = found.problem or "it reported no test"
            if found.expected == 0 and not found.names and not found.problem and done.exit_code == 0:
                return no_tests()
            return await self._unreported(done, problem, found)
        finding = weigh(found.names, found.reports, extras=0)
        if finding.outcome == "passed" and done.exit_code != 0:
            message = f"every test passed, and the program left with exit code {done.exit_code}"
            return Finding("errored", "candidate", message, _said(done))
        return finding

    async def _unreported(self, done: Execution, problem: str, found: Results) -> Finding:
        """Of what has no whole results: whose fault is that?"""
        build, _, start = await self.prepare("")
        if build is None or not build.problem:
            again = await start("", (), self.limits)
            other = READERS[self.results](again.stdout)
            same = (again.outcome, other.problem, len(other.names)) == (done.outcome, found.problem, len(found.names))
            if same and again.exit_code == done.exit_code:
                return Finding("invalid_tests", "tests", f"the tests cannot be used: {problem}", _said(done))
        left = f" and left with exit code {done.exit_code}" if done.exit_code else ""
        return Finding("errored", "candidate", f"the tests were not done: {problem}{left}", _said(done))


def _said(done: Execution) -> str:
    parts = [("printed", done.stdout), ("errors", done.stderr)]
    return "\n".join(f"{title}:\n{clipped(text.rstrip(), SHOWN_CHARACTERS)}" for title, text in parts if text.strip())
