"""What every kind of sandbox shares: languages, limits, trials, programs, and threads that can be stopped."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.recipe import SessionSettings
from prismenv.finding.folders import builtin_workspace
from prismenv.isolation.building import Build
from prismenv.isolation.calls import GuestCall, new_nonce
from prismenv.isolation.casefile import holds_cases, read_cases
from prismenv.isolation.casetrial import CaseTrial
from prismenv.isolation.errand import Errand
from prismenv.isolation.folder import HeldFolder, private_folder, remove_abandoned
from prismenv.isolation.judgement import Finding, Judgement
from prismenv.isolation.kit import HARNESS, HOST_CEILING, LanguageKit, LanguageShelf
from prismenv.isolation.launch import Ending, StopSignal
from prismenv.isolation.packages import PackageSet, find_packages
from prismenv.isolation.probe import probe_sandbox
from prismenv.isolation.programs import Program, Programs, Start, unbuilt
from prismenv.isolation.promises import keep_promises
from prismenv.isolation.sessionkeeper import SessionKeeper, StartedSession
from prismenv.isolation.source import Source
from prismenv.isolation.testtrial import TestTrial
from prismenv.isolation.transcript import SolutionTalk, Transcript
from prismenv.isolation.trial import Trial
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Execution, Verdict, VerdictMode

NO_SPLIT = "Tests that are a program of {} have no split verdict: ask for `verdict: shared`, or judge it by cases."
SHOWN_CHARACTERS = 10**6  # of a longer solution the judge can show no line: its memory is for the suite


class GuestSandbox(Sandbox):
    """A sandbox that runs guests. `workers` is how many run at once; `limits` replace single limits of every language

    (names of Limits); `ceiling` None means HOST_CEILING; `verdict` is how it judges where nobody says otherwise;
    `packages` are installed ones that solutions and tests may import (ConfigurationException for others); `sessions`
    keeps those of `open`, None: with the usual settings; `folder` holds languages, guests and system call profiles,
    None means those that come with prismenv; `languages` are folders such as a workspace's `sandbox`, whose languages
    are there too, the first one's before all others.
    """

    def __init__(  # noqa: PLR0913 - what a recipe says of it
        self,
        workers: int,
        ceiling: Limits | None = None,
        *,
        limits: Mapping[str, Any] | None = None,
        verdict: VerdictMode = DEFAULT_VERDICT,
        folder: Path | None = None,
        packages: Sequence[str] = (),
        languages: Sequence[Path] = (),
        sessions: SessionKeeper | None = None,
    ) -> None:
        self.workers = workers
        self.ceiling = ceiling or HOST_CEILING
        self.verdict = verdict
        self._sessions = sessions or SessionKeeper(SessionSettings(), SystemClock())
        self._folder = folder or builtin_workspace().root / "sandbox"
        self._root: HeldFolder | None = None
        self._packages = find_packages(packages) if packages else PackageSet()
        self._shelf_of_languages = LanguageShelf((*languages, self._folder), limits or {}, self.ceiling)
        self._programs = Programs(self._launch, self._open_root, self.isolation, self.ceiling)
        self._language(HARNESS)  # what is wrong with the profile or the limits shows before anything runs

    async def __aenter__(self) -> Self:
        self._places = anyio.CapacityLimiter(self.workers)
        self._threads = anyio.CapacityLimiter(self.workers)
        try:
            self._root = HeldFolder()
            if self._packages.entries:
                self._packages.lay_out(self._shelf())
        except OSError as error:
            root, self._root = self._root, None
            if root is not None:
                root.remove()
            kind = self.isolation
            raise SandboxException(f"the {kind} sandbox cannot be set up: {error}", subject=kind) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.close()
        root, self._root = self._root, None
        if root is not None:
            root.remove()
            remove_abandoned()  # at the end: nobody waits for it then

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
        self._open_root()
        kit, mode = await self._kit(language), verdict or self.verdict
        guest = kit.profile.guest
        if guest is not None and mode == "split" and guest.split is None:
            message = f"the language {language} has no split verdict"
            raise ConfigurationException(message, subject=language, hint="Ask for `verdict: shared`.")
        allowed, source = self._allowed(kit, limits), _source(kit, solution, module, self._packages.names)
        if holds_cases(tests) or (guest is None and (kit.profile.tests is None or mode == "split")):
            return await self._judge_cases(source, tests, kit, allowed)
        if guest is None:
            return await self._judge_by_program(source, tests, kit, allowed)
        if (finding := source.objection()) is not None:
            return Judgement(allowed, kit.digest(mode), self.isolation, mode).verdict(finding, [])

        async def launch(payload: dict[str, Any], under: Limits, transcript: Transcript) -> Ending:
            split = mode == "split" and not payload["audit"]  # an audit has no solution that could be kept apart
            calls = _split_calls(payload, transcript) if split else [GuestCall("judge", payload, transcript)]
            return await self._launch(kit, calls, under)

        trial = Trial(launch, new_nonce, source.payload(tests), allowed, kit.digest(mode), self.isolation, mode)
        return source.noted(await self._in_place(trial.verdict))

    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        self._open_root()
        kit = await self._kit(language)
        async with self._places:
            return await self._programs.run(
                kit, _program(kit, _source(kit, program, None)), stdin, (), self._allowed(kit, limits)
            )

    async def probe(self) -> Mapping[str, str]:
        with private_folder(self._open_root()) as folder:
            checks = await probe_sandbox(self, self._language(HARNESS).profile.probe)
            return {**checks, **await keep_promises(self, folder)}

    async def open(self, language: str = "python", *, limits: Limits | None = None) -> SandboxSession:
        if type(self)._start_session is GuestSandbox._start_session:  # noqa: SLF001 - its own
            return await super().open(language, limits=limits)
        kit = await self._kit(language)
        if kit.guest.session is None or language != HARNESS:
            raise ConfigurationException(f"the language {language} has no sessions", subject=language)
        self._open_root()
        allowed, nonce = self._allowed(kit, limits), new_nonce()

        def start() -> StartedSession:
            return self._start_session(kit, nonce, allowed)

        return await self._sessions.open(start, nonce, language, allowed, self.ceiling)

    async def _judge_cases(self, solution: Source, tests: str, kit: LanguageKit, allowed: Limits) -> Verdict:
        """Judge the solution as a program, by its cases of input and output."""
        digest = kit.bundles["run"].digest
        try:
            suite = await anyio.to_thread.run_sync(read_cases, tests)
        except ConfigurationException as error:
            is_program = kit.profile.tests is not None and not holds_cases(tests)
            hint = f"\n{NO_SPLIT.format(kit.profile.language)}" if is_program else ""
            finding = Finding("invalid_tests", "tests", f"the tests cannot be read: {error}{hint}")
            return Judgement(allowed, digest, self.isolation, "split").verdict(finding, [])
        program = _program(kit, solution)

        async def judged() -> Verdict:
            build, fresh = await self._programs.build(kit, program)
            if build is not None and build.problem:
                return unbuilt(build, fresh, Judgement(allowed, digest, self.isolation, "split"), suite.names())
            start = self._programs.started(kit, program, build)
            return await CaseTrial(start, suite, allowed, digest, self.isolation).verdict()

        return await self._in_place(judged)

    async def _judge_by_program(self, solution: Source, tests: str, kit: LanguageKit, allowed: Limits) -> Verdict:
        """Judge the solution by tests that are a program of its language."""
        how, name = kit.profile.tests, kit.profile.language
        if how is None:
            raise AssertionError("only languages with such tests come here")
        main, given, errors = solution.program(kit.profile.files.solution)
        if how.file in given:
            raise ConfigurationException(f"{how.file} is the tests' own name, and a file of the solution", subject=name)

        async def prepare(text: str) -> tuple[Build | None, bool, Start]:
            files = {**given, main: text, how.file: tests}
            program = Program(how.file, files, errors, how.run, how.compile)
            build, fresh = await self._programs.build(kit, program)
            return build, fresh, self._programs.started(kit, program, build)

        digest = kit.bundles["run"].digest
        trial = TestTrial(prepare, solution.text, how.results, allowed, digest, self.isolation)
        return await self._in_place(trial.verdict)

    async def _in_place(self, judged: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """Judge when a place is free, and once more where that was no fault of the code's."""
        try:
            self._places.acquire_nowait()  # a free one, without another round of the event loop
        except anyio.WouldBlock:
            await self._places.acquire()
        try:
            verdict = await judged()
            return await judged() if verdict.outcome == "infrastructure_error" else verdict
        finally:
            self._places.release()

    def _allowed(self, kit: LanguageKit, limits: Limits | None) -> Limits:
        """What a run may use: what is asked for over the language's own, never more than the ceiling."""
        return kit.limits if limits is None else limits.over(kit.limits).within(self.ceiling)

    async def _kit(self, name: str) -> LanguageKit:
        """The language with its tools, looked for beside the event loop: they may have to be asked where they are."""
        if self._shelf_of_languages.knows(name):
            return self._language(name)
        return await anyio.to_thread.run_sync(self._language, name)

    def _language(self, name: str) -> LanguageKit:
        return self._shelf_of_languages.kit(name)

    def _open_root(self) -> Path:
        """The folder of this sandbox. SandboxException when it is not open."""
        if self._root is None:
            raise SandboxException("the sandbox is not open: use it in `async with`", subject=self.isolation)
        return self._root.path

    def _shelf(self) -> Path:
        """The folder that shows the packages, where a guest sees the host's folders."""
        return self._open_root() / "packages"

    @abstractmethod
    async def _launch(self, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits) -> Ending:
        """Run one guest, or two that share a bridge, the judge first.

        Cancelling the caller ends them, and returns only when nothing of them is left.
        """

    def _start_session(self, kit: LanguageKit, nonce: str, limits: Limits) -> StartedSession:
        """In a thread: begin a session. SandboxException, OSError when it cannot be begun.

        A kind that does not define it keeps none.
        """
        raise NotImplementedError

    async def _in_thread(self, work: Callable[[StopSignal], Ending]) -> Ending:
        """Do blocking `work` in a thread that is told to stop when the caller is cancelled."""
        return await Errand(work, _broken, self._threads).run()


def _broken(message: str) -> Ending:
    return Ending(message=f"the sandbox could not work: {message}")


def _source(
    kit: LanguageKit, solution: str | FileSet, module: str | None, offered: frozenset[str] = frozenset()
) -> Source:
    """What is judged or run. ConfigurationException for an entry that is no file of the language."""
    known = kit.profile.extensions
    if isinstance(solution, FileSet) and known and not solution.main.endswith(known):
        name = kit.profile.language
        raise ConfigurationException(
            f"the entry {solution.main!r} is no file of the language {name} ({', '.join(known)})",
            subject=solution.main,
            hint="Name its language (--language), or the file that is to be judged (--entry).",
        )
    return Source.of(solution, module, offered)


def _program(kit: LanguageKit, source: Source) -> Program:
    """A solution as a program of its language."""
    profile = kit.profile
    path, files, errors = source.program(profile.files.program)
    command = profile.compile.command if profile.compile is not None else ()
    return Program(path, files, errors, profile.run, command)


def _split_calls(payload: dict[str, Any], transcript: Transcript) -> list[GuestCall]:
    """What is told to the judge and to the one that runs the solution: this one is given nothing of the tests."""
    nonce = new_nonce()
    shown = payload["solution"] if len(payload["solution"]) <= SHOWN_CHARACTERS else ""
    given = {name: payload[name] for name in ("solution", "modules", "files", "parts", "entry")}
    return [
        GuestCall("split_judge", {**payload, "solution": shown, "files": {}}, transcript),
        GuestCall("split_solution", {**given, "nonce": nonce}, SolutionTalk(nonce)),
    ]
