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
