"""The adaptive policy's mathematics against brute force on cases small enough for it."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prismenv.search.adaptive.acquisition import ability_gain, answer_variance, difference_gain, expect, threshold_gain
from prismenv.search.adaptive.cells import ability_cells
from prismenv.search.adaptive.credit import CreditLine, learn_line
from prismenv.search.adaptive.evidence import Answer, CellEvidence
from prismenv.search.adaptive.learning import evidence, sweep
from prismenv.search.adaptive.model import AbilityModel
from prismenv.search.adaptive.moments import expected_chance, sigmoid, tilted
from prismenv.search.adaptive.posterior import Posterior
from prismenv.search.adaptive.prior import USUAL, build_prior, paired
from prismenv.search.adaptive.reading import cell_intervals
from prismenv.search.adaptive.triangles import solve_lower
from prismenv.search.cells import plan_cells

Array = NDArray[np.float64]
AXIS = np.linspace(-14, 14, 4001)
DIFFICULTIES = ("easy", "medium", "hard")


def finish(steps: Iterator[None]) -> Any:
    """What a function that pauses comes to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def density(mean: float, variance: float) -> Array:
    return np.exp(-0.5 * np.square(AXIS - mean) / variance)


def likelihood(f: Array, solved: float, trials: float) -> Array:
    return np.exp(solved * f - trials * np.logaddexp(0, f))


@given(st.floats(-4, 4), st.floats(0.05, 6), st.integers(0, 60), st.integers(0, 60), st.sampled_from([1.0, 0.5]))
def test_tilted_moments_are_those_of_the_exact_integral(
    mean: float, variance: float, solved: int, failed: int, weight: float
) -> None:
    exact = density(mean, variance) * likelihood(AXIS, weight * solved, weight * (solved + failed))
    exact /= exact.sum()
    first = float((exact * AXIS).sum())
    second = float((exact * np.square(AXIS - first)).sum())
    counts = np.array([weight * solved]), np.array([weight * (solved + failed)])
    found = tilted(np.array([mean]), np.array([variance]), *counts)
    assert found[0][0] == pytest.approx(first, abs=2e-3)
    assert found[1][0] == pytest.approx(second, rel=1e-2)


@given(st.floats(-5, 5), st.floats(0.01, 4))
def test_the_expected_chance_is_the_integral_of_the_sigmoid(mean: float, variance: float) -> None:
    weight = density(mean, variance)
    exact = float((weight * sigmoid(AXIS)).sum() / weight.sum())
    assert expected_chance(np.array([mean]), np.array([variance]))[0] == pytest.approx(exact, abs=1e-3)


def brute_force(mean: Array, covariance: Array, solved: Array, trials: Array) -> tuple[Array, Array]:
    """Mean and covariance of two cells, by a sum over a grid."""
    axis = np.linspace(-9, 9, 601)
    first, second = np.meshgrid(axis, axis, indexing="ij")
    gap = np.stack([first - mean[0], second - mean[1]])
    weight = np.exp(-0.5 * np.einsum("iab,ij,jab->ab", gap, np.linalg.inv(covariance), gap))
    weight *= likelihood(first, solved[0], trials[0]) * likelihood(second, solved[1], trials[1])
    weight /= weight.sum()
    centre = np.array([(weight * first).sum(), (weight * second).sum()])
    apart = np.stack([first - centre[0], second - centre[1]])
    return centre, np.einsum("ab,iab,jab->ij", weight, apart, apart)


@pytest.mark.parametrize(
    ("solved", "trials"), [((0, 0), (1, 0)), ((1, 0), (1, 3)), ((5, 2), (6, 9)), ((0, 40), (20, 40)), ((0, 1), (0, 1))]
)
def test_beliefs_about_two_cells_are_those_of_the_exact_integral(
    solved: tuple[int, int], trials: tuple[int, int]
) -> None:
    mean, covariance = np.array([0.5, -0.5]), np.array([[1.5, 0.9], [0.9, 2.0]])
    posterior = Posterior(mean, covariance)
    for cell in range(2):
        posterior.observe(cell, solved[cell], trials[cell])
    finish(posterior.refit())
    exact_mean, exact_covariance = brute_force(mean, covariance, np.array(solved, float), np.array(trials, float))
    assert posterior.mean == pytest.approx(exact_mean, abs=0.05)
    assert posterior.covariance == pytest.approx(exact_covariance, abs=0.08)


def test_one_result_after_another_comes_to_what_all_at_once_does() -> None:
    prior = build_prior(ability_cells(plan_cells(["a", "b", "c"], DIFFICULTIES, pairs=True), DIFFICULTIES))
    one = Posterior(prior.mean, prior.covariance(USUAL))
    draw = np.random.default_rng(5)
    counts = np.zeros((len(prior.mean), 2))
    for _ in range(60):
        cell, solved = int(draw.integers(len(counts))), bool(draw.integers(2))
        counts[cell] += (solved, 1)
        one.observe(cell, *counts[cell])
    walked_mean, walked_covariance = one.mean.copy(), one.covariance.copy()
    finish(one.refit())
    assert walked_mean == pytest.approx(one.mean, abs=0.1)
    assert walked_covariance == pytest.approx(one.covariance, abs=0.1)


def test_what_is_expected_of_answers_is_the_normal_rule_for_them() -> None:
    prior = build_prior(ability_cells(plan_cells(["a", "b"], DIFFICULTIES), DIFFICULTIES))
    covariance = prior.covariance(USUAL)
    noise = np.array([4.0, 5.0, 4.0])
    found = expect(covariance, np.array([0, 3, 0]), noise)
    precision = np.linalg.inv(covariance)
    precision[0, 0] += 1 / 4 + 1 / 4
    precision[3, 3] += 1 / 5
    assert found == pytest.approx(np.linalg.inv(precision), abs=1e-8)


def cumulative(value: Array) -> Array:
    return np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in value.ravel()]).reshape(value.shape)


@settings(deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(0.3, 2), st.floats(4, 30), st.floats(-0.9, 0.9))
def test_the_gain_about_a_threshold_is_the_expected_fall_of_uncertainty(
    mean: float, variance: float, noise: float, correlation: float
) -> None:
    cross = correlation * variance
    covariance = np.array([[variance, cross], [cross, variance]])
    found = threshold_gain(np.array([mean, 0.4]), covariance, np.array([noise, noise]), 0.2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    exact = 0.0
    for target, own_mean in enumerate((mean, 0.4)):
        shift = covariance[target, 0] ** 2 / (variance + noise)
        before = float(cumulative(np.array((0.2 - own_mean) / math.sqrt(variance))))
        after = cumulative((0.2 - own_mean - math.sqrt(shift) * nodes) / math.sqrt(variance - shift))
        exact += before * (1 - before) - float((weights * after * (1 - after)).sum())
    assert found[0] == pytest.approx(exact, rel=0.05, abs=2e-4)


def test_the_gain_about_ability_is_the_fall_of_its_variance() -> None:
    mean, covariance = np.array([1.0, -1.0, 0.3]), np.array([[1.0, 0.5, 0.1], [0.5, 2.0, 0.2], [0.1, 0.2, 0.7]])
    noise = answer_variance(mean, np.diagonal(covariance), np.ones(3))
    found = ability_gain(mean, covariance, noise)
    chance = sigmoid(mean / np.sqrt(1 + math.pi * np.diagonal(covariance) / 8))
    slope = chance * (1 - chance) / 3
    for cell in range(3):
        after = expect(covariance, np.array([cell]), noise[[cell]])
        assert found[cell] == pytest.approx(slope @ covariance @ slope - slope @ after @ slope, rel=1e-9)


def test_the_gain_about_a_difference_is_the_fall_of_all_differences_variances() -> None:
    prior = paired(build_prior(ability_cells(plan_cells(["a", "b"], DIFFICULTIES), DIFFICULTIES)))
    covariance = prior.covariance(USUAL)
    noise = answer_variance(prior.mean, np.diagonal(covariance), np.ones(12))
    chance = sigmoid(prior.mean / np.sqrt(1 + math.pi * np.diagonal(covariance) / 8))
    contrast = np.hstack([np.eye(6), -np.eye(6)]) * (chance * (1 - chance))
    found = difference_gain(prior.mean, covariance, noise[:6])
    for cell in range(6):
        after = expect(covariance, np.array([cell]), noise[[cell]])
        fall = np.trace(contrast @ covariance @ contrast.T) - np.trace(contrast @ after @ contrast.T)
        assert found[cell] == pytest.approx(fall, rel=1e-9)


@pytest.mark.parametrize("size", [1, 47, 48, 211])
def test_a_triangular_system_is_solved(size: int) -> None:
    draw = np.random.default_rng(size)
    lower = np.tril(draw.normal(size=(size, size))) / size + np.eye(size)
    right = draw.normal(size=(size, 7))
    assert lower @ solve_lower(lower, right) == pytest.approx(right, abs=1e-9)


def test_learning_anew_spreads_over_results_and_comes_to_what_learning_at_once_does() -> None:
    cells = ability_cells(plan_cells(list("abcdefghijklmno"), DIFFICULTIES, pairs=True), DIFFICULTIES)
    model, draw = AbilityModel(cells), np.random.default_rng(4)
    learning = []
    for number in range(900):
        row = int(draw.integers(len(cells)))
        solved = bool(draw.random() < 0.2 + 0.3 * cells[row].rank)
        model.tell(row, [Answer(f"problem {number}", solved, None)])
        learning.append(model.learning)
    assert 0.02 < sum(learning) / len(learning) < 0.9
    while model.learning:
        model.tell(0, [])
    mean, deviations = model.posterior.mean.copy(), model.deviations.copy()
    model.settle()
    assert model.posterior.mean == pytest.approx(mean, abs=0.25)
    assert np.log(model.deviations) == pytest.approx(np.log(deviations), abs=0.75)
    assert all(model.posterior.mean[row] < model.posterior.mean[row + 2] for row in range(0, len(cells), 3))


def test_every_prior_is_a_covariance_and_expects_harder_to_be_worse() -> None:
    cells = ability_cells(plan_cells(["a", "b", "c"], DIFFICULTIES, pairs=True), DIFFICULTIES)
    for prior in (build_prior(cells), paired(build_prior(cells))):
        assert np.linalg.eigvalsh(prior.covariance(USUAL)).min() > 0
        assert all(prior.mean[row] > prior.mean[row + 1] for row in range(2))


def test_learning_finds_how_much_concepts_differ() -> None:
    prior = build_prior(ability_cells(plan_cells(list("abcdefgh"), DIFFICULTIES), DIFFICULTIES))
    usual, concept = np.array(USUAL), 4
    found = []
    for spread in (0.1, 2.0):
        gap = np.repeat(np.linspace(-spread, spread, 8), 3)
        t = np.full(24, 20.0)
        v = t * (prior.mean + gap)
        learned = usual
        for _ in range(6):
            better = finish(sweep(prior, learned, t, v))
            assert evidence(prior, better, t, v) >= evidence(prior, learned, t, v)
            learned = better
        found.append(learned[concept])
    assert found[0] < usual[concept] < found[1]


def test_partial_credit_counts_where_it_goes_with_ability_and_only_there() -> None:
    draw = np.random.default_rng(3)
    mean, count = np.linspace(-2, 2, 40), np.full(40, 5.0)
    telling = 0.3 + 0.8 * mean + draw.normal(0, 0.3, 40)
    blind = draw.permutation(telling)
    lines = [learn_line(count, 5 * z, 5 * np.square(z), mean, np.full(40, 0.1)) for z in (telling, blind)]
    assert lines[0].slope == pytest.approx(0.8, abs=0.15)
    assert lines[0].level == pytest.approx(0.3, abs=0.15)
    assert lines[1].slope < 0.25
    assert CreditLine().sites(count, telling)[0].sum() == 0
    assert lines[0].sites(count, 5 * telling)[0].sum() > 5 * lines[1].sites(count, 5 * blind)[0].sum()


def test_intervals_reach_the_ends_where_nothing_or_everything_was_solved() -> None:
    posterior = Posterior(np.zeros(3), 2 * np.eye(3))
    posterior.observe(0, 0, 4)
    posterior.observe(1, 4, 4)
    found = cell_intervals(posterior, 3, 0.5, 0.9)
    assert (found.low[0], found.high[1]) == (0.0, 1.0)
    assert 0.02 < found.low[2] < 0.5 < found.high[2] < 0.98
    assert found.high[0] < 0.6


@pytest.mark.parametrize("true", [0.1, 0.5, 0.85])
def test_the_correlation_of_answers_to_one_problem_is_learned(true: float) -> None:
    cells = ability_cells(plan_cells(list("abcdef"), DIFFICULTIES), DIFFICULTIES)
    model, draw = AbilityModel(cells), np.random.default_rng(8)
    spread = 1 / true - 1  # of problems in a cell: the correlation of a beta-binomial is 1 / (1 + spread)
    for row, cell in enumerate(cells):
        chance = 0.75 - 0.25 * cell.rank
        for problem in range(12):
            own = draw.beta(spread * chance, spread * (1 - chance))
            model.tell(row, [Answer(f"p{problem}", bool(draw.random() < own), None) for _ in range(4)])
    model.settle()
    assert model.correlation == pytest.approx(true, abs=0.15)
    for found in model.evidence:
        assert 12 <= found.trials <= 48
        assert 0 <= found.effective_solved <= found.trials


def test_many_answers_to_the_only_problem_of_a_cell_do_not_pass_for_knowledge_of_the_cell() -> None:
    cells = ability_cells(plan_cells(["a"], DIFFICULTIES), DIFFICULTIES)
    model = AbilityModel(cells)
    for turn in range(60):
        for row in range(3):
            model.tell(row, [Answer("the same", turn % 2 == 0, None)])
    model.settle()
    assert max(found.trials for found in model.evidence) < 4


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.booleans()), max_size=25), st.floats(0.05, 0.95))
def test_counting_anew_comes_to_what_counting_from_the_start_does(told: list[tuple[str, bool]], r: float) -> None:
    first, second = CellEvidence(), CellEvidence(r)
    for problem, solved in told:
        first.add(Answer(problem, solved, None))
        second.add(Answer(problem, solved, None))
    first.recount(r)
    assert first.trials == pytest.approx(second.trials)
    assert first.effective_solved == pytest.approx(second.effective_solved)
    assert first.gain() == pytest.approx(second.gain())
