"""Budgets of tokens, money and time, with a model whose every call has a price."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.contracts.services import Services
from prismenv.contracts.transport import ChatTransport
from prismenv.engine.campaign import run_recipe
from prismenv.engine.report import RunReport
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface
from prismenv.store.database import open_store
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.usage import Usage

Make = Callable[..., Recipe]


class PricedTransport(ChatTransport):
    """Takes two seconds of the test's clock and ten tokens for an answer; prices come in order, the last stays."""

    def __init__(self, clock: ManualClock, prices: list[float | None]) -> None:
        self._clock = clock
        self._prices = prices
        self.calls = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        self._clock.advance(2)
        price = self._prices[min(self.calls, len(self._prices) - 1)]
        self.calls += 1
        usage = Usage(model="priced/one", calls=1, prompt_tokens=4, completion_tokens=6, cost_usd=price)
        return ChatReply("```python\ndef f():\n    return 1\n```", usage)

    async def ping(self) -> None:
        return


def run(recipe: Recipe, workspaces: WorkspaceSet, prices: list[float | None], resume: str | None = None) -> RunReport:
    clock = ManualClock()
    transport = PricedTransport(clock, prices)
    store = open_store(workspaces.project_folder / "runs.db")

    async def main() -> RunReport:
        interface = InProcessInterface(
            load_agents(workspaces), lambda role: transport, clock, models=lambda role: "priced"
        )
        async with interface, ScriptedSandbox() as sandbox:
            services = Services(interface, sandbox, store, clock, workspaces.project_folder)
            return await run_recipe(recipe, services, workspaces=workspaces, sink=lambda event: None, resume=resume)

    try:
        return anyio.run(main)
    finally:
        store.close()


def asking(recipe: Make, budget: dict[str, Any], *, nodes: int = 1) -> Recipe:
    return recipe(
        environment="environment_asker",
        config={"agents": ["problem_solver"]},
        budget=budget,
        concurrency={"nodes": nodes},
    )


@pytest.mark.parametrize(
    ("budget", "done", "note"),
    [
        ({"tokens": 35}, 3, "budget.tokens: 30 of 35, and a node may take 10"),
        ({"cost_usd": 0.3}, 3, "budget.cost_usd: 0.3000 of 0.3"),
        ({"wall_seconds": 9}, 5, "budget.wall_seconds: 10.0 of 9"),
    ],
    ids=str,
)
def test_a_spent_budget_ends_the_run_cleanly_and_says_which(
    workspaces: WorkspaceSet, recipe: Make, budget: dict[str, Any], done: int, note: str
) -> None:
    report = run(asking(recipe, budget), workspaces, [0.1])
    assert (report.status, report.progress["done"], report.note) == ("budget_reached", done, note)
    assert (report.calls, report.tokens) == (done, 10 * done)
    assert report.cost_usd == pytest.approx(0.1 * done)


def test_tokens_and_money_of_earlier_sittings_stay_spent_and_time_begins_anew(
    workspaces: WorkspaceSet, recipe: Make
) -> None:
    first = run(asking(recipe, {"tokens": 30, "wall_seconds": 100}), workspaces, [0.1])
    again = run(asking(recipe, {"tokens": 30, "wall_seconds": 100}), workspaces, [0.1], resume=first.run_id)
    assert (again.status, again.progress["done"], again.tokens) == ("budget_reached", 3, 30)
    rest = run(asking(recipe, {"wall_seconds": 7}), workspaces, [0.1], resume=first.run_id)
    assert (rest.status, rest.progress["done"]) == ("budget_reached", 7)
    assert rest.cost_usd == pytest.approx(0.7)


def test_money_that_cannot_be_counted_stops_the_run_loudly(workspaces: WorkspaceSet, recipe: Make) -> None:
    report = run(asking(recipe, {"cost_usd": 100.0}), workspaces, [0.1, None])
    assert (report.status, report.progress["done"], report.cost_usd) == ("failed", 2, None)
    assert "price of model 'priced/one' is unknown" in report.note


@pytest.mark.parametrize("prices", [[None], [0.1] * 11 + [None]], ids=["every call", "the last call"])
def test_a_run_that_ends_before_its_money_is_looked_at_says_so_too(
    workspaces: WorkspaceSet, recipe: Make, prices: list[float | None]
) -> None:
    report = run(asking(recipe, {"cost_usd": 100.0}, nodes=20), workspaces, prices)
    assert (report.status, report.progress["done"], report.cost_usd) == ("failed", 12, None)
    assert "price of model 'priced/one' is unknown" in report.note
    assert "all nodes were done" in report.note


def test_without_a_money_budget_an_unknown_price_is_only_unknown(workspaces: WorkspaceSet, recipe: Make) -> None:
    report = run(asking(recipe, {}), workspaces, [None])
    assert (report.status, report.cost_usd, report.tokens) == ("finished", None, 120)
