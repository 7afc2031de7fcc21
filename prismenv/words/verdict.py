"""What the sandbox says of a solution, and of a plain program."""

from typing import Literal

from pydantic import Field

from prismenv.words.mapping import FrozenModel, MappingModel

Outcome = Literal[
    "passed",
    "failed",
    "errored",
    "timed_out",
    "out_of_memory",
    "output_limit",
    "crashed",
    "no_tests",
    "invalid_tests",
    "argument_rewritten",
    "forgery_attempt",
    "infrastructure_error",
]
CaseOutcome = Literal["passed", "failed", "errored", "skipped", "timed_out", "argument_rewritten"]
ExecutionOutcome = Literal["exited", "timed_out", "out_of_memory", "output_limit", "crashed", "infrastructure_error"]
Fault = Literal["none", "candidate", "tests", "environment", "infrastructure"]
Isolation = Literal["full", "unprivileged", "docker", "portable"]
VerdictMode = Literal["split", "shared"]
DEFAULT_VERDICT: VerdictMode = "split"  # how a sandbox judges unless it, an environment or a call says otherwise


class CaseResult(FrozenModel):
    """One test of a suite. `message` is empty for a pass; None for `wall_seconds` means that it never ran."""

    name: str
    outcome: CaseOutcome
    message: str = ""
    wall_seconds: float | None = None
    decided_by: Literal["tests", "solution"] = "tests"


class Verdict(MappingModel):
    """The judgement of one solution against one suite.

    `success` is true for the outcome `passed` only. `fault` says whose failure it is; with `infrastructure` nothing is
    known of the candidate. `output` is the readable report, exactly `All tests passed.` when all passed and nothing
    was printed. `notes` are remarks a reader needs, such as that an only function was taken for `solution`.
    `peak_memory_bytes` None means that it was not measured.
    """

    outcome: Outcome
    fault: Fault = "none"
    cases: tuple[CaseResult, ...] = ()
    output: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    limits_hit: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    isolation: Isolation = "portable"
    verdict_mode: VerdictMode = "shared"
    harness_hash: str = ""
    tests_passed_num: int = Field(default=0, ge=0)
    tests_failed_num: int = Field(default=0, ge=0)
    tests_errored_num: int = Field(default=0, ge=0)

    @property
    def success(self) -> bool:
        """True when every collected test passed or was rightly skipped, and at least one passed."""
        return self.outcome == "passed"


class Execution(FrozenModel):
    """A plain run of a program: what it printed and how it ended. It is no verdict.

    `exit_code` is None when the program was killed; `outcome` then says by what.
    """

    outcome: ExecutionOutcome
    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    message: str = ""
    limits_hit: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    isolation: Isolation = "portable"
