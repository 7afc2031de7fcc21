"""Which languages can be used here, in which version: found by asking their tools and by running their probes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.finding.workspace import WorkspaceSet
from prismenv.isolation.choice import open_sandbox
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.language import LanguageProfile
from prismenv.isolation.toolchain import find_toolchain, version_of
from prismenv.words.errors import ConfigurationException, EnvironmentException
from prismenv.words.limits import Limits


@dataclass(frozen=True, slots=True)
class LanguageState:
    """One language. `version` empty: nobody says. `missing` is what to install, `broken` what is wrong with its file.

    `probe` is `ok` or what its probe program came to; empty: it was not run. `capped` names limits of its file that are
    above what this host allows.
    """

    name: str
    version: str = ""
    missing: str = ""
    broken: str = ""
    probe: str = ""
    capped: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """In one line."""
        if self.missing or self.broken:
            return (self.missing or self.broken).replace("\n", ". ")
        parts = [self.version, f"probe {self.probe}" if self.probe == "ok" else self.probe]
        if self.capped:
            parts.append(f"its {', '.join(self.capped)} above what this host allows are cut down to it")
        return "; ".join(part for part in parts if part)


def look_at_languages(workspaces: WorkspaceSet) -> list[LanguageState]:
    """Every language by name, no program run but those that tell a version."""
    folders = workspaces.sandbox_folders()
    names = language_shelf(folders).names()
    with ThreadPoolExecutor(max(len(names), 1)) as threads:  # each waits for another tool
        return list(threads.map(lambda name: _look(name, folders), names))


async def probe_languages(workspaces: WorkspaceSet) -> list[LanguageState]:
    """The same, with the probe of each that can be used run in the strongest sandbox that there is."""
    states = await anyio.to_thread.run_sync(look_at_languages, workspaces)
    folders = workspaces.sandbox_folders()
    found: dict[str, LanguageState] = {}
    async with open_sandbox(SandboxSettings(), None, languages=folders) as sandbox, anyio.create_task_group() as group:

        async def probe(state: LanguageState) -> None:
            found[state.name] = await _probed(state, sandbox, folders)

        for state in states:
            group.start_soon(probe, state)
    return [found[state.name] for state in states]


def _look(name: str, folders: Sequence[Path]) -> LanguageState:
    try:
        profile = language_shelf(folders).profile(name)
    except ConfigurationException as error:
        return LanguageState(name, broken=str(error))
    try:
        find_toolchain(profile)
        return LanguageState(name, version_of(profile))
    except ConfigurationException as error:
        return LanguageState(name, missing=str(error))
    except OSError as error:
        return LanguageState(name, probe=str(error))


async def _probed(state: LanguageState, sandbox: Sandbox, folders: Sequence[Path]) -> LanguageState:
    if state.missing or state.broken or state.probe:
        return state
    profile = language_shelf(folders).profile(state.name)
    probe = profile.probe
    try:
        done = await sandbox.run(probe.program, language=state.name)
    except EnvironmentException as error:
        return LanguageState(state.name, state.version, probe=str(error))
    said = f"the probe program ended as {done.outcome}: {done.message or done.stderr or done.stdout}"
    good = done.outcome == "exited" and done.stdout == probe.output
    return LanguageState(
        state.name, state.version, probe="ok" if good else said, capped=_above(profile, sandbox.ceiling)
    )


def _above(profile: LanguageProfile, ceiling: Limits) -> tuple[str, ...]:
    asked = {"": profile.limits}
    if profile.compile is not None:
        asked["compile."] = profile.compile.limits
    return tuple(
        f"{where}limits.{name}"
        for where, limits in asked.items()
        for name, value in limits.model_dump(exclude_none=True).items()
        if value != getattr(limits.within(ceiling), name)
    )
