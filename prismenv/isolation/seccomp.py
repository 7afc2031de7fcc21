"""Turns a list of allowed system calls into the filter program that the kernel runs before each of them.

Theory of operation
    A profile (`sandbox/seccomp/<name>.yaml`) names calls with a reason for each group. Here they become one program of
    classic BPF, built once in the parent and sent to zygotes as bytes: a check of the machine (another one is killed)
    and of the x32 bit (ENOSYS), then a binary search over ranges of numbers, so that the longest path through it is
    short. A leaf allows, refuses with an error number, or looks at one argument. Only the lower half of an argument is
    read: every argument looked at is one of which the kernel itself takes 32 bits.

    A zygote needs a few calls that its runs must not have. So a profile becomes two programs, for the kernel runs every
    filter that a process was given and takes the strictest answer: a lasting one, which the zygote puts on itself and
    hands down, is the profile but for those calls; the other one, which each run adds, answers for those calls alone.
    It is short: the kernel translates a filter anew each time that one is put on.
"""

import errno
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.isolation.syscalls import AUDIT_MACHINES, NUMBERS, numbers_here
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel
from prismenv.words.nearness import did_you_mean

ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16
X32_BIT = 0x40000000
FARTHEST = 255

NEW_NAMESPACES = 0x7E020080  # NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
OTHERS_CHILD = 0x0080A000  # UNTRACED, PARENT, PTRACE
THREAD = 0x00010000
UNIX = 1
FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032)  # F_DUPFD .. F_SETLKW, F_OFD_*, DUPFD_CLOEXEC, *PIPE_SZ
IOCTLS = (0x5401, 0x5413, 0x5421, 0x541B, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONBIO, FIONREAD, FIONCLEX, FIOCLEX
PRCTLS = (3, 15, 16, 0x53564D41)  # PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA


@dataclass(frozen=True, slots=True)
class Condition:
    """What an argument must be: one of `values`, without any of `clear`, with one of `needed`."""

    argument: int
    values: tuple[int, ...] = ()
    clear: int = 0
    needed: int = 0


CONDITIONS: Mapping[str, Condition] = {
    "harmless_fcntl": Condition(1, values=FCNTLS),
    "harmless_ioctl": Condition(1, values=IOCTLS),
    "harmless_prctl": Condition(0, values=PRCTLS),
    "itself_by_zero": Condition(0, values=(0,)),
    "no_namespaces": Condition(0, clear=NEW_NAMESPACES | OTHERS_CHILD),
    "unix_family": Condition(0, values=(UNIX,)),
    "own_processes": Condition(0),
    "own_root": Condition(0),
    "own_signals": Condition(0),
}
# Where a run has no namespace of its own, what reaches beyond its process is taken away. None: refused.
ALONE: Mapping[str, Condition | None] = {
    "no_namespaces": Condition(0, clear=NEW_NAMESPACES | OTHERS_CHILD, needed=THREAD),
    "own_processes": None,
    "own_root": None,
}


class CallGroup(FrozenModel):
    """Calls that are allowed for one reason. `when` is a name of CONDITIONS, None: whatever the arguments."""

    why: str = Field(min_length=1)
    allow: tuple[str, ...] = Field(min_length=1)
    when: str | None = None


class SeccompProfile(FrozenModel):
    """What a language may ask of the kernel. `refuse` maps names of error numbers to calls.

    `extends` names a profile whose groups come before its own, and whose refusals hold too; None: there is none.
    """

    profile: str
    extends: str | None = None
    groups: tuple[CallGroup, ...] = ()
    refuse: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


# What a zygote does for its runs, or what a run does to jail itself before its own filter is on.
OF_ZYGOTES = frozenset(
    {"capset", "clone", "fcntl", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "mount",
     "pidfd_send_signal", "prctl", "prlimit64", "process_madvise", "setgroups", "setresgid", "setresuid", "setsid"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FilterPrograms:
    """The packed instructions of a profile. `lasting` is a zygote's, and with `own` it makes the filter of a run."""

    lasting: bytes
    own: bytes


@dataclass(slots=True)
class _Program:
    """Instructions whose jumps go to labels until all of them are placed."""

    code: list[tuple[int, int, int | None, int | None]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def label(self) -> int:
        self.places.append(-1)
        return len(self.places) - 1

    def place(self, label: int) -> None:
        self.places[label] = len(self.code)

    def add(self, code: int, value: int, then: int | None = None, otherwise: int | None = None) -> None:
        """An instruction; jumps of None go to the next one."""
        self.code.append((code, value, then, otherwise))

    def packed(self) -> bytes:
        return b"".join(
            struct.pack("=HBBI", code, self._distance(at, then), self._distance(at, otherwise), value)
            for at, (code, value, then, otherwise) in enumerate(self.code)
        )

    def _distance(self, at: int, label: int | None) -> int:
        distance = 0 if label is None else self.places[label] - at - 1
        if not 0 <= distance <= FARTHEST:
            raise ConfigurationException(f"a filter's jump over {distance} instructions is not possible")
        return distance


def load_profile(name: str, *folders: Path) -> SeccompProfile:
    """The profile `name` from the first folder that has it.

    ConfigurationException: its file is wrong, or a name in it.
    """
    folder = next((each for each in folders if (each / f"{name}.yaml").is_file()), folders[-1])
    profile = validate(SeccompProfile, load_yaml(folder / f"{name}.yaml"))
    if profile.extends is not None:
        if profile.extends == name:
            raise ConfigurationException(f"the profile {name} of system calls extends itself", subject=name)
        below = load_profile(profile.extends, *folders)
        both = {"groups": (*below.groups, *profile.groups), "refuse": {**below.refuse, **profile.refuse}}
        profile = profile.model_copy(update=both)
    if not profile.groups:
        raise ConfigurationException(f"the profile {name} of system calls allows none", subject=name)
    for group in profile.groups:
        _known(group.allow, NUMBERS, f"{name}: system call")
        _known([group.when] if group.when else [], CONDITIONS, f"{name}: condition")
    for error, calls in profile.refuse.items():
        _known(calls, NUMBERS, f"{name}: system call")
        _known([error], errno.errorcode.values(), f"{name}: error")
    return profile


def _known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    choice = list(known)
    for name in names:
        if name not in choice:
            raise ConfigurationException(f"{what} {name!r} is not known{did_you_mean(name, choice)}", subject=name)


def filter_programs(profile: SeccompProfile, machine: str, *, alone: bool = False) -> FilterPrograms:
    """The two programs for `machine`; `alone`: for a run without namespaces of its own.

    In that form whatever has a process id as its first argument is bound to the placeholder 0xFFFFFFFF, which the child
    replaces by its own. ConfigurationException for a machine that is not known.
    """
    numbers = numbers_here(machine)
    if not numbers:
        known = ", ".join(AUDIT_MACHINES)
        raise ConfigurationException(f"no system call numbers are known for {machine!r}; there are: {known}")
    leaves = _leaves(profile, numbers, alone=alone)
    apart = {numbers[name] for name in OF_ZYGOTES if name in numbers}
    apart |= {number for number, leaf in leaves.items() if isinstance(leaf, Condition) and OWN_PID in leaf.values}
    own = {number: leaves.get(number, REFUSED) for number in apart}
    return FilterPrograms(
        _packed({**leaves, **dict.fromkeys(apart, ALLOW)}, REFUSED, AUDIT_MACHINES[machine]),
        _packed(own, ALLOW, AUDIT_MACHINES[machine]),
    )


def _packed(leaves: Mapping[int, "Leaf"], usual: int, machine: int) -> bytes:
    """A program that answers by `leaves`, and with `usual` for every other call."""
    program = _Program()
    right_machine, native = program.label(), program.label()
    program.add(LOAD, MACHINE_AT)
    program.add(EQUAL, machine, right_machine)
    program.add(RETURN, KILL_PROCESS)
    program.place(right_machine)
    program.add(LOAD, NUMBER_AT)
    program.add(AT_LEAST, X32_BIT, None, native)
    program.add(RETURN, ERRNO | errno.ENOSYS)
    program.place(native)
    _search(program, _ranges(leaves, usual))
    return program.packed()


OWN_PID = 0xFFFFFFFF
REFUSED = ERRNO | errno.EPERM
Leaf = int | Condition  # what is returned, or what is looked at


def _leaves(profile: SeccompProfile, numbers: Mapping[str, int], *, alone: bool) -> dict[int, Leaf]:
    leaves: dict[int, Leaf] = {}
    for error, calls in profile.refuse.items():
        code = next(number for number, name in errno.errorcode.items() if name == error)
        leaves.update({numbers[name]: ERRNO | code for name in calls if name in numbers})
    for group in profile.groups:
        leaf = _leaf_of(group.when, alone=alone)
        for name in group.allow:
            if name in numbers:
                leaves[numbers[name]] = leaf
    return leaves


def _leaf_of(when: str | None, *, alone: bool) -> Leaf:
    if when is None:
        return ALLOW
    if not alone:
        condition = CONDITIONS[when]
        return condition if condition != Condition(0) else ALLOW
    if when == "own_signals":
        return Condition(0, values=(OWN_PID,))
    found = ALONE.get(when, CONDITIONS[when])
    return REFUSED if found is None else found


def _ranges(leaves: Mapping[int, Leaf], usual: int) -> list[tuple[int, Leaf]]:
    """Where each stretch of numbers with the same leaf begins, from 0 to the end of all numbers."""
    found: list[tuple[int, Leaf]] = []
    for number in range(max(leaves) + 2):
        leaf = leaves.get(number, usual)
        if not found or found[-1][1] != leaf:
            found.append((number, leaf))
    return found


def _search(program: _Program, ranges: list[tuple[int, Leaf]]) -> None:
    if len(ranges) == 1:
        _answer(program, ranges[0][1])
        return
    middle = len(ranges) // 2
    lower = program.label()
    program.add(AT_LEAST, ranges[middle][0], None, lower)
    _search(program, ranges[middle:])
    program.place(lower)
    _search(program, ranges[:middle])


def _answer(program: _Program, leaf: Leaf) -> None:
    if isinstance(leaf, int):
        program.add(RETURN, leaf)
        return
    refuse, allow = program.label(), program.label()
    program.add(LOAD, ARGUMENTS_AT + 8 * leaf.argument)
    if leaf.clear:
        program.add(ANY_BIT, leaf.clear, refuse)
    if leaf.needed:
        program.add(ANY_BIT, leaf.needed, None, refuse)
    for value in leaf.values:
        program.add(EQUAL, value, allow)
    if not leaf.values:
        program.add(RETURN, ALLOW)
    program.place(refuse)
    program.add(RETURN, REFUSED)
    if leaf.values:
        program.place(allow)
        program.add(RETURN, ALLOW)
