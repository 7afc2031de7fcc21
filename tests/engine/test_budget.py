"""Budgets: what is counted, when it is reached, and what cannot be held."""

from typing import Any

import pytest

from prismenv.contracts.recipe import BudgetSettings
from prismenv.engine.budget import Budget
from prismenv.testing.clock import ManualClock
from prismenv.words.usage import Usage


def call(tokens: int = 10, cost_usd: float | None = 0.01, model: str = "m") -> Usage:
    return Usage(model=model, calls=1, prompt_tokens=tokens, cost_usd=cost_usd)


def spend(budget: Budget, clock: ManualClock) -> None:
    budget.start_node()
    budget.spend(call())
    clock.advance(2)


@pytest.mark.parametrize(
    ("limits", "rounds", "words"),
    [
        ({"nodes": 3}, 3, "budget.nodes: 3 of 3"),
        ({"tokens": 25}, 3, "budget.tokens: 30 of 25"),
        ({"wall_seconds": 5}, 3, "budget.wall_seconds: 6.0 of 5"),
        ({"cost_usd": 0.02}, 2, "budget.cost_usd: 0.0200 of 0.02"),
    ],
)
def test_each_budget_is_reached_when_it_is_spent_and_says_which(
    limits: dict[str, Any], rounds: int, words: str
) -> None:
    clock = ManualClock()
    budget = Budget(BudgetSettings(**limits), clock)
    for _ in range(rounds - 1):
        spend(budget, clock)
        assert budget.reached() is None
    spend(budget, clock)
    assert budget.reached() == words


def test_without_limits_nothing_is_ever_reached() -> None:
    clock = ManualClock()
    budget = Budget(BudgetSettings(), clock)
    for _ in range(1000):
        spend(budget, clock)
    budget.spend(call(cost_usd=None))
    assert budget.reached() is None
    assert budget.unenforceable() is None


def test_an_unknown_price_makes_the_cost_unknown_and_a_cost_budget_impossible() -> None:
    budget = Budget(BudgetSettings(cost_usd=1.0), ManualClock())
    budget.spend(call())
    assert budget.unenforceable() is None
    budget.spend(call(cost_usd=None, model="openai/secret"))
    budget.spend(call())
    assert budget.cost_usd is None
    assert "price of model 'openai/secret' is unknown" in str(budget.unenforceable())


def test_a_node_starts_only_where_one_as_dear_as_the_dearest_so_far_still_fits() -> None:
    budget = Budget(BudgetSettings(tokens=100), ManualClock())
    for tokens in (30, 10):
        budget.start_node()
        budget.spend(call(tokens=tokens))
        budget.end_node([call(tokens=tokens)])
    budget.start_node()  # it may take 30 more
    assert budget.reached() is None
    budget.start_node()  # and so may this one: 100 in all
    assert budget.reached() == "budget.tokens: 40 of 100, and a node may take 90"
    budget.spend(call(tokens=5))
    budget.end_node([call(tokens=5)])
    assert budget.reached() == "budget.tokens: 45 of 100, and a node may take 60"
    budget.give_up_node()
    assert budget.reached() is None
    assert budget.nodes == 3


def test_what_nodes_used_that_are_not_kept_is_told_apart() -> None:
    budget = Budget(BudgetSettings(), ManualClock())
    budget.take_over([call(tokens=5)])
    for tokens in (10, 20):
        budget.start_node()
        budget.spend(call(tokens=tokens))
    budget.end_node([call(tokens=10)])
    assert (budget.unkept().calls, budget.unkept().tokens) == (1, 20)
    assert budget.unkept().cost_usd == pytest.approx(0.01)
    budget.take_over([budget.unkept()], nodes=0)
    assert (budget.nodes, budget.calls, budget.tokens) == (3, 4, 55)
