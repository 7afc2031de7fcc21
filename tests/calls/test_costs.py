"""Prices, costs that are unknown, and budgets that are not exceeded."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.recipe import Recipe
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderEntry
from prismenv.finding.prices import Price, load_prices
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.calls.chain import CallResources, open_chain
from prismenv.sessions.calls.expectation import FIRST_COMPLETION_TOKENS, Expectation
from prismenv.testing.clock import ManualClock
from prismenv.testing.openai_faults import Fault
from prismenv.testing.openai_server import OpenAIServer
from prismenv.words.chat import ChatMessage, ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, BudgetException, ConfigurationException
from prismenv.words.ledger import Ledger, Reservation
from prismenv.words.usage import Usage

SEARCH = {"concepts": ["loops", "sorting", "recursion"], "difficulties": ["easy", "hard"]}

pytestmark = pytest.mark.anyio
Ask = Callable[..., ChatRequest]
PROGRAM = "```python\ndef f():\n    return 1\n```"
PRICE = Price(prompt=2.0, completion=10.0, source="a test", date="2026-11-30")


class Answering(ChatTransport):
    """Uses what it is told to; raises where that is an error."""

    def __init__(self, used: Usage | Exception) -> None:
        self.used = used
        self.calls = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        if isinstance(self.used, Exception):
            raise self.used
        return ChatReply("x", self.used)

    async def ping(self) -> None:
        return


async def asked(fake: Answering, request: ChatRequest, ledger: Ledger | None, price: Price | None) -> ChatReply:
    entry = ProviderEntry("fake", "", lambda _reference, _context: fake)
    prices = {} if price is None else {"fake/m": price}
    recipe = Recipe(name="r", environment="e", limits={"tries": 1})
    with open_chain(recipe, {"fake": entry}, CallResources(ManualClock(), Path(), prices, ledger)) as chain:
        return await chain.wrap(ModelReference("fake", "m"), entry, fake).complete(request)


def used(**figures: Any) -> Usage:
    return Usage(**{"model": "fake/m", "calls": 1, "prompt_tokens": 1000, "completion_tokens": 100, **figures})


async def test_the_table_gives_the_cost_where_the_provider_does_not(ask: Ask) -> None:
    silent, telling = Answering(used(cost_usd=None)), Answering(used(cost_usd=0.5))
    assert (await asked(silent, ask(), None, PRICE)).usage.cost_usd == pytest.approx(0.003)
    assert (await asked(telling, ask(), None, PRICE)).usage.cost_usd == 0.5
    assert (await asked(silent, ask(), None, None)).usage.cost_usd is None


async def test_an_answer_of_no_use_has_its_cost_too(ask: Ask) -> None:
    error = AgentCommunicationException("no answer", code="bad_answer")
    error.usage = used(cost_usd=None)
    with pytest.raises(AgentCommunicationException) as caught:
        await asked(Answering(error), ask(), None, PRICE)
    assert caught.value.usage is not None
    assert caught.value.usage.cost_usd == pytest.approx(0.003)


def test_the_users_table_stands_before_the_built_in_one(workspaces: WorkspaceSet) -> None:
    assert load_prices(workspaces) == {}  # none is shipped
    folder = workspaces.project_folder / "configs"
    folder.mkdir()
    (folder / "prices.yaml").write_text(
        'prices:\n  openai/x: {prompt: 2, completion: 10.0, source: a test, date: "2026-11-30"}\n  openai/y: null\n'
    )
    assert load_prices(workspaces) == {"openai/x": PRICE}


def test_a_table_that_is_no_file_is_told(workspaces: WorkspaceSet) -> None:
    folder = workspaces.project_folder / "configs"
    folder.mkdir(exist_ok=True)
    (folder / "prices.yaml").symlink_to("nowhere")
    with pytest.raises(ConfigurationException, match=r"prices\.yaml: cannot be read: No such file"):
        load_prices(workspaces)
    (folder / "prices.yaml").unlink()
    os.mkfifo(folder / "prices.yaml")
    with pytest.raises(ConfigurationException, match=r"prices\.yaml: cannot be read: no regular file"):
        load_prices(workspaces)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prices:\n  openai/x: {prompt: -1, completion: 1, source: s, date: '2026-11-30'}", r":2: .*prompt: found -1"),
        ("prices:\n  openai/x: {prompt: yes, completion: 1, source: s, date: '2026-11-30'}", r":2: .*not true"),
        ("prices:\n  openai/x: {prompt: 1, completion: 1, date: '2026-11-30'}", r":2: .*source: missing"),
        ("prices:\n  openai/x: {prompt: 1, completion: 1, source: s, date: today}", r":2: .*date: found 'today'"),
        ("prices:\n  gpt: null", r":1: prices: .*'gpt' names no model"),
        ("price: {}", r":1: price: unknown key; did you mean|unknown key.*prices"),
    ],
    ids=["negative", "true", "source", "date", "model", "key"],
)
def test_what_a_table_has_wrong_is_told_with_file_and_line(workspaces: WorkspaceSet, text: str, words: str) -> None:
    folder = workspaces.project_folder / "configs"
    folder.mkdir()
    (folder / "prices.yaml").write_text(text)
    with pytest.raises(ConfigurationException, match=rf"prices\.yaml{words}"):
        load_prices(workspaces)


def test_a_call_is_expected_to_use_its_prompt_and_the_longest_answer(ask: Ask) -> None:
    expectation, request = Expectation(), ask("x" * 300)
    prompt, completion = expectation.of(request)
    assert (100 < prompt < 120, completion) == (True, FIRST_COMPLETION_TOKENS)
    expectation.learn(used(completion_tokens=77))
    expectation.learn(used(completion_tokens=5))
    assert expectation.of(request)[1] == 77
    assert expectation.of(ask(params={"max_tokens": 9, "n": 3}))[1] == 27


OPERATIONS = st.lists(st.tuples(st.integers(0, 50), st.floats(0, 0.5), st.integers(0, 3), st.booleans()), max_size=40)


@given(OPERATIONS, st.integers(1, 200), st.floats(0.1, 3))
def test_a_ledger_is_never_overdrawn_while_calls_use_no_more_than_expected(
    operations: list[tuple[int, float, int, bool]], most_tokens: int, most_cost: float
) -> None:
    ledger, out = Ledger(most_tokens, most_cost), list[Reservation]()
    tokens, cost, refused = 0, 0.0, False
    for wanted, price, ends, lost in operations:
        try:
            made = ledger.reserve(wanted, price, lambda: None)
        except BudgetException:
            refused = True
        else:
            assert made is not None or out  # only for others one waits
            out += [] if made is None else [made]
        for _ in range(min(ends, len(out))):
            reservation = out.pop(0)
            spent = None if lost else used(prompt_tokens=reservation.tokens // 2, completion_tokens=0, cost_usd=0.0)
            ledger.settle(reservation, spent)
            tokens += reservation.tokens if lost else reservation.tokens // 2
            cost += reservation.cost_usd if lost else 0.0
        assert tokens + sum(one.tokens for one in out) <= most_tokens
        assert cost + sum(one.cost_usd for one in out) <= most_cost * (1 + 1e-6)
    assert (ledger.refusal is not None) == refused


def reserve(ledger: Ledger, tokens: int, cost: float | None = None) -> Reservation:
    made = ledger.reserve(tokens, cost, lambda: pytest.fail("it waits for nothing"))
    assert made is not None
    return made


def test_an_unknown_price_is_taken_to_be_the_dearest_so_far() -> None:
    ledger = Ledger(None, 1.0)
    ledger.settle(reserve(ledger, 10), used(cost_usd=0.4))  # nothing is known yet
    ledger.settle(reserve(ledger, 10), used(cost_usd=0.3))
    with pytest.raises(BudgetException, match=r"0\.7000 of 1, and the next call may cost 0\.4000"):
        reserve(ledger, 10)


def test_a_call_waits_for_those_under_way_and_is_woken_when_one_of_them_ends() -> None:
    ledger, woken = Ledger(100, None), []
    first = reserve(ledger, 60)
    assert ledger.reserve(60, None, lambda: woken.append(1)) is None
    assert ledger.refusal is None
    ledger.settle(first, used(prompt_tokens=20, completion_tokens=10))
    assert woken == [1]
    reserve(ledger, 60)


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        (used(prompt_tokens=10, completion_tokens=20), 970),
        (AgentCommunicationException("x", code="unavailable"), 1000),
        (AgentCommunicationException("x", code="timed_out"), None),
    ],
    ids=["answered", "refused", "timed out"],
)
async def test_a_call_settles_what_it_used(ask: Ask, outcome: Any, left: int | None) -> None:
    ledger, request = Ledger(1000, None), ask("x" * 30, params={"max_tokens": 100})
    expected = sum(Expectation().of(request))
    with suppress(AgentCommunicationException):
        await asked(Answering(outcome), request, ledger, None)
    rest = 1000 - expected if left is None else left
    with pytest.raises(BudgetException):
        reserve(ledger, rest + 1)
    reserve(ledger, rest)


async def test_a_call_that_was_given_up_stays_reserved(ask: Ask) -> None:
    class Never(Answering):
        async def complete(self, request: ChatRequest) -> ChatReply:
            await anyio.sleep_forever()
            raise AssertionError

    ledger = Ledger(1000, None)
    with anyio.move_on_after(0.01):
        await asked(Never(used()), ask(params={"max_tokens": 900}), ledger, None)
    with pytest.raises(BudgetException):
        reserve(ledger, 101)


async def test_a_call_that_does_not_fit_is_not_made(ask: Ask) -> None:
    fake = Answering(used())
    with pytest.raises(BudgetException, match=r"budget\.tokens: 0 of 100"):
        await asked(fake, ask(params={"max_tokens": 200}), Ledger(100, None), None)
    assert fake.calls == 0


def write_price(server: OpenAIServer, workspaces: WorkspaceSet, prompt: float, completion: float) -> None:
    folder = workspaces.project_folder / "configs"
    folder.mkdir(exist_ok=True)
    name = f"openai@{server.url}/test-model"
    entry = f'{{prompt: {prompt}, completion: {completion}, source: a test, date: "2026-11-30"}}'
    (folder / "prices.yaml").write_text(f'prices:\n  "{name}": {entry}\n')


def test_a_run_costs_what_the_table_says_and_an_unknown_price_is_no_zero(
    workspaces: WorkspaceSet, run: Any, asking: Any
) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        assert run(asking(server), workspaces).cost_usd is None
        write_price(server, workspaces, 1.0, 1.0)
        report = run(asking(server), workspaces)
    assert report.cost_usd == pytest.approx(report.tokens / 1e6)
    assert report.tokens > 0


@pytest.mark.parametrize("kind", ["tokens", "cost_usd"])
def test_a_budget_is_not_exceeded_at_any_concurrency_and_the_run_goes_on_with_more(
    workspaces: WorkspaceSet, kind: str, run: Any, asking: Any
) -> None:
    with OpenAIServer(lambda _: PROGRAM, latency_seconds=0.02) as server:
        write_price(server, workspaces, 1.0, 1.0)
        whole = run(asking(server), workspaces)
        assert whole.cost_usd is not None
        total = {"tokens": whole.tokens, "cost_usd": whole.cost_usd}[kind]
        budget = {kind: total * 6 // 10 if kind == "tokens" else total * 0.6}
        limited = {"concurrency": {"nodes": 6}, "limits": {"tries": 1}}
        first = run(asking(server, budget=budget, **limited), workspaces)
        assert first.status == "budget_reached"
        assert first.note.startswith(f"budget.{kind}: ")
        assert {"tokens": first.tokens, "cost_usd": first.cost_usd or 0}[kind] <= budget[kind]
        calls = len(server.calls)
        rest = run(asking(server, budget={kind: 1_000_000}, **limited), workspaces, resume=first.run_id)
    assert (rest.status, rest.progress["done"], rest.progress["left_out"]) == ("finished", 6, {})
    assert rest.calls == first.calls + len(server.calls) - calls  # what was used in vain stays spent


def test_a_budget_too_small_for_one_call_makes_none(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        report = run(asking(server, budget={"tokens": 5}), workspaces)
    assert (report.status, report.progress["done"], len(server.calls)) == ("budget_reached", 0, 0)
    assert report.note.startswith("budget.tokens: 0 of 5")


def test_money_without_a_price_still_fails_loudly_and_names_the_table(
    workspaces: WorkspaceSet, run: Any, asking: Any
) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        report = run(asking(server, budget={"cost_usd": 5}), workspaces)
    assert report.status == "failed"
    assert "configs/prices.yaml" in report.note


def test_figures_that_a_provider_does_not_give_are_counted_and_marked(
    workspaces: WorkspaceSet, run: Any, asking: Any
) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        server.always = Fault.answering({"usage": None})
        write_price(server, workspaces, 1.0, 1.0)
        report = run(asking(server), workspaces)
    assert report.tokens > 0
    assert report.cost_usd == pytest.approx(report.tokens / 1e6)


def test_messages_of_one_turn_cost_a_few_tokens_each() -> None:
    many = tuple(ChatMessage("user", "") for _ in range(10))
    assert Expectation().of(ChatRequest("m", many, "r"))[0] == 40
