"""A language as `sandbox/languages/<name>.yaml` declares it."""

import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from prismenv.finding.complaints import describe, dotted
from prismenv.finding.yamlfile import load_yaml, validate
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


Role = Literal["judge", "run", "split_judge", "split_solution", "session"]
Side = Literal["judge", "solution", "session"]
SIDE_OF: Mapping[Role, Side] = {
    "judge": "judge",
    "run": "solution",
    "split_judge": "judge",
    "split_solution": "solution",
    "session": "session",
}


class GuestSettings(FrozenModel):
    """How a guest is started, and what it is made of for judging and for running a plain program.

    `zygote` is what a process needs that forks guests instead of starting each. `split` None: this language has no
    split verdict; `session` None: it has no sessions.
    """

    start: tuple[str, ...]
    judge: GuestParts
    run: GuestParts
    split: SplitParts | None = None
    session: SessionParts | None = None
    zygote: GuestParts
    warm: WarmParts = WarmParts()

    def by_role(self) -> dict[Role, GuestParts]:
        """The parts of every guest that there is."""
        found: dict[Role, GuestParts] = {"judge": self.judge, "run": self.run}
        if self.split is not None:
            found |= {"split_judge": self.split.judge, "split_solution": self.split.solution}
        if self.session is not None:
            found["session"] = self.session
        return found

    def zygote_parts(self, side: Side) -> GuestParts:
        """The parts of the zygote of one side, its own last. That of solutions serves no guest that is given tests."""
        served = [parts for role, parts in self.by_role().items() if SIDE_OF[role] == side]
        own = self.session.zygote if self.session is not None and side == "session" else ()
        parts = dict.fromkeys([*(name for each in [*served, self.zygote] for name in each.parts), *own])
        on_demand = dict.fromkeys(name for each in served for name in each.on_demand)
        return GuestParts(parts=tuple(parts), on_demand=tuple(on_demand))


class LanguageProbe(FrozenModel):
    """A program and what it must print: run to see that the language works here."""

    program: str
    output: str


class LanguageProfile(FrozenModel):
    """One language.

    `seccomp` names the profile of the system calls that it needs; `out_of_memory` is a pattern for the last line of
    error output of a program that ran out of it.
    """

    language: str
    files: LanguageFiles
    guest: GuestSettings
    environment: Mapping[str, str] = Field(default_factory=dict)
    run: tuple[str, ...]
    results: Literal["frames"]
    out_of_memory: str = ""
    seccomp: str = "python"
    limits: Limits
    probe: LanguageProbe

    @field_validator("out_of_memory")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

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
        """`command` with its tools as absolute paths; `more` are further braces to fill."""
        words = {"python": base_interpreter(), **more}
        return [word.format_map(words) if word.startswith("{") else word for word in command]


def base_interpreter() -> str:
    """The real interpreter that this process runs on: no shim, no virtual environment's link to it."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())


def load_language(name: str, folder: Path) -> LanguageProfile:
    """The profile of `name` from a folder of languages. ConfigurationException: unknown, or the file is wrong."""
    path = folder / f"{name}.yaml"
    known = sorted(each.stem for each in folder.glob("*.yaml"))
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
        raise ConfigurationException(f"unknown language {name!r}", subject=name, hint=hint)
    return validate(LanguageProfile, load_yaml(path))
