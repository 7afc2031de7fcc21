"""What an environment returns: a trail of attempts, and the result around it. Keys are fixed by the data contract."""

from typing import Any

from pydantic import Field, model_validator

from prismenv.words.fileset import FileSet
from prismenv.words.mapping import MappingModel
from prismenv.words.usage import Usage
from prismenv.words.verdict import Fault, Verdict


class TrailRecord(MappingModel):
    """One attempt at one problem.

    The first thirteen keys are PrismBench's. `attempt_num` and `problem_index` count from 0. `verdict` is None when
    nothing was judged, and `fault` then says why. `usage` is by role. None in `fixed_by_problem_fixer` does not occur:
    it is true only if the fixer's code passed. `error_feedback` is what the next prompt was told, None for none;
    `test_validation` and `test_error_analysis` are the reports of those roles, None where they were not asked.

    A solution of several files may be given as `solution_code`: `solution_files` is then what was judged, and
    `solution_code` all of its files as one text. None in `solution_files`, which is written nowhere: it is one text.
    """

    problem_statement: str | None = None
    test_cases: str | None = None
    solution_code: str | None = None
    success: bool = False
    output: str = ""
    tests_passed_num: int = Field(default=0, ge=0)
    tests_failed_num: int = Field(default=0, ge=0)
    tests_errored_num: int = Field(default=0, ge=0)
    fixed_by_problem_fixer: bool = False
    attempt_num: int = Field(default=0, ge=0)
    error_feedback: str | None = None
    test_validation: Any = None
    test_error_analysis: Any = None

    problem_index: int = Field(default=0, ge=0)
    verdict: Verdict | None = None
    fault: Fault = "none"
    usage: dict[str, Usage] = Field(default_factory=dict)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    seed: int | None = None
    notes: tuple[str, ...] = ()
    solution_files: FileSet | None = Field(default=None, exclude_if=lambda files: files is None)

    @model_validator(mode="before")
    @classmethod
    def _several_files(cls, given: Any) -> Any:
        """A solution of several files is kept as it is, and as one text to read."""
        files = given.get("solution_code") if isinstance(given, dict) else None
        if not isinstance(files, FileSet):
            return given
        return {**given, "solution_code": files.listing(), "solution_files": files}

    @property
    def solution(self) -> str | FileSet | None:
        """What was judged, as it can be judged again."""
        return self.solution_files or self.solution_code


class ProblemSummary(MappingModel):
    """One problem of a result. `attempts` counts the records that were made for it."""

    problem_index: int
    success: bool
    attempts: int
    fixed_by_problem_fixer: bool = False
    title: str = ""
    fault: Fault = "none"  # infrastructure: left out of success rates


class ChallengeResults(MappingModel):
    """The result of one node: `success` is true when every problem was solved.

    `success_rate` is solved over measured problems, None when none could be measured. Keys of an environment's own
    are kept as they are. Trail and problems are lists, as their readers compare and join them with lists.
    """

    success: bool
    data_trail: list[TrailRecord] = Field(default_factory=list)
    problems: list[ProblemSummary] = Field(default_factory=list)
    success_rate: float | None = None
