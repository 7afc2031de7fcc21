"""A sandbox that runs nothing: verdicts and executions come from functions."""

from collections.abc import Callable, Mapping
from typing import Self

from prismenv.contracts.jail import Sandbox
from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation, Verdict, VerdictMode


def passing(_solution: str, _tests: str) -> Verdict:
    """A verdict of one passed test."""
    return Verdict(outcome="passed", tests_passed_num=1, output="All tests passed.")


def silent(_program: str, _stdin: str) -> Execution:
    """A program that ends well and prints nothing."""
    return Execution(outcome="exited", exit_code=0)


class ScriptedSandbox(Sandbox):
    """Answers by `verdict(solution, tests)`, of a set of files its entry's text, and `execution(program, stdin)`.

    `judged` and `ran` keep the questions, `modes` the mode that each verdict was asked for in: None where the sandbox
    was to choose.
    """

    isolation: Isolation = "portable"
    ceiling = Limits()

    def __init__(
        self,
        verdict: Callable[[str, str], Verdict] = passing,
        execution: Callable[[str, str], Execution] = silent,
        checks: Mapping[str, str] | None = None,
    ) -> None:
        self.judged: list[tuple[str, str]] = []
        self.ran: list[tuple[str, str]] = []
        self.modes: list[VerdictMode | None] = []
        self._verdict = verdict
        self._execution = execution
        self._checks = dict(checks or {"scripted": "ok"})

    async def judge(  # noqa: PLR0913 - the contract
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,  # noqa: ARG002 - nothing runs that could exceed them
        module: str | None = None,  # noqa: ARG002 - nothing is imported
        language: str = "python",  # noqa: ARG002 - as above
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        self.modes.append(verdict)
        text = solution if isinstance(solution, str) else solution.text
        self.judged.append((text, tests))
        return self._verdict(text, tests)

    async def run(
        self,
        program: str,
        *,
        stdin: str = "",
        language: str = "python",  # noqa: ARG002 - nothing runs
        limits: Limits | None = None,  # noqa: ARG002 - as above
    ) -> Execution:
        self.ran.append((program, stdin))
        return self._execution(program, stdin)

    async def probe(self) -> Mapping[str, str]:
        return self._checks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return
