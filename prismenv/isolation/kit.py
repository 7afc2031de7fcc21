"""A language as a sandbox uses it: its file, its guests, its tools and its limits, loaded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prismenv.finding.folders import builtin_workspace
from prismenv.isolation.bundle import GuestBundle, load_bundle
from prismenv.isolation.language import GuestSettings, LanguageProfile, Role, language_names, load_language
from prismenv.isolation.toolchain import Toolchain, find_toolchain
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.verdict import VerdictMode

HARNESS = "python"  # the language whose guests run the programs of all others
HOST_CEILING = Limits(
    wall_seconds=600,
    cpu_seconds=600,
    memory_bytes=8 * 2**30,
    output_bytes=64 * 2**20,
    file_bytes=4 * 2**30,
    processes=512,
)
_TOOL_ROLES: tuple[Role, ...] = ("run", "compile")


@dataclass(frozen=True, slots=True)
class LanguageKit:
    """A profile with the guests that serve it, what is served in each, and its limits.

    `guest` is how these are started, `guest_environment` what they find. `chain` None: it needs no tools.
    """

    profile: LanguageProfile
    limits: Limits
    bundles: Mapping[Role, GuestBundle]
    entries: Mapping[Role, str]
    guest: GuestSettings
    guest_environment: Mapping[str, str]
    chain: Toolchain | None = None

    def digest(self, mode: VerdictMode) -> str:
        """Names the source of the guests that judge in this mode."""
        if self.profile.guest is None:
            return self.bundles["run"].digest
        if mode == "shared":
            return self.bundles["judge"].digest
        return f"{self.bundles['split_judge'].digest}{self.bundles['split_solution'].digest}"

    @property
    def values(self) -> Mapping[str, str]:
        """What fills the braces of its commands."""
        return self.chain.values if self.chain is not None else {}


class LanguageShelf:
    """The languages of folders such as a workspace's `sandbox/`, the first that has one before the others.

    Guests are always those of the last folder, the engine's own. `overrides` replace single limits of every language.
    """

    def __init__(self, folders: Sequence[Path], overrides: Mapping[str, Any], ceiling: Limits) -> None:
        self.folders = tuple(folders)
        self._overrides = dict(overrides)
        self._ceiling = ceiling
        self._kits: dict[str, LanguageKit] = {}

    def names(self) -> list[str]:
        """All that there are, whether they can be used here or not."""
        return language_names(*self._at("languages"))

    def profile(self, name: str) -> LanguageProfile:
        """The file of one. ConfigurationException: it is unknown, or its file is wrong."""
        return load_language(name, *self._at("languages"))

    def kit(self, name: str) -> LanguageKit:
        """One that can be used here. ConfigurationException: it is unknown, its file is wrong, a tool is missing."""
        if name not in self._kits:
            bare = self.bare_kit(name)
            chain = find_toolchain(bare.profile) if bare.profile.guest is None else None
            self._kits[name] = replace(bare, chain=chain)
        return self._kits[name]

    def knows(self, name: str) -> bool:
        """Whether this kit was asked for already, so that asking again takes no time."""
        return name in self._kits

    def bare_kit(self, name: str) -> LanguageKit:
        """One without its tools, for whoever looks for them elsewhere. ConfigurationException as `kit`."""
        profile = self.profile(name)
        spoken = profile if profile.guest is not None else self.profile(HARNESS)
        guest = spoken.harness
        parts = guest.by_role()
        if profile.guest is None:
            parts = {role: parts[role] for role in _TOOL_ROLES}
        bundles = {role: load_bundle(self.home / "guests", each) for role, each in parts.items()}
        entries = {role: each.parts[-1] for role, each in parts.items()}
        limits = profile.limits_with(self._overrides).within(self._ceiling)
        return LanguageKit(profile, limits, bundles, entries, guest, spoken.environment)

    def seccomp_folders(self) -> tuple[Path, ...]:
        """Where profiles of system calls are looked for."""
        return self._at("seccomp")

    @property
    def home(self) -> Path:
        """The engine's own folder."""
        return self.folders[-1]

    def _at(self, part: str) -> tuple[Path, ...]:
        return tuple(folder / part for folder in self.folders)


def language_shelf(languages: Sequence[Path] = ()) -> LanguageShelf:
    """The languages of workspaces' folders `sandbox`, and those that come with prismenv, to look at."""
    return LanguageShelf((*languages, builtin_workspace().root / "sandbox"), {}, HOST_CEILING)


def claimed_extensions(shelf: LanguageShelf) -> dict[str, tuple[str, ...]]:
    """Of each language the extensions of its files; one whose own file is wrong claims none."""
    claimed: dict[str, tuple[str, ...]] = {}
    for name in shelf.names():
        try:
            claimed[name] = shelf.profile(name).extensions
        except ConfigurationException:
            claimed[name] = ()
    return claimed


def language_of(path: Path, shelf: LanguageShelf) -> str | None:
    """The language whose files are called like that; None: no language's are.

    ConfigurationException where two languages claim it.
    """
    found = [name for name, extensions in claimed_extensions(shelf).items() if path.suffix in extensions]
    if len(found) > 1:
        message = f"{path.name} may be of {' or '.join(found)}"
        raise ConfigurationException(message, subject=str(path), hint="Say which with --language.")
    return found[0] if found else None
