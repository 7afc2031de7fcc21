"""The sandbox that a program of one's own opens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from prismenv.contracts.jail import Sandbox as SandboxContract
from prismenv.contracts.recipe import IsolationChoice, SandboxSettings
from prismenv.finding.complaints import describe, dotted
from prismenv.isolation.choice import open_sandbox
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Execution, Isolation, Verdict, VerdictMode


class Sandbox(SandboxContract):
    """Judges solutions and runs programs, in the strongest isolation that this machine has; see `isolation`.

    The arguments are the keys of a recipe's `sandbox` section, and `workers`, how many runs go on at once (None: one
    for each processor), and `languages`, folders `sandbox` of workspaces whose languages are there too. `limits` and
    `ceiling` None are the language's and the host's own. SandboxException where the isolation that is asked for or
    required is not there; ConfigurationException for a wrong argument.
    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        *,
        isolation: IsolationChoice = "auto",
        require: Isolation | None = None,
        verdict: VerdictMode = DEFAULT_VERDICT,
        limits: Mapping[str, Any] | None = None,
        packages: Sequence[str] = (),
        ceiling: Limits | None = None,
        workers: int | None = None,
        languages: Sequence[Path] = (),
    ) -> None:
        if workers is not None and workers < 1:
            raise ConfigurationException(f"workers: found {workers}; expected at least 1", subject="workers")
        settings = _settings(
            {
                "isolation": isolation,
                "require": require,
                "verdict": verdict,
                "limits": dict(limits or {}),
                "packages": packages,
                "ceiling": ceiling,
            }
        )
        self._chosen = open_sandbox(settings, workers, languages=languages)
        self.isolation = self._chosen.isolation
        self.ceiling = self._chosen.ceiling

    async def judge(  # noqa: PLR0913 - the contract
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,
        module: str | None = None,
        language: str = "python",
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        return await self._chosen.judge(
            solution, tests, limits=limits, module=module, language=language, verdict=verdict
        )

    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        return await self._chosen.run(program, stdin=stdin, language=language, limits=limits)

    async def probe(self) -> Mapping[str, str]:
        return await self._chosen.probe()

    async def __aenter__(self) -> Self:
        await self._chosen.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._chosen.__aexit__(*error)


def _settings(arguments: dict[str, Any]) -> SandboxSettings:
    try:
        return SandboxSettings.model_validate(arguments)
    except ValidationError as error:
        raise ConfigurationException(describe(error, SandboxSettings, arguments, dotted)) from error
