"""A question that was answered before is answered from the store; what may change an answer makes another question."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.archive import AnswerCache
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderEntry
from prismenv.engine.summaries import summarise_run
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.calls.chain import CallResources, open_chain
from prismenv.store.database import open_store
from prismenv.testing.clock import ManualClock
from prismenv.testing.openai_faults import Fault
from prismenv.testing.openai_server import OpenAIServer
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.chat import ChatMessage, ChatRequest
from prismenv.words.errors import AgentCommunicationException

SEARCH = {"concepts": ["loops", "sorting"], "difficulties": ["easy", "hard"]}

pytestmark = pytest.mark.anyio
Ask = Callable[..., ChatRequest]
PROGRAM = "```python\ndef f():\n    return 1\n```"
HERE = ModelReference("fake", "m", "http://here/v1")


class Asker:
    """Asks a transport within a chain with a cache; each `sitting` is as a run of its own."""

    def __init__(self, answers: AnswerCache) -> None:
        self.answers = answers
        self.scripted = ScriptedTransport(lambda request: f"answer {self.scripted.calls.total()}")

    async def sitting(self, *requests: ChatRequest, reference: ModelReference = HERE) -> list[Any]:
        entry = ProviderEntry("fake", "", lambda _reference, _context: self.scripted, remote=True)
        resources = CallResources(ManualClock(), Path(), answers=self.answers)
        with open_chain(Recipe(name="r", environment="e", cache=True), {}, resources) as chain:
            transport: ChatTransport = chain.wrap(reference, entry, self.scripted)
            return [await transport.complete(request) for request in requests]


@pytest.fixture
def asker(tmp_path: Path) -> Any:
    with closing(open_store(tmp_path / "store.db")) as store:
        yield Asker(store.answers)


async def test_the_same_question_is_answered_from_the_store_and_uses_nothing(asker: Asker, ask: Ask) -> None:
    pieces: list[str] = []
    (first,) = await asker.sitting(ask())
    (again,) = await asker.sitting(ask(watch=pieces.append))
    assert (again.text, again.finish_reason, pieces) == (first.text, first.finish_reason, ["", first.text])
    assert (again.usage.calls, again.usage.cached, again.usage.tokens, again.usage.cost_usd) == (1, 1, 0, 0.0)
    assert first.usage.cached == 0
    assert asker.scripted.calls.total() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (ChatMessage("user", "Add three numbers."),)},
        {"params": {"temperature": 1.0}},
        {"params": {"response_format": {"type": "json_schema", "schema": {"type": "object"}}}},
        {"seed": 2},
        {"role": "problem_fixer"},
        {"labels": {"sample": 1}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_may_change_an_answer_makes_another_question(asker: Asker, ask: Ask, change: Any) -> None:
    await asker.sitting(ask())
    await asker.sitting(ask(**change))
    assert asker.scripted.calls.total() == 2


@pytest.mark.parametrize(
    "other",
    [ModelReference("fake", "n", HERE.url), ModelReference("fake", "m"), ModelReference("other", "m", HERE.url)],
    ids=str,
)
async def test_another_model_address_or_provider_is_asked_itself(asker: Asker, ask: Ask, other: ModelReference) -> None:
    await asker.sitting(ask())
    await asker.sitting(ask(), reference=other)
    assert asker.scripted.calls.total() == 2


async def test_the_deadline_and_the_watcher_are_no_part_of_a_question(asker: Asker, ask: Ask) -> None:
    await asker.sitting(ask(deadline=5.0))
    await asker.sitting(ask(deadline=7.0, watch=lambda _: None))
    assert asker.scripted.calls.total() == 1


async def test_questions_without_a_seed_are_drawn_anew_within_a_run_and_repeated_in_the_next(
    asker: Asker, ask: Ask
) -> None:
    first = await asker.sitting(*[ask(seed=None)] * 3)
    again = await asker.sitting(*[ask(seed=None)] * 4)
    assert [reply.text for reply in first] == ["answer 1", "answer 2", "answer 3"]
    assert [reply.text for reply in again] == ["answer 1", "answer 2", "answer 3", "answer 4"]


async def test_a_failure_is_not_kept(asker: Asker, ask: Ask) -> None:
    asker.scripted.fail_next(AgentCommunicationException("no", code="refused"))
    with pytest.raises(AgentCommunicationException):
        await asker.sitting(ask())
    (reply,) = await asker.sitting(ask())
    assert reply.usage.cached == 0


@pytest.mark.parametrize("damaged", ["{", "[]", '{"text": 3}'])
async def test_an_entry_that_cannot_be_read_is_asked_for_again(
    asker: Asker, ask: Ask, tmp_path: Path, damaged: str
) -> None:
    await asker.sitting(ask())
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE answers SET answer = ?", (damaged,))
        connection.commit()
    replies = [(await asker.sitting(ask()))[0] for _ in range(2)]
    assert [(reply.text, reply.usage.cached) for reply in replies] == [("answer 2", 0), ("answer 2", 1)]


def test_a_run_again_asks_nobody_and_says_how_many_answers_were_known(
    workspaces: WorkspaceSet, run: Any, asking: Any
) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        first = run(asking(server, cache=True), workspaces)
        asked = len(server.calls)
        again = run(asking(server, cache=True), workspaces)
        other = run(asking(server, cache=True, seed=1), workspaces)
        without = run(asking(server), workspaces)
        assert len(server.calls) == 3 * asked == 24
    assert (first.cached, again.cached, other.cached, without.cached) == (0, 8, 0, 0)
    assert (again.calls, again.tokens, again.cost_usd) == (8, 0, 0.0)
    assert again.to_json()["usage"]["cached"] == 8
    assert again.progress["solved"] == first.progress["solved"]
    assert again.store is not None
    with closing(open_store(again.store)) as store:
        assert summarise_run(store, again.run_id).total_usage.cached == 8


def test_answers_after_a_retry_are_found_by_the_question(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        server.script.append(Fault.rate_limited("0.01"))
        first = run(asking(server, cache=True), workspaces)
        again = run(asking(server, cache=True), workspaces)
    assert (first.cached, again.cached) == (0, 8)


def test_a_recording_of_cached_answers_is_whole(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer(lambda _: PROGRAM) as server:
        run(asking(server, cache=True), workspaces)
        run(asking(server, cache=True, record="calls.jsonl"), workspaces)
        again = run(asking(server, models={"default": "replay/calls.jsonl"}), workspaces)
    assert (again.status, again.progress["measured"]) == ("finished", 4)


def test_models_that_are_no_service_are_not_cached(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer() as server:
        chosen = asking(server, models={"default": "simulated/weak"}, cache=True)
        assert [run(chosen, workspaces).cached for _ in range(2)] == [0, 0]
