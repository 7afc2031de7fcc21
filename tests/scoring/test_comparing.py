"""Two sets of results: paired where they measured the same problems, else within cells, and regressions first."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.scoring.comparing import FEWEST, compare
from prismenv.scoring.problems import Score


def score(problem: str, value: float, concept: str = "loops", difficulty: str = "easy", **facts: Any) -> Score:
    known = {"index": 0, "node_id": f"{concept}|{difficulty}|{problem}", "fault": "none", **facts}
    return Score(problem=problem, concepts=(concept,), difficulty=difficulty, solved=value == 1, value=value, **known)


def scores(values: list[float], prefix: str = "p", **facts: Any) -> list[Score]:
    return [score(f"{prefix}{place}", value, **facts) for place, value in enumerate(values)]


def test_the_same_problems_are_compared_one_by_one() -> None:
    found = compare(scores([1.0] * 20), scores([0.0] * 12 + [1.0] * 8))
    assert found is not None
    assert (found.mode, found.common) == ("paired", 20)
    total = found.total
    assert (total.value, total.method, total.status) == (-0.6, "newcombe_paired", "regression")
    assert total.p == pytest.approx(2 / 2**12)
    assert len(total.lost) == 12
    assert found.worse


def test_a_loss_that_chance_explains_is_no_regression() -> None:
    found = compare(scores([1.0] * 10 + [0.0] * 10), scores([0.0] * 2 + [1.0] * 9 + [0.0] * 9))
    assert found is not None
    assert found.total.status == "no_difference_shown"
    assert not found.worse


def test_different_problems_are_compared_within_the_cells_that_both_measured() -> None:
    first = scores([1.0] * 9 + [0.0], "a") + scores([1.0] * 10 + [0.0] * 90, "b", difficulty="hard")
    second = scores([1.0] * 90 + [0.0] * 10, "c") + scores([1.0] + [0.0] * 9, "d", difficulty="hard")
    found = compare(first, second)
    assert found is not None
    assert (found.mode, found.total.method) == ("by_cell", "mantel_haenszel")
    assert found.total.value == pytest.approx(0.0)
    assert found.total.status == "no_difference_shown"


def test_repetitions_of_a_problem_are_one_problem() -> None:
    first = scores([1.0, 0.0, 1.0, 1.0]) * 3
    found = compare(first, scores([1.0, 0.0, 1.0, 0.5]))
    assert found is not None
    assert (found.total.first_n, found.total.method) == (4, "paired_bootstrap")
    assert found.total.value == pytest.approx(-0.125)


def test_too_few_problems_are_not_tested_and_never_a_regression() -> None:
    found = compare(scores([1.0] * (FEWEST - 1)), scores([0.0] * (FEWEST - 1)))
    assert found is not None
    assert (found.total.p, found.total.status, found.worse) == (None, "too_few", False)
    assert compare(scores([1.0] * FEWEST), scores([0.0] * FEWEST)).worse  # type: ignore[union-attr]


def test_nothing_in_common_is_nothing_to_compare() -> None:
    assert compare(scores([1.0]), scores([1.0], concept="trees")) is None
    assert compare(scores([1.0]), scores([1.0], fault="infrastructure")) is None
    assert compare([], []) is None


def test_problems_known_by_their_place_alone_are_not_taken_for_the_same() -> None:
    found = compare(scores([1.0] * 8, "place:"), scores([1.0] * 8, "place:"))
    assert found is not None
    assert found.mode == "by_cell"


def test_regressions_come_first_and_improvements_last() -> None:
    first = (
        scores([1.0] * 30, "a") + scores([0.0] * 30, "b", concept="trees") + scores([1.0, 0.0] * 15, "c", concept="io")
    )
    second = (
        scores([0.0] * 30, "a") + scores([1.0] * 30, "b", concept="trees") + scores([1.0, 0.0] * 15, "c", concept="io")
    )
    found = compare(first, second)
    assert found is not None
    assert found.total.status == "no_difference_shown"
    assert found.worse  # in an area
    concepts = [(item.area.name, item.status) for item in found.areas if item.area.kind == "concept"]
    assert concepts == [("loops", "regression"), ("io", "no_difference_shown"), ("trees", "improvement")]


VALUES = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=12)


@given(VALUES)
def test_results_compared_with_themselves_never_differ(values: list[float]) -> None:
    for prefix in ("p", "place:"):
        found = compare(scores(values, prefix), scores(values, prefix))
        assert found is not None
        assert all(item.value == pytest.approx(0.0, abs=1e-12) for item in (found.total, *found.areas))
        assert not found.worse
        assert found.total.low <= 0 <= found.total.high


@given(VALUES, VALUES)
def test_the_interval_holds_the_difference_and_the_order_of_runs_turns_its_sign(first, second) -> None:
    one, other = compare(scores(first), scores(second)), compare(scores(second), scores(first))
    assert one is not None
    assert other is not None
    assert other.total.value == pytest.approx(-one.total.value)
    for item in (one.total, *one.areas):
        assert -1 <= item.low <= item.value + 1e-9
        assert item.value - 1e-9 <= item.high <= 1
        assert item.adjusted is None or item.p is None or item.p <= item.adjusted


def test_two_equal_models_are_seldom_told_apart() -> None:
    """Over all areas of a comparison a false alarm comes in about one of twenty runs, and not in half of them."""
    draw = random.Random(11)
    alarms = 0
    for _ in range(60):
        runs = []
        for _ in range(2):
            found = []
            for number in range(120):
                concept, difficulty = "abcdef"[number % 6], ("easy", "hard")[number % 2]
                found.append(score(f"p{number}", float(draw.random() < 0.6), concept, difficulty))
            runs.append(found)
        comparison = compare(*runs)
        alarms += comparison is not None and any(
            item.status in ("regression", "improvement") for item in comparison.areas
        )
    assert alarms / 60 <= 0.15
