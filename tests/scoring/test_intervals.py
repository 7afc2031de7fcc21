"""Intervals of proportions against published and closed values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.scoring.intervals import wilson

COUNTS = st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_the_interval_is_the_published_one(successes: int, total: int, low: float, high: float) -> None:
    assert wilson(successes, total) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(COUNTS)
def test_the_interval_holds_the_rate_and_stays_within_bounds(counts: tuple[int, int]) -> None:
    successes, total = counts
    low, high = wilson(successes, total)
    assert 0 <= low <= successes / total <= high <= 1
    assert low < high


@given(COUNTS)
def test_the_interval_is_mirrored_when_success_and_failure_change_places(counts: tuple[int, int]) -> None:
    successes, total = counts
    low, high = wilson(successes, total)
    assert wilson(total - successes, total) == (pytest.approx(1 - high), pytest.approx(1 - low))


@given(COUNTS)
def test_more_confidence_is_a_wider_interval(counts: tuple[int, int]) -> None:
    narrow, wide = wilson(*counts, confidence=0.8), wilson(*counts, confidence=0.99)
    assert wide[0] <= narrow[0]
    assert narrow[1] <= wide[1]


def test_nothing_measured_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("successes", "total", "confidence"), [(2, 1, 0.95), (-1, 3, 0.95), (1, 3, 1.0), (1, 3, math.nan)]
)
def test_counts_that_cannot_be_are_refused(successes: int, total: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        wilson(successes, total, confidence)
