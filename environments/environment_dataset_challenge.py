"""Problems and tests from a file; only the solver is a model, or a file of completions made elsewhere."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from pydantic import Field

from prismenv import (
    AgentCommunicationException,
    AgentHandle,
    BaseEnvironment,
    ConfigurationException,
    FileSet,
    PlannedNode,
    StrictEnvironmentConfig,
    TrailRecord,
    bind_function_to_test,
    complete_prompt,
    environment_registry,
    extract_code,
)

from ._dataset import DataProblem, Defaults, load_problems
from ._problem import concepts_of, fault_of, judged_fields, number_of, unusable

SOLVER = "problem_solver"
MEASURED = ("none", "candidate")


class DatasetConfig(StrictEnvironmentConfig):
    """Own keys, and one of everybody's: `batch_size` is how many samples of a call are worked on at the same time.

    `data` names the file. `samples` is how many answers are asked for to each problem; None: one, or as many as there
    are where they come from a file. The defaults are for problems that do not say what they are about.
    """

    agents: list[str] = Field(default=[SOLVER])
    data: str | None = None
    samples: int | None = Field(default=None, ge=1)
    default_concepts: tuple[str, ...] = Field(default=("humaneval",), min_length=1)
    default_difficulty: str = "unrated"


class _Sampling:
    """The samples of one problem in a call, by their numbers."""

    def __init__(self, index: int, problem: DataProblem) -> None:
        self.index = index
        self.problem = problem
        self.records: dict[int, TrailRecord] = {}
        self.remaining: int | None = None  # what the first answer said of further ones

    @property
    def trail(self) -> list[TrailRecord]:
        return [record for _, record in sorted(self.records.items())]

    def counts(self) -> tuple[int, int]:
        """How many samples say something about the candidate, and how many of them passed."""
        measured = [record for record in self.trail if record.fault in MEASURED]
        return len(measured), sum(record.success for record in measured)

    def summary(self) -> dict[str, Any]:
        """The problem as a result lists it: solved where any sample passed."""
        measured, passed = self.counts()
        return {
            "problem_index": self.index,
            "problem_id": self.problem.id,
            "success": passed > 0,
            "attempts": len(self.records),
            "title": self.problem.id,
            "fault": "none" if passed else "candidate" if measured else self.trail[-1].fault,
        }


@environment_registry.register("environment_dataset_challenge", config=DatasetConfig)
class DatasetChallenge(BaseEnvironment):
    """Samples of the solver for each problem of `data`, judged by the problem's own tests."""

    config: DatasetConfig

    def agent_questions(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """The solver is asked once for each sample."""
        return {SOLVER: (("problem_statement",),)}

    def planned_nodes(self) -> Sequence[PlannedNode]:
        """One node for each problem of the file."""
        return [
            PlannedNode(problem.id, problem.concepts, problem.difficulty, {"problem_id": problem.id})
            for problem in self._load().values()
        ]

    async def execute_node(
        self,
        concept: str | Sequence[str] | None = None,
        difficulty_level: str | None = None,
        problem_id: str | int | None = None,
        num_problems: int | None = None,
        samples: int | None = None,
    ) -> dict[str, Any]:
        """Measure the problem `problem_id`, or `num_problems` of those with these concepts and this difficulty.

        The result of a single problem counts its samples: `problem_id`, `samples` (those that could be measured) and
        `passed`.
        """
        chosen = self._choose(concept, difficulty_level, problem_id, num_problems)
        count = self.config.samples if samples is None else number_of("samples", samples, 1)
        samplings = [_Sampling(index, problem) for index, problem in enumerate(chosen)]
        slots = anyio.Semaphore(self.config.batch_size)
        async with anyio.create_task_group() as group:
            for sampling in samplings:
                group.start_soon(self._measure, sampling, count, slots)
        problems = [sampling.summary() for sampling in samplings]
        measured = [problem for problem in problems if problem["fault"] in MEASURED]
        result = {
            "success": all(problem["success"] for problem in problems),
            "data_trail": [record for sampling in samplings for record in sampling.trail],
            "problems": problems,
            "success_rate": sum(problem["success"] for problem in measured) / len(measured) if measured else None,
        }
        if len(samplings) > 1:
            return result
        total, passed = samplings[0].counts()
        return {**result, "problem_id": samplings[0].problem.id, "samples": total, "passed": passed}

    async def health_check(self) -> dict[str, Any]:
        """Whether the data file can be read; one that nobody named is no fault."""
        if self.config.data is None:
            return {"checks": {"data": "not configured: --set data=FILE names one"}}
        try:
            self._load()
        except ConfigurationException as error:
            return {"checks": {"data": f"unhealthy: {error}"}}
        return {"checks": {"data": "healthy"}}

    def _load(self) -> Mapping[str, DataProblem]:
        """The problems by id; the file is read when this is first asked in a process, and when it has changed."""
        if self.config.data is None:
            raise ConfigurationException(
                f"{self.environment_name} needs a data file",
                code="data_missing",
                subject="data",
                hint="Name it: --set data=FILE, `data: FILE` in the recipe, or `data` in the environment's block.",
            )
        defaults = Defaults(self.config.default_concepts, self.config.default_difficulty)
        return load_problems(self.services.folder / Path(self.config.data).expanduser(), defaults)

    def _choose(
        self,
        concept: str | Sequence[str] | None,
        difficulty_level: str | None,
        problem_id: str | int | None,
        num_problems: int | None,
    ) -> list[DataProblem]:
        """The problem that is named, or as many as are asked for of those that fit, drawn by the seed."""
        problems = self._load()
        if problem_id is not None:
            return [_named(problems, str(problem_id), str(self.config.data))]
        concepts = None if concept is None else set(concepts_of(concept))
        fitting = [
            problem
            for problem in problems.values()
            if (concepts is None or concepts == set(problem.concepts))
            and difficulty_level in (None, problem.difficulty)
        ]
        count = number_of("num_problems", num_problems, self.config.num_problems)
        if count > len(fitting):
            asked = f"{concept or 'any concept'} at {difficulty_level or 'any difficulty'}"
            raise ConfigurationException(
                f"{self.config.data}: {count} problems of {asked} were asked for, it has {len(fitting)}",
                code="too_few_problems",
            )
        return self.random("problems").sample(fitting, count)

    async def _measure(self, sampling: _Sampling, count: int | None, slots: anyio.Semaphore) -> None:
        """All samples of a problem. How many there are is known from the first answer, where nobody said."""
        async with slots:
            await self._sample(sampling, 0)
        async with anyio.create_task_group() as group:
            for number in range(1, count or 1 + (sampling.remaining or 0)):
                await slots.acquire()
                group.start_soon(self._sample_and_release, sampling, number, slots)

    async def _sample_and_release(self, sampling: _Sampling, number: int, slots: anyio.Semaphore) -> None:
        try:
            await self._sample(sampling, number)
        finally:
            slots.release()

    async def _sample(self, sampling: _Sampling, number: int) -> None:
        """One sample: asked for in a session of its own, judged, recorded."""
        problem, begun = sampling.problem, self.services.clock.monotonic()
        labels = {"problem_id": problem.id, "sample": number, "raw": True}
        about = {"concepts": problem.concepts, "difficulty": problem.difficulty}
        async with self.open_agents((problem.id, number), **labels, **about) as crew:
            try:
                program = await self._program(sampling, crew[SOLVER])
            except AgentCommunicationException as error:
                fields = {"output": f"No answer of use from {SOLVER}: {error}", "fault": fault_of(error, "candidate")}
            else:
                fields = await self._judged(problem, program)
            sampling.records[number] = self.add_attempt(
                problem_index=sampling.index,
                problem_id=problem.id,
                sample=number,
                attempt_num=number,
                problem_statement=problem.statement,
                usage=crew.take_usage(),
                wall_seconds=self.services.clock.monotonic() - begun,
                **{"test_cases": problem.tests, **fields},
            )

    async def _program(self, sampling: _Sampling, solver: AgentHandle) -> str | FileSet:
        """The program of an answer. A model is asked again where there is none; a sample counts as it stands."""
        problem = sampling.problem
        for _ in range(self.max_attempts):
            text = await solver.interact(problem_statement=problem.statement)
            remaining = solver.last_answer.remaining if solver.last_answer else None
            sampling.remaining = remaining if sampling.remaining is None else sampling.remaining
            program = problem.solution(text, _program_of(problem, text))
            if program is not None:
                return program
            if remaining is not None:
                return (problem.prompt or "") + text
        raise unusable(SOLVER, self.max_attempts)

    async def _judged(self, problem: DataProblem, program: str | FileSet) -> dict[str, Any]:
        text = program if isinstance(program, str) else program.text
        tests = bind_function_to_test(problem.tests, text, problem.statement)
        return judged_fields(await self.judge(program, tests), program, tests)


def _program_of(problem: DataProblem, answer: str) -> str | None:
    """The program that an answer comes to, None where it holds none."""
    if problem.prompt is None or problem.entry_point is None:
        return extract_code(answer)
    return complete_prompt(problem.prompt, problem.entry_point, answer)


def _named(problems: Mapping[str, DataProblem], problem_id: str, file: str) -> DataProblem:
    problem = problems.get(problem_id)
    if problem is None:
        near = difflib.get_close_matches(problem_id, problems, n=1)
        also = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationException(
            f"{file}: there is no problem {problem_id!r}{also}", code="unknown_problem", subject=problem_id
        )
    return problem
