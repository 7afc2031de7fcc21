"""The filters of system calls: what a zygote has and what a run adds make, together, what the profile says."""

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.finding.folders import builtin_workspace
from prismenv.isolation.seccomp import ALLOW, CONDITIONS, ERRNO, OF_ZYGOTES, OWN_PID, filter_programs, load_profile
from prismenv.isolation.syscalls import AUDIT_MACHINES, NUMBERS, numbers_here

FOLDER: Path = builtin_workspace().root / "sandbox" / "seccomp"
PROFILE = load_profile("python", FOLDER)
REFUSED = ERRNO | errno.EPERM
MACHINES = sorted(AUDIT_MACHINES)


def answer(program: bytes, machine: int, number: int, arguments: tuple[int, ...]) -> int:
    """What the kernel would make of a call: the part of classic BPF that seccomp knows and the filters use."""
    data = struct.pack("=IIQ6Q", number, machine, 0, *arguments)
    code = list(struct.iter_unpack("=HBBI", program))
    at, held = 0, 0
    while True:
        operation, then, otherwise, value = code[at]
        at += 1
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
            continue
        holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[operation]
        at += then if holds else otherwise


def together(alone: bool, machine: str, name: str, first: int, second: int = 0) -> tuple[int, int]:
    """The answers of both filters to a call by its name."""
    programs = filter_programs(PROFILE, machine, alone=alone)
    call = (AUDIT_MACHINES[machine], numbers_here(machine)[name], (first, second, 0, 0, 0, 0))
    return answer(programs.lasting, *call), answer(programs.own, *call)


def said_by_profile(name: str, first: int, second: int) -> int:
    """What the profile says of a call in a namespace of its own, read from its file and not from a program."""
    for error, calls in PROFILE.refuse.items():
        if name in calls:
            return ERRNO | getattr(errno, error)
    for group in PROFILE.groups:
        if name in group.allow:
            condition = CONDITIONS[group.when] if group.when else None
            if condition is None:
                return ALLOW
            value = (first, second)[condition.argument] & 0xFFFFFFFF
            fits = not condition.values or value in condition.values
            return ALLOW if fits and not value & condition.clear else REFUSED
    return REFUSED


@given(
    st.sampled_from(MACHINES),
    st.data(),
    st.one_of(st.sampled_from((0, 1, 3, 16, 0x11, 0x7E020080, 1030)), st.integers(0, 2**64 - 1)),
    st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1)),
)
def test_a_run_has_what_the_profile_allows_and_nothing_more(
    machine: str, data: st.DataObject, first: int, second: int
) -> None:
    name = data.draw(st.sampled_from(sorted(numbers_here(machine))))
    lasting, own = together(False, machine, name, first, second)
    strictest = min((lasting, own), key=lambda each: each if each != ALLOW else ALLOW + 1)
    assert strictest == said_by_profile(name, first, second)


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_no_list_names_are_refused_by_what_a_zygote_hands_down(machine: str) -> None:
    programs = filter_programs(PROFILE, machine)
    named = set(numbers_here(machine).values())
    for number in set(range(600)) - named:
        assert answer(programs.lasting, AUDIT_MACHINES[machine], number, (0,) * 6) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_another_machine_is_killed_and_the_other_numbering_is_not_known(machine: str) -> None:
    programs = filter_programs(PROFILE, machine)
    for program in (programs.lasting, programs.own):
        assert answer(program, 0x40000003, 1, (0,) * 6) == 0x80000000
        assert answer(program, AUDIT_MACHINES[machine], 0x40000001, (0,) * 6) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("name", sorted(OF_ZYGOTES))
def test_what_only_a_zygote_may_do_is_kept_from_its_runs(name: str) -> None:
    lasting, own = together(False, "x86_64", name, 0xFFFFFFF0, 0xFFFFFFF0)
    assert lasting == ALLOW
    assert own == (ALLOW if said_by_profile(name, 0xFFFFFFF0, 0xFFFFFFF0) == ALLOW else REFUSED)


@pytest.mark.parametrize("name", ["kill", "tkill", "tgkill"])
def test_without_namespaces_signals_wait_for_the_childs_own_number(name: str) -> None:
    lasting, own = together(True, "x86_64", name, 1)
    assert (lasting, own) == (ALLOW, REFUSED)
    assert together(True, "x86_64", name, OWN_PID) == (ALLOW, ALLOW)


def test_a_call_without_a_thread_is_refused_where_processes_would_be_seen() -> None:
    assert together(True, "x86_64", "clone", 0x11)[1] == REFUSED
    assert together(True, "x86_64", "clone", 0x00010000)[1] == ALLOW
    assert "clone" in NUMBERS
