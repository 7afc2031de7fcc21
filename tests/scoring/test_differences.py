"""Intervals and tests of differences: the published worked examples, brute force, and what must always hold."""

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.scoring.differences import (
    MOST_RESAMPLED,
    fisher,
    holm,
    mantel_haenszel,
    mantel_haenszel_p,
    mcnemar,
    newcombe,
    newcombe_paired,
    paired_bootstrap,
    sign_flips,
)

# Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
INDEPENDENT = [
    ((48, 80, 56, 70), (0.0524, 0.3339)),
    ((3, 10, 9, 10), (0.1705, 0.8090)),
    ((2, 7, 6, 7), (0.0582, 0.8062)),
    ((0, 29, 5, 56), (-0.0381, 0.1926)),
    ((0, 20, 0, 10), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((0, 20, 10, 10), (0.6791, 1.0000)),
    ((0, 10, 10, 10), (0.6075, 1.0000)),
]


@pytest.mark.parametrize(("counts", "interval"), INDEPENDENT)
def test_the_interval_of_a_difference_is_the_published_one(counts, interval) -> None:
    assert newcombe(*counts) == pytest.approx(interval, abs=5e-5)


def test_the_paired_interval_is_that_of_the_worked_examples() -> None:
    # Altman, Machin, Bryant and Gardner, Statistics with Confidence, 2nd ed. (2000), table 6.2: 0.011 to 0.226.
    assert newcombe_paired(14, 0, 5, 22) == pytest.approx((0.0115, 0.2265), abs=5e-5)
    # Newcombe, Statistics in Medicine 17 (1998) 2635-2650: 36, 12, 2, 0 of 50.
    assert newcombe_paired(36, 2, 12, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_mcnemar_and_fisher_are_exact() -> None:
    assert mcnemar(121, 59) == pytest.approx(4.434449263755176e-06)  # statsmodels' own example
    assert fisher(3, 4, 1, 4) == pytest.approx(0.4857142857)  # the lady tasting tea
    assert mcnemar(0, 0) == fisher(0, 3, 0, 3) == fisher(2, 2, 0, 0) == 1.0


@given(st.integers(0, 7), st.integers(0, 7))
def test_mcnemar_counts_the_coins_that_fall_as_unevenly(lost: int, gained: int) -> None:
    total = lost + gained
    tosses = [sum(toss) for toss in itertools.product((0, 1), repeat=total)]
    as_far = sum(abs(2 * heads - total) >= abs(lost - gained) for heads in tosses)
    assert mcnemar(lost, gained) == pytest.approx(as_far / len(tosses))


@given(st.integers(0, 4), st.integers(0, 4), st.integers(1, 4), st.integers(1, 4))
def test_fisher_counts_the_ways_to_deal_the_successes(first: int, second: int, more: int, others: int) -> None:
    first_n, second_n = first + more, second + others
    deals = list(itertools.combinations(range(first_n + second_n), first + second))
    ways = [sum(card < first_n for card in deal) for deal in deals]
    as_rare = sum(ways.count(a) for a in set(ways) if ways.count(a) <= ways.count(first))
    assert fisher(first, first_n, second, second_n) == pytest.approx(as_rare / len(deals))


COUNTS = st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, COUNTS)
def test_a_difference_lies_in_its_interval_and_turns_its_sign_with_the_order(first, second) -> None:
    low, high = newcombe(*first, *second)
    assert -1 <= low <= high <= 1 + 1e-12
    turned = newcombe(*second, *first)
    assert turned == pytest.approx((-high, -low))
    if first[1] and second[1]:
        assert low - 1e-12 <= second[0] / second[1] - first[0] / first[1] <= high + 1e-12


CELLS = st.tuples(*[st.integers(0, 15)] * 4)


@given(CELLS)
def test_the_paired_interval_holds_the_difference_and_is_never_certain(cells) -> None:
    _, lost, gained, _ = cells
    total = sum(cells)
    low, high = newcombe_paired(*cells)
    assert -1 <= low <= high <= 1
    if total:
        assert low - 1e-9 <= (gained - lost) / total <= high + 1e-9
        assert high > low


def test_pairs_that_agree_make_the_interval_narrower_than_independent_samples_would() -> None:
    paired = newcombe_paired(50, 10, 4, 36)
    alone = newcombe(60, 100, 54, 100)
    assert paired[1] - paired[0] < alone[1] - alone[0]


@given(st.lists(COUNTS, min_size=1, max_size=1), st.lists(COUNTS, min_size=1, max_size=1))
def test_one_stratum_is_the_plain_difference(first, second) -> None:
    (a, n), (b, m) = first[0], second[0]
    value, low, high = mantel_haenszel([(a, n, b, m)])
    if n and m:
        assert value == pytest.approx(b / m - a / n)
    assert low <= value <= high


def test_strata_that_were_measured_unevenly_do_not_fake_a_difference() -> None:
    """Both solve 9 of 10 easy and 1 of 10 hard problems; the second was asked ten times as many hard ones."""
    strata = [(9, 10, 90, 100), (10, 100, 1, 10)]
    value, low, high = mantel_haenszel(strata)
    assert value == pytest.approx(0.0)
    assert low < 0 < high
    assert mantel_haenszel_p(strata) == pytest.approx(1.0)
    assert newcombe(19, 110, 91, 110)[0] > 0.5  # what the rates together would say


def test_the_mantel_haenszel_interval_covers_the_truth_with_one_measurement_in_each_cell() -> None:
    """A hundred cells of one problem each, by both: the case in which a variance within strata cannot be estimated."""
    draw = random.Random(5)
    inside = 0
    for _ in range(600):
        rates = [draw.uniform(0.2, 0.9) for _ in range(100)]
        strata = [(draw.random() < rate, 1, draw.random() < rate - 0.1, 1) for rate in rates]
        _, low, high = mantel_haenszel([tuple(map(float, stratum)) for stratum in strata])
        inside += low <= -0.1 <= high
    assert 0.92 <= inside / 600 <= 0.98


def test_rabbits_and_penicillin_have_the_published_p_value() -> None:
    """Agresti, Categorical Data Analysis (1990), pages 231-237; R's mantelhaen.test: 5.657 without continuity."""
    strata = [(0, 5, 0, 6), (0, 6, 3, 6), (2, 6, 6, 6), (6, 6, 5, 6), (5, 5, 2, 2)]
    assert mantel_haenszel_p(strata) == pytest.approx(math.erfc(math.sqrt(5.6571 / 2)), abs=1e-5)


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), min_size=1, max_size=8), st.integers(0, 5))
def test_flipped_signs_are_counted_as_all_of_them_would_be(gaps: list[float], seed: int) -> None:
    flips = list(itertools.product((1, -1), repeat=len(gaps)))
    observed = abs(math.fsum(gaps))
    exact = sum(abs(math.fsum(g * s for g, s in zip(gaps, signs, strict=True))) >= observed - 1e-9 for signs in flips)
    assert sign_flips(gaps, seed) == pytest.approx(exact / len(flips), abs=0.06)
    assert sign_flips(gaps, seed) == sign_flips(gaps, seed) > 0


def test_the_bootstrap_is_repeatable_and_is_the_normal_interval_for_many() -> None:
    draw = random.Random(1)
    gaps = [draw.choice([-1.0, 0.0, 0.0, 0.5]) for _ in range(400)]
    low, high = paired_bootstrap(gaps, 7)
    assert (low, high) == paired_bootstrap(gaps, 7)
    mean, error = statistics.fmean(gaps), statistics.stdev(gaps) / math.sqrt(len(gaps))
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.02)
    many = gaps * 4
    assert len(many) > MOST_RESAMPLED
    assert paired_bootstrap(many, 7)[0] == pytest.approx(mean - 1.96 * error / 2, abs=1e-3)
    assert sign_flips([0.5, -0.5] * 600, 1) == pytest.approx(1.0)


def test_equal_differences_are_not_taken_for_certainty() -> None:
    assert paired_bootstrap([0.0] * 20, 1) == pytest.approx((-0.1611, 0.1611), abs=5e-5)
    low, high = paired_bootstrap([-1.0] * 3, 1)
    assert low == -1.0
    assert -1.0 < high < 0.2


def test_holm_is_that_of_the_paper_and_never_below_the_plain_value() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_values_keep_their_order_and_lie_between_the_plain_value_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    for value, after in zip(values, adjusted, strict=True):
        assert value <= after <= 1
        assert after <= max(values) * len(values) + 1e-12
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [after for _, after in pairs] == sorted(after for _, after in pairs)
