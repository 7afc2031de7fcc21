"""Stubs pass suites that test nothing, and no suite of the bank."""

import unittest

import pytest

from prismenv.answers.suites import expected_names, stubs_for
from prismenv.answers.syntax import parse
from prismenv.simulated.bank import load_bank

WEAK = {
    "returns None": "self.assertIsNone(f([1], 2))",
    "returns its argument 1": "self.assertEqual(f(3, 2), 3)",
    "returns its argument 2": "self.assertEqual(f(1, 2), 2)",
    "clears its argument": "x = [1]; f(x, 0); self.assertEqual(x, [])",
    "always raises": "self.assertRaises(ValueError, f, -1)\n        self.assertRaises(IndexError, f, -1)",
    "returns an object that agrees with everything": "self.assertTrue(f(1) > 3 and 4 in f(0) and f(1) + 1 == 2)",
}


def suite_of(body):
    return f"import unittest\n\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        {body}\n"


def passes(program, suite):
    names: dict = {}
    exec(program, names)
    exec(suite, names)
    result = unittest.TestResult()
    for value in list(names.values()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            unittest.defaultTestLoader.loadTestsFromTestCase(value).run(result)
    return result.testsRun > 0 and result.wasSuccessful()


@pytest.mark.parametrize("does", WEAK)
def test_a_weak_suite_is_passed_by_the_stub_that(does):
    suite = suite_of(WEAK[does])
    assert does in [stub.does for stub in stubs_for(suite) if passes(stub.program, suite)]


def test_no_stub_passes_a_suite_of_the_bank():
    for challenge in load_bank().challenges[::6]:
        for stub in stubs_for(challenge.tests):
            assert not passes(stub.program, challenge.tests), (challenge.id, stub.does)


def test_every_stub_is_a_program_that_defines_what_the_suite_expects():
    for stub in stubs_for("import solution\nfrom solution import g\nsolution.h(f(1, 2, 3, 4, 5, 6), g)\n"):
        names: dict = {}
        exec(stub.program, names)
        assert {"f", "g", "h"} <= names.keys()


def test_names_of_the_suite_and_builtins_are_not_expected():
    suite = parse("import os\nx = len(f(os))\nfor i in range(3):\n    g(i, x)\n")
    assert expected_names(suite) == ["f", "g"]


def test_a_suite_that_expects_nothing_or_is_no_python_has_no_stubs():
    assert stubs_for("assert True") == ()
    assert stubs_for("assert (") == ()
