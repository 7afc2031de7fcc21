"""The sandbox that a program of one's own opens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from prismenv.contracts.clock import Clock
from prismenv.contracts.jail import Sandbox as SandboxContract
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.keys import KeySource
from prismenv.contracts.recipe import DockerSettings, IsolationChoice, SandboxSettings
from prismenv.finding.complaints import describe, dotted
from prismenv.isolation.choice import open_sandbox
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.judgecase import JudgeCase
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Execution, Isolation, Verdict, VerdictMode


class Sandbox(SandboxContract):
    """Judges solutions and runs programs, in the strongest isolation that this machine has; see `isolation`.

    With `url` they run where `prismenv sandbox serve` does, `token` being where its bearer token is:
    `{"variable": NAME}` or `{"file": PATH}`. What `isolation` and `ceiling` are is known once such a one is open.

    The arguments are the keys of a recipe's `sandbox` section, and `workers`, how many runs go on at once (None: one
    for each processor), and `languages`, folders `sandbox` of workspaces whose languages are there too. `limits` and
    `ceiling` None are the language's and the host's own; `clock` None is the system's, by which idle sessions end.
    SandboxException where the isolation that is asked for or required is not there; ConfigurationException for a wrong
    argument.
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
        sessions: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        url: str | None = None,
        token: KeySource | Mapping[str, str] | None = None,
        docker: DockerSettings | Mapping[str, Any] | None = None,
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
                "sessions": dict(sessions or {}),
                "url": url,
                "token": token,
                "docker": docker or DockerSettings(),
            }
        )
        self._chosen = open_sandbox(settings, workers, clock=clock, languages=languages)
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
        _check("solution", solution, str, FileSet)
        _check("tests", tests, str)
        _check("limits", limits, Limits, type(None))
        return await self._chosen.judge(
            solution, tests, limits=limits, module=module, language=language, verdict=verdict
        )

    async def judge_batch(self, cases: Sequence[JudgeCase]) -> list[Verdict]:
        return await self._chosen.judge_batch(cases)

    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        _check("program", program, str)
        _check("stdin", stdin, str)
        _check("limits", limits, Limits, type(None))
        return await self._chosen.run(program, stdin=stdin, language=language, limits=limits)

    async def open(self, language: str = "python", *, limits: Limits | None = None) -> SandboxSession:
        _check("limits", limits, Limits, type(None))
        return await self._chosen.open(language, limits=limits)

    async def probe(self) -> Mapping[str, str]:
        return await self._chosen.probe()

    async def __aenter__(self) -> Self:
        await self._chosen.__aenter__()
        self.isolation, self.ceiling = self._chosen.isolation, self._chosen.ceiling
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._chosen.__aexit__(*error)


def _check(name: str, given: object, *kinds: type) -> None:
    """ConfigurationException for an argument of another type."""
    if not isinstance(given, kinds):
        expected = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ConfigurationException(f"{name}: found {type(given).__name__}; expected {expected}", subject=name)


def _settings(arguments: dict[str, Any]) -> SandboxSettings:
    try:
        return SandboxSettings.model_validate(arguments)
    except ValidationError as error:
        raise ConfigurationException(describe(error, SandboxSettings, arguments, dotted)) from error
