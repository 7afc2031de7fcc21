"""Finds the tools of a language on this machine, once, and says what to install where one is missing."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class _Found:
    named: str
    real: str
    home: str


def find_toolchain(profile: LanguageProfile) -> Toolchain:
    """The tools of a language. ConfigurationException (`tool_missing`) names those that are missing, and a package."""
    found: dict[str, _Found] = {}
    missing: list[Tool] = []
    for name, tool in profile.tools.items():
        place = _find(tool.find, tool.home, os.environ.get("PATH", ""))
        if place is None:
            missing.append(tool)
        else:
            found[name] = place
    if missing:
        raise _missing(profile, missing)
    values = {name: place.real for name, place in found.items()}
    values |= {f"{name}_home": place.home for name, place in found.items()}
    values["path"] = os.pathsep.join(dict.fromkeys(_folders(found.values())))
    paths = dict.fromkeys(path for place in found.values() for path in (place.named, place.real))
    return Toolchain(values, tuple(paths))


def version_of(profile: LanguageProfile) -> str:
    """The version that the language's tool says; empty where its file does not say how to ask. OSError: no answer."""
    if not profile.version:
        return ""
    said = _ask(profile.filled(profile.version, **find_toolchain(profile).values))
    match = _VERSION.search(said)
    return match[0] if match else said.partition("\n")[0][:80]


def _folders(found: Iterable[_Found]) -> Iterator[str]:
    for place in found:
        yield str(Path(place.named).parent)
        yield str(Path(place.real).parent)


@cache
def _find(names: tuple[str, ...], home: tuple[str, ...], path: str) -> _Found | None:
    named = next((where for name in names if (where := shutil.which(name, path=path))), None)
    if named is None:
        return None
    named = os.path.abspath(named)  # noqa: PTH100 - a link stays what it is
    if not home:
        real = Path(named).resolve()
        return _Found(named, str(real), str(real.parent.parent))
    try:
        folder = Path(_ask(filled(home, {"tool": named})).strip())
    except OSError:
        return None
    real = folder / "bin" / Path(named).name
    return _Found(str(real), str(real), str(folder)) if real.is_file() else None


def _ask(command: Sequence[str]) -> str:
    """What a tool of this host says. OSError when it does not."""
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


def _missing(profile: LanguageProfile, tools: Sequence[Tool]) -> ConfigurationException:
    names = ", ".join(" or ".join(tool.find) for tool in tools)
    packages = " ".join(dict.fromkeys(tool.package for tool in tools))
    return ConfigurationException(
        f"the language {profile.language} cannot be used here: {names} is not on the PATH",
        code="tool_missing",
        subject=profile.language,
        hint=f"Install it, on Debian and Ubuntu with: apt-get install {packages}",
    )
