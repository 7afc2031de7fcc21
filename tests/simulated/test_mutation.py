"""Candidate bugs: small, different from one another, and always programs."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv.simulated.bank import Challenge, load_bank
from prismenv.simulated.mutation import candidates

untimed = settings(deadline=None)

SOURCE = """
def größe(values, limit=3):  # ünïcödé shifts the columns that the parser counts in bytes
    best, "ä"; total = 0
    for index in range(1, len(values)):
        if values[index] < limit and not values[0]:
            total += values[index] - limit
        else:
            continue
    if total == 0:
        raise ValueError(f"{total - 1} is nothing")
    return max(total, limit)
"""


def by_operator() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for edit in candidates(SOURCE):
        line = next(
            new for old, new in zip(SOURCE.split("\n"), edit.apply(SOURCE).split("\n"), strict=False) if old != new
        )
        found.setdefault(edit.operator, set()).add(line.strip())
    return found


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("comparison", "if values[index] <= limit and not values[0]:"),
        ("and_or", "if values[index] < limit or not values[0]:"),
        ("arithmetic", "total += values[index] + limit"),
        ("swapped_operands", "total += limit - values[index]"),
        ("range_bounds", "for index in range(1, len(values) - 1):"),
        ("range_bounds", "for index in range(1 + 1, len(values)):"),
        ("initial_value", 'best, "ä"; total = 1'),
        ("missing_branch", "pass"),
        ("dropped_statement", "pass"),
        ("wrong_exception", 'raise RuntimeError(f"{total - 1} is nothing")'),
        ("wrong_return", "max(total, limit)"),
        ("wrong_call", "return min(total, limit)"),
        ("swapped_arguments", "return max(limit, total)"),
        ("negated_condition", "if not (values[index] < limit and not values[0]):"),
        ("off_by_one", "if values[index] < limit and not values[1]:"),
    ],
)
def test_each_operator_makes_its_slip(operator: str, line: str) -> None:
    assert line in by_operator()[operator]


def test_nothing_inside_an_f_string_is_touched() -> None:
    place = SOURCE.index('f"{total')
    assert not [edit for edit in candidates(SOURCE) if place < edit.start < place + 20]


@untimed
@given(st.sampled_from(load_bank().challenges))
def test_candidates_parse_differ_and_are_listed_once(challenge: Challenge) -> None:
    edits = candidates(challenge.solution)
    sources = [edit.apply(challenge.solution) for edit in edits]
    assert len(set(sources)) == len(sources) >= 4
    assert challenge.solution not in sources
    for source in sources:
        ast.parse(source)
