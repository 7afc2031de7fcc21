"""How a plugin judges solutions and runs programs."""

from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

from prismenv.contracts.folder import OwnFolder
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.requests import asked_limits
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.words.fileset import FileSet
from prismenv.words.verdict import Execution, Verdict

JUDGE_TRIES = 3  # a judge that broke is asked again before its verdict counts


class Judging(ABC):
    """The part of an environment that speaks to the sandbox."""

    _folder: OwnFolder
    config: EnvironmentConfig

    @property
    @abstractmethod
    def services(self) -> Services:
        """What the environment works with."""

    @property
    def output_dir(self) -> Path:
        """A folder of the instance's own, made when first asked for, removed by `reset` and `close`."""
        return self._folder.path

    @abstractmethod
    def _remember(self, solution: str | FileSet, tests: str, verdict: Verdict) -> None:
        """Keep what was judged for the call that runs, in case its time runs out."""

    async def judge(
        self,
        solution: str | FileSet,
        tests: str,
        *,
        module: str | None = None,
        language: str = "python",
        attempt: bool = True,
        **limits: Any,
    ) -> Verdict:
        """Judge `solution` against `tests` in the sandbox; `limits` are fields of Limits, in seconds and bytes.

        A solution of several files is a FileSet, and may be the `solution_code` of a record as it is.

        The mode of the verdict is the configuration's `verdict`, or the sandbox's own. A judge that breaks is asked
        again; a verdict of `infrastructure_error` means that it broke every time.

        When the time of a node runs out before its trail was returned, what was judged so far becomes the trail, unless
        `add_attempt` made one. `attempt` false leaves out what is no attempt of a candidate, such as a check of tests.
        """
        asked, mode = asked_limits(limits), self.config.verdict
        judge = partial(self.services.sandbox.judge, limits=asked, module=module, language=language, verdict=mode)
        verdict = await judge(solution, tests)
        for _ in range(JUDGE_TRIES - 1):
            if verdict.outcome != "infrastructure_error":
                break
            verdict = await judge(solution, tests)
        if attempt:
            self._remember(solution, tests, verdict)
        return verdict

    async def run(self, program: str, stdin: str = "", language: str = "python", **limits: Any) -> Execution:
        """Run `program` in the sandbox and say what it printed. It is no verdict."""
        return await self.services.sandbox.run(program, stdin=stdin, language=language, limits=asked_limits(limits))

    async def open_session(self, language: str = "python", **limits: Any) -> SandboxSession:
        """An interpreter in the sandbox that keeps its state; whoever opens it closes it.

        SandboxException: no more of them can be open, or it cannot be started.
        """
        return await self.services.sandbox.open(language, limits=asked_limits(limits))

    async def run_script(self, script_path: str | Path) -> tuple[bool, str]:
        """Run a Python file in the sandbox: whether it ended with exit code 0, and what it printed.

        This is no verdict: a program that leaves with exit code 0 has proved nothing. Use `judge` for that. A relative
        path is looked for in `output_dir`. EnvironmentExecutionException where there is no such text.
        """
        execution = await self.run(await anyio.to_thread.run_sync(self._folder.read_program, script_path))
        output = execution.stdout + execution.stderr
        return execution.outcome == "exited" and execution.exit_code == 0, output or execution.message
