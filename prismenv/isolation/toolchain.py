"""Finds the tools of a language where its programs are run, and says what to install where one is missing."""

import os
import re
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

from prismenv.isolation.language import LanguageProfile
from prismenv.isolation.toolwords import Tool, filled
from prismenv.words.errors import ConfigurationException

ASK_SECONDS = 20.0
MOST_SHOWN = 2000  # paths that one pattern may stand for
_VERSION = re.compile(r"\d+(?:\.\d+)+|\d+")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """`values` fill the braces of commands; `paths` are the tools as they are found and as they are."""

    values: Mapping[str, str]
    paths: tuple[str, ...]

    def shown(self, patterns: Sequence[str]) -> list[Path]:
        """The host's files and folders that `patterns` stand for, those of the tools included."""
        found = [Path(path) for path in self.paths]
        for pattern in filled(patterns, self.values):
            found += _matching(pattern)
        return found


class ToolPlace(ABC):
    """A file system that has tools, such as this machine's or an image's."""

    path: str = "the PATH"  # what it is called in a complaint

    @abstractmethod
    def which(self, name: str) -> tuple[str, str] | None:
        """The absolute path of a program by its name or path, and where that leads to in the end; None: it has none."""

    @abstractmethod
    def ask(self, command: Sequence[str]) -> str:
        """What a tool of it prints. OSError when it does not answer."""

    def advice(self, packages: str) -> str:
        """What to do where tools are missing that these packages of Debian bring."""
        return f"Install it, on Debian and Ubuntu with: apt-get install {packages}"


class ThisMachine(ToolPlace):
    """Where this process runs."""

    def which(self, name: str) -> tuple[str, str] | None:
        named = shutil.which(name)
        if named is None:
            return None
        named = os.path.abspath(named)  # noqa: PTH100 - a link stays what it is
        return named, str(Path(named).resolve())

    def ask(self, command: Sequence[str]) -> str:
        return _ask(tuple(command))


@dataclass(frozen=True, slots=True)
class _Found:
    named: str
    real: str
    home: str


def find_toolchain(profile: LanguageProfile, place: ToolPlace | None = None) -> Toolchain:
    """The tools of a language in a place, None: on this machine.

    ConfigurationException (`tool_missing`) names those that are missing, and a package.
    """
    place = place or ThisMachine()
    found: dict[str, _Found] = {}
    missing: list[Tool] = []
    for name, tool in profile.tools.items():
        one = _find(tool, place)
        if one is None:
            missing.append(tool)
        else:
            found[name] = one
    if missing:
        raise _missing(profile, missing, place)
    values = {name: one.real for name, one in found.items()}
    values |= {f"{name}_home": one.home for name, one in found.items()}
    values["path"] = os.pathsep.join(dict.fromkeys(_folders(found.values())))
    paths = dict.fromkeys(path for one in found.values() for path in (one.named, one.real))
    return Toolchain(values, tuple(paths))


def version_of(profile: LanguageProfile) -> str:
    """The version that the language's tool says; empty where its file does not say how to ask. OSError: no answer."""
    if not profile.version:
        return ""
    said = _ask(tuple(profile.filled(profile.version, **find_toolchain(profile).values)))
    match = _VERSION.search(said)
    return match[0] if match else said.partition("\n")[0][:80]


def _folders(found: Iterable[_Found]) -> Iterator[str]:
    for one in found:
        yield str(PurePath(one.named).parent)
        yield str(PurePath(one.real).parent)


def _find(tool: Tool, place: ToolPlace) -> _Found | None:
    one = next((there for name in tool.find if (there := place.which(name))), None)
    if one is None:
        return None
    named, real = one
    if not tool.home:
        return _Found(named, real, str(PurePath(real).parent.parent))
    try:
        folder = PurePath(place.ask(filled(tool.home, {"tool": named})).strip())
    except OSError:
        return None
    own = str(folder / "bin" / PurePath(named).name)
    return _Found(own, own, str(folder)) if place.which(own) else None


@cache
def _ask(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - the command is the language's own
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not answer in {ASK_SECONDS:g} s") from error
    if done.returncode:
        raise OSError(f"{command[0]} left with exit code {done.returncode}")
    return (done.stdout or done.stderr).decode("utf-8", "replace")


def _matching(pattern: str) -> list[Path]:
    if not any(sign in pattern for sign in "*?["):
        return [Path(pattern)]
    return sorted(Path("/").glob(pattern.lstrip("/")))[:MOST_SHOWN]


def _missing(profile: LanguageProfile, tools: Sequence[Tool], place: ToolPlace) -> ConfigurationException:
    names = ", ".join(" or ".join(tool.find) for tool in tools)
    packages = " ".join(dict.fromkeys(tool.package for tool in tools))
    return ConfigurationException(
        f"the language {profile.language} cannot be used here: {names} is not on {place.path}",
        code="tool_missing",
        subject=profile.language,
        hint=place.advice(packages),
    )
