"""What a zygote does to itself before it serves leaves nothing that a run could find, and no code to be written to."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.kinds import FORMS
from prismenv.isolation.processes import descendants

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="zygotes need Linux")]

NewSandbox = Callable[..., Sandbox]
SOLUTION = """
import gc, sys, types, warnings

def filters():
    return sum(each[2] in (Warning, SyntaxWarning) for each in warnings.filters)

def strangers():
    found = {each.__name__ for each in gc.get_objects() if isinstance(each, types.FunctionType)}
    return [*found & {"echo", "test_a_number", "test_text"}, *{"tests"} & sys.modules.keys()]
"""
TESTS = """
import gc, sys, types, unittest, warnings
{frozen}
def test_the_suite_finds_nothing():
    functions = [each for each in gc.get_objects() if isinstance(each, types.FunctionType)]
    assert not {{each.__name__ for each in functions}} & {{"echo", "test_a_number", "test_text"}}
    assert sum(each[2] is SyntaxWarning for each in warnings.filters) == 1
    assert type(input).__name__ == "builtin_function_or_method"
    assert sys.modules["__main__"].__name__ == "tests"

def test_assertions_are_watched_at_most_once():
    leave = unittest.case._AssertRaisesContext.__exit__
    held = [cell.cell_contents for cell in leave.__closure__ or ()] or [leave]
    assert [each.__module__ for each in held if isinstance(each, types.FunctionType)] == ["unittest.case"]

def test_imports_are_guarded_once():
    assert [type(each).__name__ for each in sys.meta_path].count("Imports") == 1
    assert len(sys.path_hooks) == 3

def test_the_solution_finds_nothing():
    assert filters() == {filters}
    assert strangers() == {strangers}
"""
UNFROZEN = "gc.unfreeze()"  # what was there before a run is out of sight until then


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("verdict", ["split", "shared"])
async def test_a_run_finds_nothing_of_a_rehearsal(form: str, verdict: str, new_sandbox: NewSandbox) -> None:
    split = verdict == "split"
    tests = TESTS.format(frozen=UNFROZEN, filters=3 if split else 1, strangers="[]" if split else "['tests']")
    async with new_sandbox(form, verdict=verdict) as sandbox:
        found = await sandbox.judge(SOLUTION + UNFROZEN, tests)
    assert found.outcome == "passed", found.output


@pytest.mark.parametrize("form", FORMS)
async def test_no_code_of_a_zygote_stays_writable(form: str, new_sandbox: NewSandbox) -> None:
    async with new_sandbox(form):
        for pid in descendants(os.getpid())[1:]:
            lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()  # noqa: ASYNC240 - proc never waits
            flags = [line.split()[1] for line in lines]
            assert any("x" in each for each in flags)
            assert not [each for each in flags if "w" in each and "x" in each]


COUNTS = """
import gc, sys, unittest

class TestCounts(unittest.TestCase):
    def test_what_was_there_before_is_not_counted_where_python_can_do_so(self):
        uncounted = sys.getrefcount(None) == 2**32 - 1
        for each in (unittest.TestCase, unittest.TestCase.run, unittest.TestCase.run.__code__, sys.modules):
            self.assertIs(sys.getrefcount(each) == 2**32 - 1, uncounted)

    def test_what_a_run_makes_is_counted_and_ends(self):
        self.assertLess(sys.getrefcount(new()), 10)
        self.assertLess(sys.getrefcount(self), 1000)

    def test_the_collector_takes_what_nobody_holds_and_nothing_else(self):
        gc.unfreeze()
        gc.collect()
        self.assertEqual(sorted([3, 1, 2]), [1, 2, 3])
"""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("verdict", ["split", "shared"])
async def test_references_are_counted_to_what_a_run_makes(form: str, verdict: str, new_sandbox: NewSandbox) -> None:
    async with new_sandbox(form, verdict=verdict) as sandbox:
        found = await sandbox.judge("def new(): return [1]", COUNTS)
    assert found.outcome == "passed", found.output


DRAWS = """
import random, random as again, sys

print("drawn", random.random())
assert random is again is sys.modules["random"] and random.__spec__.origin.endswith("random.py")

def draw():
    return random.random()
"""
DRAWN = """
import random

def test_both_draw_numbers_of_their_own():
    mine, theirs = random.random(), draw()
    print("drawn", mine, theirs)
    assert mine != theirs
    random.seed(7)
    assert random.random() == 0.32383276483316237
"""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packages", [(), ("numpy",)])  # numpy has the module before there is any run
async def test_every_process_of_every_run_draws_other_numbers(
    form: str, packages: tuple[str, ...], new_sandbox: NewSandbox
) -> None:
    drawn: list[str] = []
    async with new_sandbox(form, verdict="split", packages=packages) as sandbox:
        for _ in range(2):
            found = await sandbox.judge(DRAWS, DRAWN)
            assert found.outcome == "passed", found.output
            printed = [line.split()[1:] for line in found.output.splitlines() if line.startswith("drawn")]
            drawn += [number for numbers in printed for number in numbers]
    assert len(drawn) == len(set(drawn)) == 6, drawn
