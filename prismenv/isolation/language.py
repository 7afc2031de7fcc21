"""A language as `sandbox/languages/<name>.yaml` declares it."""

import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from prismenv.finding.complaints import describe, dotted
from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.isolation.toolwords import OWN_WORDS, Compilation, TestProgram, Tool, braces, filled
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel


class LanguageFiles(FrozenModel):
    """Names that the code has inside the private folder."""

    solution: str  # of the solution that is judged
    program: str  # of a program that is only run


class GuestParts(FrozenModel):
    """Files of `sandbox/guests`, without `.py`. The last of `parts` is the one that is served."""

    parts: tuple[str, ...] = Field(min_length=1)
    on_demand: tuple[str, ...] = ()


class WarmParts(FrozenModel):
    """What a zygote loads before it forks: modules of the standard library, and parts whose warm() it calls.

    `rehearsals` are parts of the zygote whose rehearse() it calls when all is loaded.
    """

    modules: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    rehearsals: tuple[str, ...] = ()


class SplitParts(FrozenModel):
    """The two guests of a split verdict: `judge` runs the tests, `solution` the candidate's code and no more.

    Both hold one end of the same socket as descriptor 3.
    """

    judge: GuestParts
    solution: GuestParts


class SessionParts(GuestParts):
    """The guest of a session; `zygote` is what its zygote has beside the parts of every zygote, its own last."""

    zygote: tuple[str, ...] = Field(min_length=1)


Role = Literal["judge", "run", "compile", "split_judge", "split_solution", "session"]
Side = Literal["judge", "solution", "session"]
SIDE_OF: Mapping[Role, Side] = {
    "judge": "judge",
    "run": "solution",
    "compile": "solution",
    "split_judge": "judge",
    "split_solution": "solution",
    "session": "session",
}


class GuestSettings(FrozenModel):
    """How a guest is started, and what it is made of for judging, for running a plain program and for compiling one.

    `zygote` is what a process needs that forks guests instead of starting each. `split` None: this language has no
    split verdict; `session` None: it has no sessions.
    """

    start: tuple[str, ...]
    judge: GuestParts
    run: GuestParts
    compile: GuestParts
    split: SplitParts | None = None
    session: SessionParts | None = None
    zygote: GuestParts
    warm: WarmParts = WarmParts()

    def by_role(self) -> dict[Role, GuestParts]:
        """The parts of every guest that there is."""
        found: dict[Role, GuestParts] = {"judge": self.judge, "run": self.run, "compile": self.compile}
        if self.split is not None:
            found |= {"split_judge": self.split.judge, "split_solution": self.split.solution}
        if self.session is not None:
            found["session"] = self.session
        return found

    def tool_zygote_parts(self, role: Role) -> GuestParts:
        """The parts of a zygote that serves tools in that one role."""
        return GuestParts(parts=tuple(dict.fromkeys([*self.by_role()[role].parts, *self.zygote.parts])))

    def zygote_parts(self, side: Side) -> GuestParts:
        """The parts of the zygote of one side, its own last. That of solutions serves no guest that is given tests."""
        served = [parts for role, parts in self.by_role().items() if SIDE_OF[role] == side and role != "compile"]
        own = self.session.zygote if self.session is not None and side == "session" else ()
        parts = dict.fromkeys([*(name for each in [*served, self.zygote] for name in each.parts), *own])
        on_demand = dict.fromkeys(name for each in served for name in each.on_demand)
        return GuestParts(parts=tuple(parts), on_demand=tuple(on_demand))


class LanguageProbe(FrozenModel):
    """A program and what it must print: run to see that the language works here."""

    program: str
    output: str


class LanguageProfile(FrozenModel):
    """One language: one that the harness itself speaks (`guest`), or one whose programs are only run, by tools.

    `extensions` are those of its files. `shows` are paths of the host, or patterns of them, that a program sees;
    `seccomp` names the profile of the system calls that it needs; `out_of_memory` is a pattern for the last line of
    error output of a program that ran out of it. `version` is a command that tells the version of its tools. `compile`
    None: there is nothing to compile; `tests` None: its tests are cases of input and output, never a program.
    """

    language: str
    extensions: tuple[str, ...] = ()
    files: LanguageFiles
    guest: GuestSettings | None = None
    tools: Mapping[str, Tool] = Field(default_factory=dict)
    version: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    environment: Mapping[str, str] = Field(default_factory=dict)
    compile: Compilation | None = None
    run: tuple[str, ...]
    tests: TestProgram | None = None
    results: Literal["frames", "cases"] = "cases"
    out_of_memory: str = ""
    seccomp: str = "tools"
    address_space: bool = True  # whether its address space is limited as its memory is
    limits: Limits = Field(default_factory=Limits)
    probe: LanguageProbe

    @property
    def harness(self) -> GuestSettings:
        """Its own guests. ConfigurationException: it has none, its programs are run by those of another language."""
        if self.guest is None:
            raise ConfigurationException(f"the language {self.language} has no guests of its own")
        return self.guest

    @field_validator("out_of_memory")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.results == "frames") != (self.guest is not None):
            raise ValueError("results: frames belongs to a language with a guest of its own, and only to it")
        known = {*OWN_WORDS, *self.tools, *(f"{name}_home" for name in self.tools)}
        words = [*self.run, *self.version, *self.shows, *self.environment.values()]
        if self.compile is not None:
            words += [*self.compile.command, *self.compile.shows, *self.compile.environment.values()]
        if self.tests is not None:
            words += [*self.tests.run, *self.tests.compile]
        for name in sorted(braces(words) - known):
            raise ValueError(f"{{{name}}} stands for nothing; there are: {', '.join(sorted(known))}")
        return self

    def limits_with(self, overrides: Mapping[str, Any]) -> Limits:
        """The language's limits with single ones replaced; a wrong one is a ConfigurationException."""
        known = list(Limits.model_fields)
        for name in overrides:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
                error = ConfigurationException(f"sandbox limits: unknown limit {name!r}", subject=name, hint=hint)
                raise error.at("sandbox", "limits", name)
        data = {**self.limits.model_dump(), **overrides}
        try:
            return Limits(**data)
        except ValidationError as error:
            message = describe(error, Limits, data, lambda path: f"sandbox limits: {dotted(path)}")
            first = error.errors()[0]["loc"]
            raise ConfigurationException(message, subject=dotted(first)).at("sandbox", "limits", *first) from error

    def filled(self, command: tuple[str, ...], **more: str) -> list[str]:
        """`command` with the interpreter as an absolute path; `more` are further braces to fill."""
        return filled(command, {"python": base_interpreter(), **more})


def base_interpreter() -> str:
    """The real interpreter that this process runs on: no shim, no virtual environment's link to it."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())


def load_language(name: str, *folders: Path) -> LanguageProfile:
    """The profile of `name` from the first folder of languages that has it.

    ConfigurationException: it is unknown, or its file is wrong.
    """
    for folder in folders:
        for path in (folder / f"{name}.yaml", folder / f"{name}.yml"):
            if name in language_names(*folders) and path.is_file():
                profile = validate(LanguageProfile, load_yaml(path))
                if profile.language != name:
                    message = f"{path}: language: found {profile.language!r}; expected {name!r}, as the file is called"
                    raise ConfigurationException(message, subject=name)
                return profile
    known = language_names(*folders)
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    raise ConfigurationException(f"unknown language {name!r}", subject=name, hint=hint)


def language_names(*folders: Path) -> list[str]:
    """The names of all languages that the folders have, sorted."""
    return sorted({each.stem for folder in folders for each in folder.glob("*.y*ml")})
