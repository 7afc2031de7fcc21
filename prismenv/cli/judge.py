"""`prismenv judge`: one solution against its tests, or a file of cases."""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import packages_distributions
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TextIO

import anyio
import typer
from pydantic import ValidationError

from prismenv.cli.output import print_error, print_json, say
from prismenv.cli.tokens import token_sources
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.keys import KeySource
from prismenv.contracts.recipe import DockerSettings, IsolationChoice, SandboxSettings
from prismenv.engine.judging import (
    JudgedLine,
    check_module,
    error_line,
    judge_files,
    judged_lines,
    numbered_lines,
    verdict_line,
)
from prismenv.engine.solutionfiles import read_folder
from prismenv.finding.languagefolders import language_folders
from prismenv.isolation.choice import open_sandbox, usual_workers
from prismenv.isolation.kit import HARNESS, claimed_extensions, language_of, language_shelf
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Verdict, VerdictMode

_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(\w+)")
SERVICE_CALLS = 16  # at once, of a batch that a service judges
ALL_PASSED = "All tests passed."  # a report that says no more than the headline
NO_LANGUAGES = ("", ".txt")  # of files that may be Python for all that they are called
PASSED, NOT_PASSED, BAD_LINE, INFRASTRUCTURE = 0, 1, 2, 3
EPILOG = """Exit code: 0 passed, 1 not passed, 2 bad usage, 3 infrastructure; of a batch the highest of its lines.

Examples:

\b
  prismenv judge solution.py tests.py
  prismenv judge solution.py tests.py --json --wall-seconds 5
  prismenv judge solution.py tests.py --module bank
  prismenv judge solution.py tests.py --verdict shared
  prismenv judge program.py cases.yaml
  prismenv judge solution.cpp cases.yaml
  prismenv judge answer.txt cases.yaml --language rust
  prismenv judge solution.cpp cases.yaml --isolation docker --image gcc-and-python:12
  prismenv judge project/ tests.py --entry bank/main.py
  prismenv judge program/ cases.yaml
  prismenv judge solution.py tests.py --file helper.py --file data/rates.txt
  prismenv judge --batch cases.jsonl --json > verdicts.jsonl
  prismenv judge solution.py tests.py --sandbox-url http://judges:8020 --sandbox-token-variable TOKEN
"""

VerdictOption = Annotated[
    VerdictMode | None,
    typer.Option(
        help="split: tests and solution in processes of their own; shared: in one. Default: split, but shared for tests"
        " that are a program of another language than Python."
    ),
]
IsolationOption = Annotated[IsolationChoice, typer.Option(help="How code is kept in; auto: the strongest there is.")]
ImageOption = Annotated[str | None, typer.Option(help="What containers are made of, with --isolation docker.")]
LanguageOption = Annotated[
    str | None,
    typer.Option(help="The solution's language; default: by its file's extension; python for none, and .txt."),
]
PackagesOption = Annotated[
    str, typer.Option(help="Installed packages that solution and tests may import, such as numpy,pandas.")
]
UrlOption = Annotated[
    str | None, typer.Option(help="Judge where `prismenv sandbox serve` does, such as http://host:8020.")
]
TokenVariableOption = Annotated[
    str | None, typer.Option(help="The variable that holds the bearer token of --sandbox-url.")
]
TokenFileOption = Annotated[Path | None, typer.Option(help="The file that holds it, which only you can read.")]
LanguagesOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="The workspace with further languages; default: the nearest one upwards."),
]


def judge(
    solution: Annotated[Path | None, typer.Argument(help="The solution's file, or the folder of its files.")] = None,
    tests: Annotated[Path | None, typer.Argument(help="The file of its tests.")] = None,
    batch: Annotated[
        Path | None, typer.Option(help='JSON lines {"id", "solution" or "files", "tests"}; - is standard input.')
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one document for each verdict.")] = False,
    wall_seconds: Annotated[float | None, typer.Option(help="Time limit of one run.")] = None,
    memory_bytes: Annotated[int | None, typer.Option(help="Memory limit of one run.")] = None,
    module: Annotated[str | None, typer.Option(help="Another name under which tests import the solution.")] = None,
    entry: Annotated[str | None, typer.Option(help="Of a folder, the file whose names the tests find.")] = None,
    file: Annotated[list[Path] | None, typer.Option(help="One more file of the solution; may be repeated.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Cases judged at once; default: one a processor, 16 of a service.")
    ] = None,
    isolation: IsolationOption = "auto",
    image: ImageOption = None,
    verdict: VerdictOption = None,
    packages: PackagesOption = "",
    language: LanguageOption = None,
    workspace: LanguagesOption = None,
    sandbox_url: UrlOption = None,
    sandbox_token_variable: TokenVariableOption = None,
    sandbox_token_file: TokenFileOption = None,
) -> None:
    """Judge a solution against its tests, or a file of cases. The verdict is never an exit code of the solution's."""
    folders = language_folders(workspace)
    if image is not None and isolation != "docker":
        raise ConfigurationException("--image belongs to --isolation docker", subject="--image")
    settings = SandboxSettings(
        limits=_limits(wall_seconds, memory_bytes),
        isolation=isolation,
        docker=DockerSettings() if image is None else DockerSettings(image=image),
        verdict=verdict or DEFAULT_VERDICT,
        packages=tuple(name for each in packages.split(",") if (name := each.strip())),
        url=sandbox_url,
        token=_token(sandbox_token_file, sandbox_token_variable),
    )
    if module is not None:
        check_module(module)
    if batch is not None:
        if solution is not None or module is not None or entry is not None or file:
            message = "--batch takes its solutions, files, tests and modules from the lines of its file"
            raise ConfigurationException(message)
        raise typer.Exit(
            anyio.run(_judge_batch, batch, _Bench(settings, folders, language or HARNESS), workers, as_json)
        )
    if solution is None or tests is None:
        raise ConfigurationException("name a solution and its tests, or a file of cases with --batch")
    bench = _Bench(settings, folders, language or _language(solution, tests, entry, folders))
    judged = partial(judge_files, solution=solution, tests=tests, module=module, entry=entry, others=tuple(file or ()))
    raise typer.Exit(
        anyio.run(
            _judge_pair,
            partial(judged, language=bench.language, verdict=_verdict_of(bench, tests, verdict)),
            solution.name,
            bench,
            as_json,
        )
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """How the sandbox is opened, and the language of what is judged in it unless that says so itself."""

    settings: SandboxSettings
    languages: tuple[Path, ...]
    language: str


def _language(solution: Path, tests: Path, entry: str | None, folders: tuple[Path, ...]) -> str:
    """By extension: that of the file, or of a folder's entry."""
    if entry is None and solution.is_dir():
        entry = read_folder(solution, tests=tests).main
    path, shelf = Path(entry) if entry else solution, language_shelf(folders)
    language = language_of(path, shelf)
    if language is None and path.suffix not in NO_LANGUAGES:
        known = sorted({each for extensions in claimed_extensions(shelf).values() for each in extensions})
        raise ConfigurationException(
            f"{path.name}: no language's files end with {path.suffix}; known are {', '.join(known)}",
            code="unknown_language",
            subject=str(path),
            hint="Name its language with --language.",
        )
    return language or HARNESS


def _verdict_of(bench: _Bench, tests: Path, asked: VerdictMode | None) -> VerdictMode | None:
    """`shared` for tests that are a program, where there is no other verdict of such; None: the sandbox's own."""
    profile = language_shelf(bench.languages).profile(bench.language)
    if profile.guest is not None or profile.tests is None or tests.suffix not in profile.extensions:
        return asked
    if asked == "split":
        message = f"{tests} is a program that runs in one process with the solution: no split verdict"
        hint = "Ask for --verdict shared, or judge it by cases of input and output."
        raise ConfigurationException(message, subject=str(tests), hint=hint)
    return "shared"


def _token(file: Path | None, variable: str | None) -> KeySource | None:
    found = token_sources([file] if file else None, [variable] if variable is not None else None)
    if len(found) > 1:
        raise ConfigurationException("--sandbox-token-variable or --sandbox-token-file: one of the two")
    return found[0] if found else None


def _limits(wall_seconds: float | None, memory_bytes: int | None) -> dict[str, Any]:
    """The limits that were asked for, checked; they come over the language's own."""
    asked = {"wall_seconds": wall_seconds, "memory_bytes": memory_bytes}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    try:
        limits = Limits(**given)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        said = first["msg"].removeprefix("Input ")
        raise ConfigurationException(f"--{option} {first['input']}: it {said}") from error
    if wall_seconds is not None:  # whoever gives more time means time to compute as well
        given["cpu_seconds"] = max(wall_seconds, limits.cpu_seconds)
    return given


@asynccontextmanager
async def _opened(bench: _Bench, workers: int) -> AsyncIterator[Sandbox]:
    """The sandbox. What was asked for above the host's ceiling is told of: the sandbox goes no higher."""
    settings = bench.settings
    async with open_sandbox(settings, workers, languages=bench.languages) as sandbox:
        for name in ("wall_seconds", "memory_bytes"):
            ceiling = getattr(sandbox.ceiling, name)
            if settings.limits.get(name, 0) > ceiling:
                print_error(f"note: --{name.replace('_', '-')} is above what this host allows; {ceiling:g} is taken")
        yield sandbox


async def _judge_pair(judged: Callable[[Sandbox], Awaitable[Verdict]], name: str, bench: _Bench, as_json: bool) -> int:
    async with _opened(bench, 1) as sandbox:
        verdict = await judged(sandbox)
    if as_json:
        print_json(verdict_line(name, verdict))
    else:
        _show(verdict)
        if hint := _missing_package(verdict, bench.settings.packages):
            print_error(hint)
    return _exit_code(verdict)


async def _judge_batch(batch: Path, bench: _Bench, workers: int | None, as_json: bool) -> int:
    """Judge a file of cases; each verdict is written as soon as those before it are."""
    count, worst, passed = 0, PASSED, 0
    workers = workers or (usual_workers() if bench.settings.url is None else SERVICE_CALLS)
    with _open_batch(batch) as stream:
        async with (
            _opened(bench, workers) as sandbox,
            judged_lines(sandbox, numbered_lines(stream), workers=workers, language=bench.language) as results,
        ):
            async for judged in results:
                count += 1
                passed += judged.verdict is not None and judged.verdict.success
                worst = max(worst, BAD_LINE if judged.verdict is None else _exit_code(judged.verdict))
                _tell(judged, as_json=as_json)
    if not count:
        raise ConfigurationException(f"{batch} holds no case to judge", subject=str(batch))
    print_error(f"{passed} of {count} passed")
    return worst


def _missing_package(verdict: Verdict, given: Sequence[str]) -> str:
    """What to do about a package that the code asked for and that only prismenv's own environment has; empty: nothing.

    What is looked at is text of the code that was judged: no more than a name that is known here is taken from it.
    """
    found = _NO_MODULE.search(f"{verdict.output}\n{verdict.message}")
    there = packages_distributions().get(found[1], []) if found and not verdict.success else []
    missing = [name for name in there if name not in given]
    if not missing:
        return ""
    option = ",".join([*given, missing[0]])
    return f"note: {missing[0]} is installed here, but not offered to the code; --packages {option} offers it"


def _tell(judged: JudgedLine, *, as_json: bool) -> None:
    if judged.verdict is None:
        if as_json:
            print_json(error_line(judged))
        else:
            print_error(f"error: {judged.error}")
    elif as_json:
        print_json(verdict_line(judged.case_id, judged.verdict))
    else:
        say(f"{judged.case_id}: {_headline(judged.verdict)}")


def _open_batch(batch: Path) -> AbstractContextManager[TextIO]:
    if str(batch) == "-":
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
        return nullcontext(sys.stdin)
    try:
        return batch.open(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise ConfigurationException(f"{batch} cannot be read: {error.strerror}", subject=str(batch)) from error


def _exit_code(verdict: Verdict) -> int:
    if verdict.success:
        return PASSED
    return INFRASTRUCTURE if verdict.fault == "infrastructure" else NOT_PASSED


def _headline(verdict: Verdict) -> str:
    counts = (
        f"{verdict.tests_passed_num} passed, {verdict.tests_failed_num} failed, {verdict.tests_errored_num} errored"
    )
    fault = "" if verdict.fault == "none" else f", fault: {verdict.fault}"
    return f"{verdict.outcome} ({counts}{fault})"


def _show(verdict: Verdict) -> None:
    for case in verdict.cases:
        took = "" if case.wall_seconds is None else f"  {case.wall_seconds * 1000:.0f} ms"
        say(f"{case.outcome:<10} {case.name}{took}")
    if not verdict.success or verdict.output != ALL_PASSED:
        say(f"\n{verdict.output or verdict.message}\n")
    for note in verdict.notes:
        say(f"note: {note}")
    say(_headline(verdict), style="bold green" if verdict.success else "bold red")
    say(
        f"{verdict.wall_seconds:.2f} s wall, {verdict.cpu_seconds:.2f} s CPU, isolation {verdict.isolation}, "
        f"verdict {verdict.verdict_mode}"
    )


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(judge)
