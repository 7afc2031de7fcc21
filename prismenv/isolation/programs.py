"""Runs programs of every language: compiled once where that is needed, started afresh for each input.

Theory of operation: a compiler runs in a jail of its own, on the source alone. What it made is handed over in a file
that only its guest holds, stays with this process, and is written into the private folder of each run. So a compiler
that hostile source has taken over has reached nothing but its own output, which was the candidate's to choose anyway.
"""

import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prismenv.isolation.building import Build, BuildCache, key_of, read_output
from prismenv.isolation.calls import GuestCall, new_nonce
from prismenv.isolation.judgement import Finding, Judgement
from prismenv.isolation.kit import LanguageKit
from prismenv.isolation.language import LanguageProfile
from prismenv.isolation.launch import Ending
from prismenv.isolation.program import execution
from prismenv.isolation.report import clipped
from prismenv.isolation.toolwords import filled
from prismenv.isolation.transcript import ProgramTalk
from prismenv.words.errors import ProtocolException
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation, Outcome, Verdict

MESSAGE_CHARACTERS = 4000  # of what a compiler says

# Runs the program once with that input, those arguments and those limits.
Start = Callable[[str, tuple[str, ...], Limits], Awaitable[Execution]]
# Runs guests to their end; GuestSandbox._launch().
Launcher = Callable[[LanguageKit, Sequence[GuestCall], Limits], Awaitable[Ending]]


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: the file to start or to compile, all files, and what surrogates in them are.

    `run` and `compile` are the commands, braces and all; `compile` empty: there is nothing to compile.
    """

    source: str
    files: Mapping[str, str]
    errors: str
    run: tuple[str, ...]
    compile: tuple[str, ...] = ()


@dataclass(slots=True)
class Programs:
    """`launch` runs guests, `root` gives the folder of the sandbox, `ceiling` is the host's."""

    launch: Launcher
    root: Callable[[], Path]
    isolation: Isolation
    ceiling: Limits
    builds: BuildCache = field(default_factory=BuildCache)

    async def run(
        self, kit: LanguageKit, program: Program, stdin: str, arguments: tuple[str, ...], limits: Limits
    ) -> Execution:
        """Run it once. A program that does not compile ends as its compiler did."""
        build, _ = await self.build(kit, program)
        if build is not None and build.problem:
            return build.done.model_copy(update={"message": build.problem, "stdout": "", "stderr": build.done.stdout})
        return await self.started(kit, program, build)(stdin, arguments, limits)

    def started(self, kit: LanguageKit, program: Program, build: Build | None) -> Start:
        """What starts it, again and again, with an input, arguments and limits."""
        profile, files = kit.profile, {} if build is None else build.files
        if profile.guest is None:
            command = filled(program.run, {**kit.values, "source": program.source})
            own = {"environment": _environment(profile.environment, kit), "address_space": profile.address_space}
        else:
            command = profile.filled(program.run, source=program.source)
            own = {"environment": None, "address_space": True}
        beside = {name: text for name, text in program.files.items() if not files or _is_data(name, profile, files)}
        given = {"files": beside, "errors": program.errors, "built": dict(files), **own}

        async def start(stdin: str, arguments: tuple[str, ...], limits: Limits) -> Execution:
            talk = ProgramTalk(nonce := new_nonce())
            payload = {**given, "nonce": nonce, "stdin": stdin, "command": [*command, *arguments]}
            ending = await self.launch(kit, [GuestCall("run", payload, talk)], limits)
            return execution(ending, talk, profile, limits, self.isolation)

        return start

    async def build(self, kit: LanguageKit, program: Program) -> tuple[Build | None, bool]:
        """What its compiler makes of it, and whether that was done now; None: there is nothing to compile."""
        if kit.profile.compile is None or not program.compile:
            return None, False
        key = key_of(kit.profile.language, *program.compile, program.errors, *_flat(program.files))
        return await self.builds.get(key, lambda: self._compile(kit, program))

    async def _compile(self, kit: LanguageKit, program: Program) -> Build:
        how = kit.profile.compile
        if how is None:
            raise AssertionError("only what is compiled comes here")
        limits = how.limits.within(self.ceiling)
        talk = ProgramTalk(nonce := new_nonce())
        payload = {
            "nonce": nonce,
            "files": dict(program.files),
            "errors": program.errors,
            "command": filled(program.compile, {**kit.values, "source": program.source}),
            "output": list(how.output),
            "environment": _environment(how.environment, kit),
            "address_space": how.address_space,
        }
        with tempfile.TemporaryFile(dir=self.root()) as handed:
            call = GuestCall("compile", payload, talk, handed=handed.fileno())
            ending = await self.launch(kit, [call], limits)
            done = execution(ending, talk, kit.profile, limits, self.isolation)
            if done.outcome != "exited" or done.exit_code:
                return Build(done, problem=_problem(done))
            try:
                files = read_output(handed.fileno())
            except ProtocolException as error:
                return Build(done.model_copy(update={"outcome": "crashed", "exit_code": None}), problem=error.message)
        return Build(done, files, "" if files else "it does not compile: its compiler made nothing that could be run")


def _is_data(name: str, profile: LanguageProfile, built: Mapping[str, bytes]) -> bool:
    """Whether a program that was compiled may want a file: a source it does not, and what was compiled has its name."""
    return not name.endswith(profile.extensions) and name.partition("/")[0] not in built


def _environment(words: Mapping[str, str], kit: LanguageKit) -> dict[str, str]:
    return dict(zip(words, filled(words.values(), kit.values), strict=True))


def _flat(files: Mapping[str, str]) -> list[str]:
    return [part for name in sorted(files) for part in (name, files[name])]


def _problem(done: Execution) -> str:
    if done.outcome != "exited":
        return f"it could not be compiled: {done.message}"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
    return f"it does not compile: {clipped(first, 300) or f'its compiler left with exit code {done.exit_code}'}"


def unbuilt(build: Build, fresh: bool, judgement: Judgement, names: list[str]) -> Verdict:  # noqa: FBT001 - build()'s
    """The verdict of what its compiler did not make: the candidate's fault, unless the machine's.

    `names` are the tests that would have run.
    """
    done = build.done
    if fresh:
        judgement.cpu_seconds, judgement.wall_seconds = done.cpu_seconds, done.wall_seconds
    judgement.limits_hit.update(dict.fromkeys(done.limits_hit))
    if done.outcome == "infrastructure_error":
        return judgement.verdict(Finding("infrastructure_error", "infrastructure", done.message), [])
    outcome: Outcome = "errored" if done.outcome == "exited" else done.outcome
    said = clipped(done.stdout.strip(), MESSAGE_CHARACTERS)
    return judgement.verdict(Finding(outcome, "candidate", build.problem, said), names)
