"""Coding challenges, thoroughly: distinct problems, suites that were checked before they judge, failures analysed."""

from collections.abc import Mapping, Sequence

import anyio
from pydantic import Field

from prismenv import Verdict, environment_registry, near_duplicate, stubs_for

from ._episode import ChallengeEpisodes, EpisodeConfig
from ._flow import FIXER, GENERATOR, MOST_REWRITES, SOLVER
from ._problem import Brief, Problem, ProblemEnded
from ._report import capped
from ._validation import finds_issues, round_report

DESIGNER, VALIDATOR, ANALYSER = "challenge_designer_advanced", "test_validator", "test_error_analyzer"
NO_SUITE = ("no_tests", "invalid_tests")
EMPTY = "pass\n"  # stands for a solution where a suite gives no name that a stub could have


class EnhancedCodingChallengeConfig(EpisodeConfig):
    """The keys of every coding challenge. Further ones that a file brings are kept, and mean nothing here."""

    agents: list[str] = Field(default=[DESIGNER, GENERATOR, VALIDATOR, SOLVER, ANALYSER, FIXER])


@environment_registry.register("environment_enhanced_coding_challenge", config=EnhancedCodingChallengeConfig)
class EnhancedCodingChallenge(ChallengeEpisodes):
    """Advanced designer, test generator and validator, solver, error analyser, fixer."""

    def agent_questions(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """Those of all flows, and those of the roles that only this one has."""
        return {
            DESIGNER: (("concepts", "difficulty_level", "previous_problems"),),
            VALIDATOR: (("problem_statement", "test_cases"),),
            ANALYSER: (("test_output", "code_under_test"),),
            **super().agent_questions(),
        }

    async def _design(self, problem: Problem, brief: Brief) -> str:
        previous = list(brief.made)
        for _ in range(self.max_attempts):
            statement = await self._ask(
                problem,
                DESIGNER,
                concepts=list(brief.concepts),
                difficulty_level=brief.difficulty,
                previous_problems=previous,
            )
            if near_duplicate(statement, previous) is None:
                return statement
            problem.note("the designer set a near duplicate of an earlier problem and was asked again")
        raise ProblemEnded(
            f"No new problem from {DESIGNER}: {self.max_attempts} in a row were near duplicates of earlier ones.",
            "environment",
        )

    async def _write_tests(self, problem: Problem, feedback: str | None = None) -> None:
        """A suite that the engine's checks find sound, and the validator if it can be had.

        ProblemEnded where the engine still finds it unsound after the last rewrite; what a validator says is heard, but
        it may be wrong, so it does not keep a suite from being used.
        """
        while True:
            problem.tests = tests = await self._generate(problem, feedback)
            failures = await self._failures_of(tests)
            report = await self._reviewed(problem, tests)
            feedback = round_report(failures, report)
            problem.validation.append(feedback)
            if not failures and not finds_issues(report):
                return
            if problem.rewrites >= MOST_REWRITES:
                break
        if failures:
            raise ProblemEnded(f"The suite is no measure: {'; '.join(failures)}.", "tests")

    async def _failures_of(self, tests: str) -> list[str]:
        """What is wrong with a suite by the engine's checks: it collects no test, or a stub passes it."""
        stubs = [(f"a stub that {stub.does} passes", stub.program) for stub in stubs_for(tests)]
        stubs = stubs or [("a program without any function passes", EMPTY)]
        verdicts: dict[int, Verdict] = {}

        async def check(number: int, program: str) -> None:
            verdicts[number] = await self.judge(program, tests, attempt=False)

        async with anyio.create_task_group() as group:
            for number, (_, program) in enumerate(stubs):
                group.start_soon(check, number, program)
        return _failures([(passes, verdicts[number]) for number, (passes, _) in enumerate(stubs)])

    async def _reviewed(self, problem: Problem, tests: str) -> str:
        """The validator's report; empty where it had none of use."""
        report = await self._advice(problem, VALIDATOR, problem_statement=problem.statement, test_cases=tests)
        if report and finds_issues(report) is None:
            problem.note(f"{VALIDATOR}: its report says nothing definite, so it was kept and not acted on")
        return report

    async def _analyse(self, problem: Problem) -> dict[str, str]:
        report = capped(problem.report)
        analysis = await self._advice(problem, ANALYSER, test_output=report, code_under_test=problem.solution_text)
        problem.analysis = analysis or None
        return {"test_error_analysis": analysis} if analysis else {}

    async def _advice(self, problem: Problem, role: str, **inputs: str | None) -> str:
        """The answer of a role that the flow can do without; empty where it gave nothing of use."""
        try:
            return await self._ask(problem, role, **inputs)
        except ProblemEnded as end:
            if end.fault == "infrastructure":
                raise
            problem.note(str(end))
            return ""


def _failures(checked: Sequence[tuple[str, Verdict]]) -> list[str]:
    """What the verdicts on stubs say against a suite, each thing once; ProblemEnded where there is none on one."""
    found: list[str] = []
    for passes, verdict in checked:
        if verdict.fault == "infrastructure":
            raise ProblemEnded(f"The suite could not be checked: {verdict.message}", "infrastructure")
        if verdict.outcome in NO_SUITE:
            found.append(verdict.message)
        elif verdict.success:
            found.append(passes)
    return list(dict.fromkeys(found))
