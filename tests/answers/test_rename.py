"""`function_to_test` becomes the solution's function, and nothing else changes."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from prismenv.answers.rename import bind_function_to_test

SUITE = '''"""About function_to_test."""
import unittest


class TestIt(unittest.TestCase):
    def test_a(self):
        self.assertEqual(function_to_test(1), 2, "function_to_test")  # function_to_test
        with self.assertRaises(TypeError):
            function_to_test("ü", function_to_test)

    def test_b(self):
        self.assertRaises(ValueError, function_to_test, -1)
'''
SOLUTION = "def add_one(x):\n    if x < 0:\n        raise ValueError\n    return x + 1\n"


def names(text):
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def test_calls_and_function_arguments_are_renamed_and_texts_are_not():
    bound = bind_function_to_test(SUITE, SOLUTION)
    assert "function_to_test" not in names(bound)
    assert "self.assertRaises(ValueError, add_one, -1)" in bound
    assert 'add_one("ü", add_one)' in bound
    assert bound.count("function_to_test") == 3
    assert len(bound.splitlines()) == len(SUITE.splitlines())


def test_binding_twice_changes_nothing():
    once = bind_function_to_test(SUITE, SOLUTION)
    assert bind_function_to_test(once, SOLUTION) == once


def test_a_solution_that_defines_the_placeholder_is_taken_as_it_is():
    assert bind_function_to_test(SUITE, "def function_to_test(x):\n    return x\n") == SUITE


def test_a_suite_that_defines_the_placeholder_is_taken_as_it_is():
    suite = "from solution import add_one\nfunction_to_test = add_one\n" + SUITE
    assert bind_function_to_test(suite, SOLUTION) == suite


def test_a_parameter_of_that_name_is_left_alone():
    suite = "def check(function_to_test):\n    return function_to_test(1)\n\ncheck(function_to_test)\n"
    assert bind_function_to_test(suite, SOLUTION).endswith("    return function_to_test(1)\n\ncheck(add_one)\n")


def test_imports_and_attributes_of_the_solution_follow():
    suite = "import solution\nfrom solution import function_to_test\nsolution.function_to_test(function_to_test(1))\n"
    bound = bind_function_to_test(suite, SOLUTION)
    assert "from solution import add_one as function_to_test" in bound
    assert "solution.add_one(" in bound


def test_a_name_that_the_suite_binds_itself_is_not_run_into():
    head = '"""Doc."""\nfrom __future__ import annotations\n\n'
    suite = f"{head}def test_a():\n    add_one = function_to_test(1)\n    assert add_one\n"
    bound = bind_function_to_test(suite, SOLUTION)
    assert bound.splitlines()[3] == "from solution import add_one as function_to_test"
    assert "add_one = function_to_test(1)" in bound


def test_inside_an_f_string_it_is_bound_too():
    suite = 'def test_a():\n    assert f"{function_to_test(1)}" == "2"\n'
    bound = bind_function_to_test(suite, SOLUTION)
    assert "add_one" in bound
    ast.parse(bound)


def test_which_of_several_functions_is_meant():
    helper_first = "def helper(x):\n    return x\n\ndef main(x):\n    return helper(x)\n"
    main_first = "def main(x):\n    return helper(x)\n\ndef helper(x):\n    return x\n"
    apart = "def one(x):\n    return x\n\ndef two(x):\n    return x\n"
    assert bind_function_to_test("function_to_test(1)", helper_first) == "main(1)"
    assert bind_function_to_test("function_to_test(1)", main_first) == "main(1)"
    assert bind_function_to_test("function_to_test(1)", apart, "Write one(x).") == "one(1)"
    assert bind_function_to_test("function_to_test(1); one", apart) == "one(1); one"
    assert bind_function_to_test("function_to_test(1)", apart) == "two(1)"
    assert bind_function_to_test("function_to_test(1)", "def _a():\n    pass\n\ndef b():\n    pass\n") == "b(1)"
    assert bind_function_to_test("function_to_test(1)", "double = lambda x: 2 * x\n") == "double(1)"


def test_without_a_function_or_without_python_nothing_changes():
    for solution in ("", "x = 1\n", "class A:\n    pass\n", "def f(:\n"):
        assert bind_function_to_test(SUITE, solution) == SUITE
    assert bind_function_to_test("function_to_test(", SOLUTION) == "function_to_test("


def test_other_line_ends_keep_their_places():
    suite = "x = '\u2028'\r\ny = function_to_test(1)\rz = function_to_test(2)\n"
    assert bind_function_to_test(suite, SOLUTION) == "x = '\u2028'\r\ny = add_one(1)\rz = add_one(2)\n"


@given(st.text(), st.text())
def test_any_texts_give_a_text(before, after):
    suite = f"{before}\nfunction_to_test(1)\n{after}"
    assert isinstance(bind_function_to_test(suite, SOLUTION), str)


@given(
    st.lists(
        st.sampled_from(["function_to_test(1)", "'ü'; function_to_test", "pass", "# function_to_test"]), min_size=1
    )
)
def test_only_the_names_differ(lines):
    bound = bind_function_to_test("\n".join(lines), SOLUTION)
    assert bound.replace("add_one", "function_to_test") == "\n".join(lines)
