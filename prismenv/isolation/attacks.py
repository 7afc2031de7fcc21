"""The public attack suite: code that does harm, and solutions that want to be called right without being right.

It is data, `tests/attacks/*.yaml`, so that anybody can read what was tried, and `prismenv doctor --attack` can try it
on the machine that counts. `harm-*` are attacks on the machine: each defines attack(), true when it did something.
`forge-*` are attacks on the verdict: each is a wrong solution with an ordinary suite. `legit-*` look like attacks and
are none: each must pass. What there is to be had on the host stands in them as @WORDS@, see `baits`.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from prismenv.finding.folders import builtin_workspace
from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.isolation.kit import HARNESS
from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import FileSet
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel
from prismenv.words.verdict import Fault, Outcome, Verdict, VerdictMode

Family = Literal["harm", "forge", "legit"]
CALLS_MACHINE = "x86_64"  # whose system calls calls.yaml numbers
NOT_PORTABLE = "portable isolation does not hold it, and this machine is not to be harmed"
HARM_SUITE = "def test_held():\n    harm = attack()\n    assert not harm, harm\n"
CALL = """
import ctypes, errno
def attack():
    library = ctypes.CDLL(None, use_errno=True)
    given = [x.encode() if isinstance(x, str) else ctypes.c_long(x) for x in {arguments}]
    result = library.syscall({number}, *given)
    refused = (errno.EPERM, errno.EACCES, errno.ENOSYS)
    return result != -1 or ctypes.get_errno() not in refused
"""
HARMLESS: tuple[Outcome, ...] = ("passed", "errored")
NOT_FORGED: tuple[Outcome, ...] = (
    "failed", "errored", "timed_out", "out_of_memory", "output_limit", "crashed", "argument_rewritten",
    "forgery_attempt",
)  # fmt: skip
USUAL_LIMITS: dict[Family, dict[str, Any]] = {
    "harm": {"wall_seconds": 20},
    "forge": {"wall_seconds": 4, "cpu_seconds": 0.4, "memory_bytes": 256 * 2**20},
    "legit": {"wall_seconds": 30, "cpu_seconds": 20},
}


class Attack(FrozenModel):
    """One attack. Harm has `attack`, its source, or `call`, a system call with arguments; the others have `solution`

    or `files` and their `entry`, and `tests`, and `module`, under which the tests import the solution. `expect` are
    the outcomes that count as held and `fault` whose they may be, None: the usual ones of the family; `differs`
    replaces `expect` by form of isolation. `survivor` is a mark of processes that must be gone. `shared`: a shared
    verdict holds it, too. `portable` false: it could harm a machine that only portable isolation protects, or find
    there what that does not hide. `twin` says how it works undefended (tests run it), or why nothing can be shown;
    `whole`: the suite runs itself there.
    """

    family: Family
    name: str
    group: str = Field(alias="class")
    attack: str | None = None
    call: tuple[str | int, ...] | None = None
    solution: str | None = None
    files: dict[str, str] | None = None
    entry: str | None = None
    tests: str = HARM_SUITE
    module: str | None = None
    limits: dict[str, Any] = Field(default_factory=dict)
    expect: tuple[Outcome, ...] | None = None
    fault: tuple[Fault, ...] | None = None
    differs: dict[str, tuple[Outcome, ...]] = Field(default_factory=dict)
    times: int = Field(default=1, ge=1)
    survivor: str | None = None
    shared: bool = False
    portable: bool = True
    twin: str = Field(default="harmful", min_length=5)
    whole: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("attack", "call", "solution", "files") if getattr(self, name) is not None]
        if given not in ([["attack"], ["call"]] if self.family == "harm" else [["solution"], ["files"]]):
            raise ValueError(f"one source is expected; found {', '.join(given) or 'none'}")
        if self.files is not None:
            FileSet(files=self.files, entry=self.entry)
        return self

    @property
    def language(self) -> str:
        """What it is written in."""
        return HARNESS

    def source(self, words: Mapping[str, str]) -> str | FileSet:
        """The solution to judge, @WORDS@ filled in."""
        if self.files is not None:
            return FileSet(files=self.files, entry=self.entry)
        if self.solution is not None:
            return self.solution
        if self.call is None:
            return filled(self.attack or "", words)
        name, *given = self.call
        number = name if isinstance(name, int) else call_numbers()[name]
        arguments = [int(words["VICTIM"]) if each == "@VICTIM@" else each for each in given]
        return filled(CALL.format(number=number, arguments=arguments), words)

    def allowed(self) -> Limits:
        """What one run of it may use."""
        return Limits(**{**USUAL_LIMITS[self.family], **self.limits})

    def is_held(self, verdict: Verdict, form: str) -> bool:
        """Whether that verdict, given in that form of isolation, is one that the attack may get."""
        usual: dict[Family, tuple[tuple[Outcome, ...], tuple[Fault, ...]]] = {
            "harm": (HARMLESS, ("none", "candidate")),
            "forge": (NOT_FORGED, ("candidate",)),
            "legit": (("passed",), ("none",)),
        }
        outcomes, faults = usual[self.family]
        outcomes = self.differs.get(form) or self.expect or outcomes
        return verdict.outcome in outcomes and verdict.fault in (self.fault or faults)

    def why_not(self, form: str, mode: VerdictMode) -> str:
        """Why it cannot be tried in that form of isolation with that mode of verdict; empty when it can."""
        if self.call is not None and os.uname().machine != CALLS_MACHINE:
            return f"the numbers of its system calls are those of {CALLS_MACHINE}"
        if form == "portable" and self.family == "harm":
            return NOT_PORTABLE
        if form == "portable" and not self.portable:
            return "portable isolation does not promise to hold it"
        if mode == "shared" and self.family == "forge" and not self.shared:
            return "a shared verdict does not promise to hold it"
        return ""


def filled(text: str, words: Mapping[str, str]) -> str:
    """`text` with its @WORDS@ replaced."""
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)


def attacks_folder() -> Path:
    """Where the attacks are: in the checkout, or in the wheel. ConfigurationException when they are nowhere."""
    folder = builtin_workspace().root / "tests" / "attacks"
    if not folder.is_dir():
        raise ConfigurationException(
            f"{folder}: the attack suite is missing from this installation",
            code="installation_broken",
            hint="Install prismenv again, from its wheel or with pip install --editable on a checkout.",
        )
    return folder


def load_attacks(*families: Family) -> list[Attack]:
    """The attacks of these families in the order of their files, all for none. Raises ConfigurationException."""
    found = []
    for family in families or ("harm", "forge", "legit"):
        for path in sorted(attacks_folder().glob(f"{family}-*.yaml")):
            document = load_yaml(path)
            for index, data in enumerate(document.data):
                found.append(validate(Attack, document, {**data, "family": family}, at=(index,)))
    return found


def call_numbers() -> dict[str, int]:
    """Names of system calls to their numbers."""
    return dict(load_yaml(attacks_folder() / "calls.yaml").data)
