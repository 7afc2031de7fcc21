"""The sandbox contract: judge a solution, run a program, keep an interpreter."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self

from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.together import all_or_none
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.judgecase import JudgeCase
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation, Verdict, VerdictMode


class Sandbox(ABC):
    """Runs code that nobody trusts. An async context manager: workers live as long as it is open.

    Nothing that the code does raises: a broken sandbox is SandboxException from `__aenter__`, and a verdict or an
    execution with the outcome `infrastructure_error` otherwise. Cancelling a call kills its processes.
    """

    isolation: Isolation
    ceiling: Limits  # what the host allows at most; every request is cut down to it

    @abstractmethod
    async def judge(  # noqa: PLR0913 - what a caller may ask for
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,
        module: str | None = None,
        language: str = "python",
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        """Judge `solution` against `tests`.

        Tests find the solution's names as their own globals, under the module name `solution`, and under `module` when
        it is given. Limits that `limits` does not name are the language's own, all of them for None. `verdict` None is
        the sandbox's own mode; the mode that is asked for is the one that is used. ConfigurationException: the language
        is unknown, or has no such mode.
        """

    async def judge_batch(self, cases: Sequence[JudgeCase]) -> list[Verdict]:
        """Judge several, as many at once as the sandbox can; the verdicts are in the order of the cases.

        An exception of one, as `judge` raises it, ends them all.
        """
        return await all_or_none([partial(self.judge_case, case) for case in cases])

    async def judge_case(self, case: JudgeCase) -> Verdict:
        """`judge`, of a record."""
        return await self.judge(
            case.solution,
            case.tests,
            limits=case.limits,
            module=case.module,
            language=case.language,
            verdict=case.verdict,
        )

    @abstractmethod
    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        """Run `program` to its end and say what it printed. It is no verdict."""

    async def open(
        self,
        language: str = "python",
        *,
        limits: Limits | None = None,  # noqa: ARG002 - one that keeps no sessions refuses
    ) -> SandboxSession:
        """Start an interpreter that keeps its state until it is closed, is not used for long, or the sandbox closes.

        ConfigurationException: the language, or this sandbox, has no sessions. SandboxException: no more of them can
        be open (`sessions_full`), or it cannot be started.
        """
        message = f"a sandbox of the kind {self.isolation} keeps no sessions"
        raise ConfigurationException(message, subject=language, hint="Use `run` for a program that ends.")

    @abstractmethod
    async def probe(self) -> Mapping[str, str]:
        """What doctor and health checks show: name of a check to `ok` or to what is wrong."""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...
