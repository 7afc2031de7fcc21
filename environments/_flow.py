"""The flow of a coding challenge: a problem is set, tests are written, a program is asked for, judged, and repaired.

Theory of operation. A call works on `num_problems` problems, up to `batch_size` of them at the same time. Each has a
crew of its own, so sessions and seeds of one problem know nothing of the others, and results do not depend on what runs
beside it. Only setting the problems is sequential, in their order: a later one may have to differ from the earlier.

Whatever keeps a problem from being measured (a model that does not answer, a suite that tests nothing) ends that
problem alone, with a record that says whose fault it was.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import TaskStatus

from prismenv import (
    AgentCommunicationException,
    BaseEnvironment,
    ConfigurationException,
    FileSet,
    Verdict,
    bind_function_to_test,
    extract_code,
    extract_files,
)

from ._problem import (
    Brief,
    Problem,
    ProblemEnded,
    concepts_of,
    difficulty_of,
    fault_of,
    judged_fields,
    number_of,
    texts_of,
)
from ._report import attempt_feedback, capped, suite_feedback

PYTHON = "python"
GENERATOR, SOLVER, FIXER = "test_generator", "problem_solver", "problem_fixer"
MOST_REWRITES = 2  # how often a suite is asked for again
_CANDIDATE = ("none", "candidate")
_UNUSABLE: Mapping[str, str] = {GENERATOR: "tests", SOLVER: "candidate", FIXER: "candidate"}  # else: environment


class ChallengeFlow(BaseEnvironment):
    """What the coding challenges share. A class below says who sets problems and how tests come about.

    In another language than Python a solution is a whole program, and its tests are cases of input and output.
    """

    @property
    def language(self) -> str:
        """The language of solutions."""
        return PYTHON

    def _language_input(self) -> dict[str, str]:
        """What a role is told beside the rest, where programs are no Python."""
        return {} if self.language == PYTHON else {"language": self.language}

    def validate_config(self) -> None:
        """ConfigurationException where `agents` lacks a role of the flow, or `language` means nothing to it."""
        asked = self.config.get("language") or PYTHON
        if asked != self.language:
            raise ConfigurationException(
                f"{self.environment_name}: language: found {asked!r}; its programs are {self.language}",
                code="bad_option",
                subject="language",
                hint="environment_coding_challenge has challenges in other languages.",
            )
        missing = [role for role in self.agent_questions() if role not in self.config.agents]
        if missing:
            raise ConfigurationException(
                f"{self.environment_name}: agents: {', '.join(missing)} missing; found {', '.join(self.config.agents)}",
                code="agents_missing",
                subject=missing[0],
            )

    def agent_questions(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """What the roles are asked that all flows share."""
        told = tuple(self._language_input())
        again = (("error_feedback", *told),) if self.config.max_attempts > 1 else ()
        return {
            GENERATOR: (("problem_statement", *told),),
            SOLVER: (("problem_statement", *told), *again),
            FIXER: (("problem_statement", "test_cases", "current_solution", "error_output", *told),),
        }

    async def execute_node(
        self,
        concept: str | Sequence[str],
        difficulty_level: str,
        num_problems: int | None = None,
        previous_problems: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Measure one node: `num_problems` problems that need all of `concept` at this difficulty.

        `previous_problems` are statements that the new ones should differ from.
        """
        made = texts_of("previous_problems", previous_problems)
        brief = Brief(concepts_of(concept), difficulty_of(difficulty_level), made)
        count = number_of("num_problems", num_problems, self.config.num_problems)
        problems = await self._work(brief, count)
        trail = [record for problem in problems for record in problem.records]
        solved = {record.problem_index for record in trail if record.success}
        return {"success": len(solved) == count, "data_trail": trail}

    async def _work(self, brief: Brief, count: int) -> list[Problem]:
        """All problems, worked on to their ends."""
        problems: list[Problem] = []
        if count == 1:  # the usual case needs no tasks of its own
            await self._measure(0, brief, problems.append)
            return problems
        slots = anyio.Semaphore(self.config.batch_size)

        async def measure(index: int, *, task_status: TaskStatus[Problem]) -> None:
            async with slots:
                await self._measure(index, brief, task_status.started)

        async with anyio.create_task_group() as group:
            for index in range(count):
                problems.append(await group.start(measure, index))  # noqa: PERF401 - one after the other, on purpose
        return problems

    async def _measure(self, index: int, brief: Brief, started: Callable[[Problem], None]) -> None:
        """Work on one problem to its end; it is `started` once its statement stands."""
        async with self.open_agents(("problem", index), problem_index=index) as crew:
            problem = Problem(index, crew, self.services.clock.monotonic())
            try:
                problem.statement = await self._design(problem, brief)
                brief.made.append(problem.statement)
                started(problem)
                await self._write_tests(problem)
                await self._solve(problem)
            except ProblemEnded as end:
                if problem.statement is None:
                    started(problem)
                self._record(problem, None, output=str(end), fault=end.fault)

    # The parts that differ.

    async def _design(self, problem: Problem, brief: Brief) -> str:
        """The statement of a new problem."""
        raise NotImplementedError

    async def _write_tests(self, problem: Problem, feedback: str | None = None) -> None:
        """Have the suite written; with `feedback`, written again."""
        problem.tests = await self._generate(problem, feedback)

    async def _analyse(self, problem: Problem) -> dict[str, str]:  # noqa: ARG002 - for flows that have an analyser
        """What the fixer is given besides problem, tests, program and report."""
        return {}

    # The parts that are the same.

    async def _ask(self, problem: Problem, role: str, **inputs: Any) -> str:
        """A role's answer; ProblemEnded where none of use came."""
        handle = problem.crew[role]
        try:
            text = await handle.interact(**inputs)
        except AgentCommunicationException as error:
            fault = fault_of(error, _UNUSABLE.get(role, "environment"))
            raise ProblemEnded(f"No answer of use from {role}: {error}", fault) from error
        answer = handle.last_answer
        for name in answer.appended if answer is not None else ():
            problem.note(f"{role}: {name} has no slot in its template and was appended to its last text input")
        return text

    async def _generate(self, problem: Problem, feedback: str | None) -> str:
        inputs = {"problem_statement": problem.statement}
        if feedback is not None:
            problem.rewrites += 1
            problem.note(f"the suite was written again: {feedback.splitlines()[0][:200]}")
            inputs["validation_feedback"] = suite_feedback(problem.tests or "", feedback, self._suite_language)
        return await self._code(problem, GENERATOR, self._suite_language, **inputs)

    @property
    def _suite_language(self) -> str:
        return PYTHON if self.language == PYTHON else "yaml"

    async def _code(self, problem: Problem, role: str, language: str, **inputs: Any) -> str:
        """The code in a role's answer. In another language than Python its agent hands over the whole answer."""
        text = await self._ask(problem, role, **inputs, **self._language_input())
        if self.language == PYTHON:
            return text
        code = extract_code(text, language)
        if code is None:
            raise ProblemEnded(f"No answer of use from {role}: it holds no block of {language}", _UNUSABLE[role])
        return code

    async def _solve(self, problem: Problem) -> None:
        """Attempts of the solver until one passes, then the fixer's."""
        statement = problem.statement or ""
        inputs = {"problem_statement": statement}
        for attempt in range(self.max_attempts):
            verdict = await self._judged(problem, await self._program(problem, SOLVER, **inputs))
            if verdict.success or verdict.fault not in _CANDIDATE:
                self._record(problem, verdict)
                return
            if attempt + 1 < self.max_attempts:
                feedback = attempt_feedback(statement, problem.solution or "", problem.report, self.language)
                inputs = {"error_feedback": feedback}
            else:
                feedback = capped(problem.report)
            self._record(problem, verdict, error_feedback=feedback)
        await self._fix(problem)

    async def _fix(self, problem: Problem) -> None:
        solution = await self._program(
            problem,
            FIXER,
            problem_statement=problem.statement,
            test_cases=problem.judged_tests,
            current_solution=problem.solution_text,
            error_output=capped(problem.report),
            **await self._analyse(problem),
        )
        verdict = await self._judged(problem, solution)
        self._record(problem, verdict, fixed_by_problem_fixer=verdict.success)

    async def _program(self, problem: Problem, role: str, **inputs: Any) -> str | FileSet:
        """The program of a role's answer: its files, where it says of several blocks which file each is."""
        text = await self._code(problem, role, self.language, **inputs)
        if self.language != PYTHON:
            return text
        answer = problem.crew[role].last_answer
        return (extract_files(answer.raw) if answer is not None else None) or text

    async def _judged(self, problem: Problem, solution: str | FileSet) -> Verdict:
        """The verdict on a program. A suite that turns out to be none is written again first, twice at most."""
        problem.solution = solution
        while True:
            program = solution if isinstance(solution, str) else solution.text
            tests = problem.tests or ""
            if self.language == PYTHON:
                tests = bind_function_to_test(tests, program, problem.statement)
            problem.judged_tests = tests
            verdict = await self.judge(solution, tests, language=self.language)
            problem.report = verdict.output or verdict.message
            if verdict.fault != "tests" or problem.rewrites >= MOST_REWRITES:
                return verdict
            await self._write_tests(problem, problem.report)

    def _record(self, problem: Problem, verdict: Verdict | None, **fields: Any) -> None:
        """Add the record of an attempt: what was judged and what came of it, or what kept it from being judged."""
        now = self.services.clock.monotonic()
        if verdict is not None:
            fields = {**judged_fields(verdict, problem.solution or "", problem.judged_tests or ""), **fields}
        record = self.add_attempt(
            problem_index=problem.index,
            attempt_num=len(problem.records),
            problem_statement=problem.statement,
            test_validation=problem.validation_report,
            test_error_analysis=problem.analysis,
            usage=problem.crew.take_usage(),
            wall_seconds=now - problem.begun,
            notes=tuple(problem.notes),
            **{"test_cases": problem.tests, **self._language_input(), **fields},
        )
        problem.records.append(record)
        problem.begun = now
        problem.notes.clear()
