"""Suites that look wrong are told, and a weak model's failures are not taken for it."""

from typing import Any

import pytest

from prismenv.scoring.suspects import Suspects, does_nothing
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import CaseResult, Verdict

GOOD = "def f(x):\n    return x + {}\n"


def attempt(number: int, program: str, results: dict[str, str], role: str = "problem_solver") -> TrailRecord:
    """An attempt; `results` are the tests' words, empty for a pass, beginning with ! where something was raised."""
    cases = tuple(
        CaseResult(
            name=name,
            outcome="passed" if not words else "errored" if words.startswith("!") else "failed",
            message=words,
        )
        for name, words in results.items()
    )
    success = not any(results.values())
    return TrailRecord(
        problem_statement="# Title of it\n\nAdd one.",
        test_cases="...",
        solution_code=program,
        success=success,
        attempt_num=number,
        verdict=Verdict(outcome="passed" if success else "failed", cases=cases),
        usage={role: Usage(calls=1)},
    )


def found_in(*trails: list[TrailRecord]) -> list[tuple[str, tuple[str, ...], int]]:
    suspects = Suspects()
    for index, trail in enumerate(trails):
        result: Any = ChallengeResults(success=trail[-1].success, data_trail=trail)
        suspects.add(NodeOutcome(NodeRequest(index, "loops|easy", ("loops",), "easy", 1), result))
    return [(item.sign, item.tests, item.solutions) for item in suspects.found()]


def test_a_test_that_three_otherwise_good_solutions_fail_is_told() -> None:
    trail = [attempt(number, GOOD.format(number), {"a": "", "b": "", "bad": f"{number} != 9"}) for number in range(3)]
    assert found_in(trail) == [("same_test", ("bad",), 3)]
    assert found_in(trail[:2]) == []


def test_solutions_of_the_same_problem_in_other_nodes_count_too_but_the_same_program_counts_once() -> None:
    one = [attempt(0, GOOD.format(1), {"a": "", "b": "", "bad": "1 != 2"})]
    two = [attempt(0, GOOD.format(2), {"a": "", "b": "", "bad": "1 != 2"})]
    three = [attempt(0, GOOD.format(3), {"a": "", "b": "", "bad": "1 != 2"})]
    same = [attempt(0, GOOD.format(2) + "# another comment\n", {"a": "", "b": "", "bad": "1 != 2"})]
    assert found_in(one, two, three) == [("same_test", ("bad",), 3)]
    assert found_in(one, two, same) == []


def test_a_test_that_any_solution_passed_or_that_only_poor_solutions_failed_is_not_told() -> None:
    trail = [attempt(number, GOOD.format(number), {"a": "", "b": "", "bad": "no"}) for number in range(3)]
    assert found_in([*trail, attempt(3, GOOD.format(9), {"a": "", "b": "", "bad": ""})]) == []
    poor = [attempt(n, GOOD.format(n), {"a": "no", "b": "no", "c": "no", "d": ""}) for n in range(4)]
    assert found_in(poor) == []


def test_solver_and_fixer_that_fail_with_the_same_words_are_told() -> None:
    words = {"a": "", "bad": "3 != 4"}
    trail = [attempt(0, GOOD.format(1), words), attempt(1, GOOD.format(2), words, "problem_fixer")]
    assert found_in(trail) == [("same_answer", ("bad",), 2)]
    other = [trail[0], attempt(1, GOOD.format(2), {"a": "", "bad": "5 != 4"}, "problem_fixer")]
    raised = [
        attempt(n, GOOD.format(n), {"a": "", "bad": "!KeyError"}, r) for n, r in enumerate(("s", "problem_fixer"))
    ]
    same = [trail[0], attempt(1, GOOD.format(1), words, "problem_fixer")]
    assert found_in(other) == found_in(raised) == found_in(same) == []


def test_a_solution_that_does_nothing_and_passes_is_told() -> None:
    assert found_in([attempt(0, "def f(x):\n    pass\n", {"a": ""})]) == [("stub_passes", (), 1)]


@pytest.mark.parametrize(
    ("program", "nothing"),
    [
        ("def f(x):\n    return None  # later\n", True),
        ("class A:\n    def f(self):\n        ...\n", True),
        ("def f(x):\n    raise NotImplementedError('f')\n", True),
        ("def f(x):\n    return x\n", False),
        ("", False),
        ("x = 1\n", False),
    ],
)
def test_doing_nothing_is_seen_in_the_text(program: str, nothing: bool) -> None:
    assert does_nothing(program) is nothing
