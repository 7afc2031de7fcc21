"""A sandbox that runs nothing: verdicts and executions come from functions."""

from collections.abc import Callable, Mapping
from typing import Self

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.jailsession import SandboxSession
from prismenv.words.coderesult import CodeResult, SessionFiles
from prismenv.words.errors import SandboxException
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
    """Answers by `verdict(solution, tests)`, of a set of files its entry's text, and `execution(program, stdin)`;

    sessions by `call(code)`, None: it keeps none.

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
        call: Callable[[str], CodeResult] | None = None,
    ) -> None:
        self.judged: list[tuple[str, str]] = []
        self.ran: list[tuple[str, str]] = []
        self.modes: list[VerdictMode | None] = []
        self._verdict = verdict
        self._execution = execution
        self._call = call
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

    async def open(self, language: str = "python", *, limits: Limits | None = None) -> SandboxSession:
        if self._call is None:
            return await super().open(language, limits=limits)
        return ScriptedSession(self._call, language, limits or self.ceiling)

    async def probe(self) -> Mapping[str, str]:
        return self._checks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


class ScriptedSession(SandboxSession):
    """Answers by `call(code)`; a result that says `session_ended` ends it. Files are those that were put there."""

    def __init__(
        self, call: Callable[[str], CodeResult], language: str = "python", limits: Limits | None = None
    ) -> None:
        self.language = language
        self.limits = limits or Limits()
        self._call = call
        self._files: dict[str, bytes] = {}
        self._ended: str | None = None

    @property
    def ended(self) -> str | None:
        return self._ended

    async def execute(
        self,
        code: str,
        *,
        wall_seconds: float | None = None,  # noqa: ARG002 - nothing runs that could exceed them
        cpu_seconds: float | None = None,  # noqa: ARG002 - as above
        output_bytes: int | None = None,  # noqa: ARG002 - as above
    ) -> CodeResult:
        self._check_open()
        result = self._call(code)
        if result.session_ended:
            self._ended = "the script ended it"
        return result

    def interrupt(self) -> None:
        return  # no call ever runs

    async def put_files(self, files: Mapping[str, str | bytes]) -> None:
        self._check_open()
        self._files |= {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}

    async def get_files(self) -> SessionFiles:
        self._check_open()
        return SessionFiles(files=dict(self._files))

    async def close(self) -> None:
        self._ended = self._ended or "it was closed"

    def _check_open(self) -> None:
        if self._ended is not None:
            message = f"the session has ended: {self._ended}"
            raise SandboxException(message, code="session_ended", subject="session")
