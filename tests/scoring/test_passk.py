"""pass@k is unbiased, and its interval says how it was made."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.scoring.intervals import wilson
from prismenv.scoring.passk import SampleCounts, estimate_pass, pass_at_k
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults

TRIPLES = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@given(TRIPLES)
def test_it_equals_the_ratio_of_binomials(triple: tuple[int, int, int]) -> None:
    n, c, k = triple
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), abs=1e-12)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_1_is_the_share_that_passed(pair: tuple[int, int]) -> None:
    n, c = pair
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)


def test_none_and_all_are_exact() -> None:
    assert pass_at_k(200, 0, 100) == 0.0
    assert pass_at_k(200, 200, 1) == 1.0
    assert pass_at_k(5, 1, 5) == 1.0


def test_fewer_samples_than_k_is_an_error_that_says_how_many_there_are() -> None:
    with pytest.raises(ConfigurationException, match="pass@10 cannot be estimated from 5 samples") as caught:
        pass_at_k(5, 2, 10)
    assert caught.value.code == "too_few_samples"
    with pytest.raises(ConfigurationException):
        pass_at_k(5, 2, 0)
    with pytest.raises(ValueError, match="6 passed out of 5"):
        pass_at_k(5, 6, 1)


def test_one_sample_per_problem_has_the_wilson_interval() -> None:
    estimate = estimate_pass([(1, 1)] * 30 + [(1, 0)] * 10, 1)
    assert (estimate.low, estimate.high) == wilson(30, 40)
    assert (estimate.value, estimate.method, estimate.problems, estimate.samples) == (0.75, "wilson", 40, 40)


def test_all_or_none_solved_is_never_shown_as_certain() -> None:
    assert estimate_pass([(5, 5)] * 164, 1).low < 1
    assert estimate_pass([(5, 0)] * 164, 1).high > 0


def test_several_samples_are_resampled_by_problem_and_repeatable() -> None:
    counts = [(10, 10)] * 20 + [(10, 0)] * 20
    first, again = estimate_pass(counts, 1, seed=3), estimate_pass(counts, 1, seed=3)
    assert first == again
    assert first.method == "bootstrap"
    low, high = wilson(20, 40)  # the samples of a problem agree, so 400 samples know as much as 40 problems
    assert first.low == pytest.approx(low, abs=0.05)
    assert first.high == pytest.approx(high, abs=0.05)


def test_problems_with_too_few_samples_are_left_out_and_counted() -> None:
    estimate = estimate_pass([(10, 10), (10, 10), (3, 0), (0, 0)], 10)
    assert (estimate.value, estimate.problems, estimate.left_out) == (1.0, 2, 2)


def test_nothing_measured_has_no_value() -> None:
    estimate = estimate_pass([], 1)
    assert (estimate.value, estimate.low, estimate.high, estimate.method) == (None, 0.0, 1.0, "none")


def node(problem: str, *, fault: str = "none", **own: object) -> NodeOutcome:
    success = bool(own.pop("success", False))
    result = ChallengeResults(success=success, **own)
    return NodeOutcome(NodeRequest(0, problem, ("humaneval",), "default", 1), result, fault)


def test_samples_are_gathered_by_problem() -> None:
    counts = SampleCounts()
    counts.add(node("a", samples=10, passed=4))
    counts.add(node("a", samples=10, passed=6))
    counts.add(node("x", problem_id="b", samples=20, passed=0))
    counts.add(node("c", samples=0, passed=0))
    assert counts.counts() == [(20, 10), (20, 0)]
    assert [(estimate.k, estimate.value) for estimate in counts.estimates((1, 10, 100))] == [
        (1, 0.25),
        (10, pytest.approx(pass_at_k(20, 10, 10) / 2)),
    ]


def test_a_result_without_counts_is_one_sample_unless_it_was_not_measured() -> None:
    counts = SampleCounts()
    counts.add(node("a", success=True))
    counts.add(node("a", fault="candidate"))
    counts.add(node("b", fault="infrastructure"))
    counts.add(node("c", samples="many", passed=None, success=True))
    counts.add(NodeOutcome(NodeRequest(0, "d", ("x",), "easy", 1), None, "environment", "it broke"))
    assert counts.counts() == [(2, 1), (1, 1)]


def test_no_estimate_where_no_node_was_measured() -> None:
    assert SampleCounts().estimates() == []


def test_the_json_form_has_every_fact() -> None:
    assert estimate_pass([(1, 1)], 1).to_json().keys() == {
        "k", "value", "low", "high", "problems", "samples", "method", "left_out",
    }  # fmt: skip
