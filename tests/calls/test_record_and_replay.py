"""A recording repeats a run exactly, offline, and says what it does not hold."""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.recipe import Recipe
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext
from prismenv.engine.campaign import plan_campaign
from prismenv.engine.report import RunReport
from prismenv.finding.plugins import providers
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.calls.exchange import digest_of, failure_of, failure_values, question_of, reply_of, reply_values
from prismenv.sessions.calls.recording import Recorded, Recording
from prismenv.store.database import open_store
from prismenv.testing.clock import ManualClock
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.chat import ChatMessage, ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException, StorageException
from prismenv.words.usage import Usage

pytestmark = pytest.mark.anyio
Ask = Callable[..., ChatRequest]
SEARCH = {"concepts": ["loops", "recursion", "sorting"], "difficulties": ["easy", "hard"]}


def recorded(path: Path, transport: ChatTransport) -> tuple[Recording, ChatTransport]:
    clock = ManualClock()
    recording = Recording(path, clock)
    return recording, Recorded(transport, recording, "scripted/one", clock)


def replayed(path: Path) -> ChatTransport:
    context = ProviderContext(ManualClock(), path.parent, 0)
    return providers()["replay"].open(ModelReference("replay", path.name), context)


async def failure(transport: ChatTransport, request: ChatRequest) -> AgentCommunicationException:
    with pytest.raises(AgentCommunicationException) as caught:
        await transport.complete(request)
    return caught.value


def recipe(**changes: Any) -> Recipe:
    base = {"name": "asking", "environment": "environment_caller", "search": SEARCH, "seed": 5}
    return Recipe.model_validate({**base, "config": {"agents": ["challenge_designer", "problem_solver"]}, **changes})


def trail(report: RunReport) -> list[Any]:
    assert report.store is not None
    store = open_store(report.store)
    try:
        found: list[Any] = []
        for node in store.nodes(report.run_id):
            found.append((node.outcome.request.node_id, node.outcome.fault, node.outcome.error))
            for record in node.outcome.result.data_trail if node.outcome.result else ():
                plain = record.model_dump(mode="json", exclude={"wall_seconds", "cpu_seconds"})
                found.append({key: value for key, value in plain.items() if key != "verdict"})
        return found
    finally:
        store.close()


async def test_an_answer_and_a_failure_come_back_as_they_were(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    scripted = ScriptedTransport({"problem_solver": "a \ud800 surrogate, ünd \u2028 more"})
    gone = AgentCommunicationException("gone away", code="unavailable", subject="problem_solver", hint="Wait.")
    scripted.fail_when(lambda asked: gone if asked.seed == 2 else None)
    recording, transport = recorded(path, scripted)
    first = await transport.complete(ask(seed=1, params={"temperature": 0.5}))
    await failure(transport, ask(seed=2))
    recording.close()
    again = replayed(path)
    assert await again.complete(ask(seed=1, params={"temperature": 0.5})) == first
    error = await failure(again, ask(seed=2))
    assert (error.code, str(error), error.usage) == ("unavailable", str(gone), None)
    assert error.retry_after_seconds is None


async def test_equal_questions_are_answered_in_the_order_in_which_they_were_recorded(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": ["one", "two"]}))
    for _ in range(2):
        await transport.complete(ask(seed=None))
    recording.close()
    again = replayed(path)
    assert [(await again.complete(ask(seed=None))).text for _ in range(3)] == ["one", "two", "two"]


async def test_of_several_sittings_the_latest_that_has_the_question_counts(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    for texts in (["old", "older"], ["new"]):
        clock = ManualClock()
        clock._ids = len(texts)  # sittings have different names
        recording = Recording(path, clock)
        transport = Recorded(ScriptedTransport({"problem_solver": texts}), recording, "m", clock)
        for _ in texts:
            await transport.complete(ask())
        recording.close()
    again = replayed(path)
    assert [(await again.complete(ask())).text for _ in range(2)] == ["new", "new"]


async def test_a_watched_answer_is_handed_over_in_one_piece(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "all"}))
    await transport.complete(ask())
    recording.close()
    pieces: list[str] = []
    await replayed(path).complete(ask(watch=pieces.append))
    assert pieces == ["", "all"]


async def test_a_question_that_is_not_there_is_told_with_its_difference_to_the_nearest(
    tmp_path: Path, ask: Ask
) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "x"}))
    words = "Write a program.\nIt adds two numbers.\nBe quick."
    for text in ("Something else entirely", words, "Write"):
        await transport.complete(ask(text, params={"temperature": 0.5}))
    recording.close()
    again = replayed(path)
    error = await failure(again, ask(words.replace("two", "three"), seed=9, params={"temperature": 1, "top_p": 2}))
    assert (error.code, error.usage) == ("no_recording", None)
    assert error.message == f"{path} has no recording of this question"
    told = str(error)
    for part in (
        "in line 2",
        "seed: recorded 1, now 9",
        "params.temperature: recorded 0.5, now 1",
        "params.top_p: recorded nothing, now 2",
        "-It adds two numbers.",
        "+It adds three numbers.",
    ):
        assert part in told
    turns = (*ask(words).messages, ChatMessage("assistant", "no"), ChatMessage("user", words))
    assert "messages: recorded 2, now 4" in str(await failure(again, ask(messages=turns)))
    assert "only for problem_solver" in str(await failure(again, ask(role="test_generator")))


async def test_the_search_for_the_nearest_is_bounded(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "x"}))
    await transport.complete(ask("a question"))
    recording.close()
    again = replayed(path)
    told = [str(await failure(again, ask(f"another question {number}"))) for number in range(22)]
    assert "The nearest one is in line 1" in told[19]
    assert "first 20 such questions only" in told[20]


@pytest.mark.parametrize("model", ["simulated/weak", "simulated/flaky"])
def test_a_run_is_repeated_exactly_and_offline(workspaces: WorkspaceSet, model: str, run: Any) -> None:
    many = {**SEARCH, "repeats": 5}
    first = run(recipe(models={"default": model}, record="calls.jsonl", search=many), workspaces, clock=ManualClock())
    lines = (workspaces.project_folder / "calls.jsonl").read_text().splitlines()
    assert len(lines) >= first.calls >= 60
    again = run(recipe(models={"default": "replay/calls.jsonl"}, search=many), workspaces, clock=ManualClock())
    assert again.status == "finished"
    assert again.progress["left_out"] == first.progress["left_out"]
    assert trail(again) == trail(first)
    assert (again.tokens, again.cost_usd, again.calls) == (first.tokens, first.cost_usd, first.calls)
    assert again.simulated  # what the calls say of themselves is repeated too


def test_a_resumed_run_adds_to_its_recording_and_all_of_it_is_repeated(workspaces: WorkspaceSet, run: Any) -> None:
    short = recipe(models={"default": "simulated/weak"}, record="calls.jsonl", budget={"nodes": 2})
    first = run(short, workspaces)
    whole = short.model_copy(update={"budget": recipe().budget})
    done = run(whole, workspaces, resume=first.run_id)
    assert (first.status, done.status, done.progress["done"]) == ("budget_reached", "finished", 6)
    again = run(recipe(models={"default": "replay/calls.jsonl"}), workspaces)
    assert (again.status, trail(again)) == ("finished", trail(done))


def test_a_replay_in_which_nothing_matches_is_a_failed_run(workspaces: WorkspaceSet, run: Any) -> None:
    run(recipe(models={"default": "simulated/weak"}, record="calls.jsonl"), workspaces)
    other = run(recipe(models={"default": "replay/calls.jsonl"}, seed=6), workspaces)
    assert other.status == "failed"
    assert "calls.jsonl has no recording of this question" in other.note
    assert "seed: recorded" in other.note
    assert other.progress["left_out"] == {"infrastructure": other.progress["done"]}
    assert other.progress["done"] < 6 + 8  # it did not try all in vain


def test_a_replay_in_which_some_match_counts_these_and_shows_the_others(workspaces: WorkspaceSet, run: Any) -> None:
    run(recipe(models={"default": "simulated/weak"}, record="calls.jsonl", budget={"nodes": 4}), workspaces)
    again = run(recipe(models={"default": "replay/calls.jsonl"}), workspaces)
    assert again.status == "finished"
    assert (again.progress["measured"], again.progress["left_out"]) == (4, {"infrastructure": 2})


async def test_a_last_line_that_was_cut_is_left_out_and_one_in_the_middle_is_an_error(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": ["one", "two"]}))
    for seed in (1, 2):
        await transport.complete(ask(seed=seed))
    recording.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    cut = replayed(path)
    assert (await cut.complete(ask(seed=1))).text == "one"
    assert (await failure(cut, ask(seed=2))).code == "no_recording"
    lines = whole.splitlines(keepends=True)
    path.write_bytes(lines[0][:-20] + b"\n" + lines[1])
    with pytest.raises(ConfigurationException, match=r"calls\.jsonl:1: no JSON"):
        replayed(path)


async def test_a_recording_that_was_cut_goes_on_after_its_last_whole_line(tmp_path: Path, ask: Ask) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "x" * 100_000}))
    for seed in (1, 2):
        await transport.complete(ask(seed=seed))
    recording.close()
    path.write_bytes(path.read_bytes()[:-20])
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "y"}))
    await transport.complete(ask(seed=2))
    recording.close()
    again = replayed(path)
    assert [(await again.complete(ask(seed=seed))).text[:1] for seed in (1, 2)] == ["x", "y"]


async def test_after_a_line_that_did_not_fit_nothing_is_written_behind_it(tmp_path: Path, ask: Ask) -> None:
    path, longest = tmp_path / "calls.jsonl", 20_000
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": ["short", "x" * 2 * longest, "short"]}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    await transport.complete(ask(seed=1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, before[1]))  # as a disk that is full
    try:
        with pytest.raises(StorageException, match="cannot be written"):
            await transport.complete(ask(seed=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(StorageException, match="cannot be written"):  # though there is room again
        await transport.complete(ask(seed=3))
    recording.close()
    assert path.read_bytes().count(b"\n") == 1
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "later"}))
    await transport.complete(ask(seed=2))
    recording.close()
    again = replayed(path)
    assert [(await again.complete(ask(seed=seed))).text for seed in (1, 2)] == ["short", "later"]


def test_a_recording_is_not_written_to_under_another_name_of_what_is_replayed(
    workspaces: WorkspaceSet,
    run: Any,
) -> None:
    assert run(recipe(models={"default": "simulated/gpt-4o"}, record="calls.jsonl"), workspaces).status == "finished"
    (workspaces.project_folder / "link.jsonl").symlink_to("calls.jsonl")
    with pytest.raises(ConfigurationException, match="what is replayed"):
        run(recipe(models={"default": "replay/calls.jsonl"}, record="link.jsonl"), workspaces)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "found the format 2"),
        ({"question": {"role": "r", "messages": []}}, "at least one"),
        ({"question": {"role": "r", "messages": [{"role": "user"}]}}, "role and content"),
        ({"question": 3}, "question must be an object"),
        ({"reply": {"text": 3}}, "must be texts"),
        ({"reply": {"text": "x", "usage": {"calls": -1}}}, "the usage is none"),
        ({"failure": {"code": "x", "message": "y"}}, "either a reply or a failure"),
    ],
    ids=str,
)
async def test_a_line_that_is_no_exchange_is_told_with_its_number(
    tmp_path: Path, ask: Ask, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "calls.jsonl"
    recording, transport = recorded(path, ScriptedTransport({"problem_solver": "x"}))
    await transport.complete(ask())
    recording.close()
    line = path.read_text()
    path.write_text(line + json.dumps({**json.loads(line), **change}) + "\n")
    with pytest.raises(ConfigurationException, match=rf"calls\.jsonl:2: .*{words}"):
        replayed(path)


@pytest.mark.parametrize(("content", "words"), [("", "nothing is recorded"), (None, "there is no such file")])
def test_a_recording_without_content_is_no_model(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "calls.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationException, match=words):
        replayed(path)


@pytest.mark.parametrize("content", [b"# notes\n", b"\x1f\x8b\x08", b'{"task_id": "a"}\n'])
def test_a_file_of_something_else_is_not_written_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationException, match="holds something else") as caught:
        Recording(path, ManualClock())
    assert path.read_bytes() == content
    assert caught.value.key == ("record",)


def test_a_pipe_is_no_recording_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationException, match="no regular file") as caught:
        Recording(tmp_path / "pipe", ManualClock())
    assert caught.value.key == ("record",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record": "no-such-folder/calls.jsonl"}, "cannot be written"),
        ({"record": "calls.jsonl", "models": {"default": "replay/calls.jsonl"}}, "is what is replayed"),
        ({"record": "new.jsonl", "interface": {"type": "http", "url": "http://127.0.0.1:9"}}, "asked by the service"),
    ],
    ids=["folder", "itself", "service"],
)
def test_a_recording_that_cannot_be_is_an_error_of_the_recipe(
    workspaces: WorkspaceSet, changes: dict[str, Any], words: str, run: Any
) -> None:
    run(recipe(models={"default": "simulated/weak"}, record="calls.jsonl"), workspaces)
    with pytest.raises(ConfigurationException, match=words) as caught:
        run(recipe(**{"models": {"default": "simulated/weak"}, **changes}), workspaces)
    assert caught.value.key == ("record",)


def test_a_plan_writes_no_recording(workspaces: WorkspaceSet) -> None:
    chosen = recipe(models={"default": "simulated/weak"}, record="calls.jsonl")
    plan_campaign(chosen, workspaces=workspaces, folder=workspaces.project_folder)
    assert not (workspaces.project_folder / "calls.jsonl").exists()


def test_secrets_among_the_parameters_are_not_recorded(tmp_path: Path, ask: Ask) -> None:
    recording = Recording(tmp_path / "calls.jsonl", ManualClock())
    params = {"api_key_variable": "NAME", "extra": {"api_key": "sk-secret"}, "temperature": 1}
    recording.write("m", ask(params=params), 0.0, reply={})
    recording.close()
    line = json.loads((tmp_path / "calls.jsonl").read_text())
    assert line["question"]["params"] == {"extra": {"api_key": "***"}, "temperature": 1}


JSON_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
COUNTS = st.integers(0, 2**40)
USAGES = st.builds(
    Usage,
    model=st.none() | JSON_TEXT.filter(lambda text: text.isprintable()),
    calls=COUNTS,
    prompt_tokens=COUNTS,
    completion_tokens=COUNTS,
    cost_usd=st.none() | st.floats(0, 1e6),
    estimated=st.booleans(),
)
DETAILS = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5), max_size=3)
REPLIES = st.builds(ChatReply, JSON_TEXT, USAGES, st.sampled_from(["stop", "length"]), st.none() | COUNTS, DETAILS)


@given(REPLIES)
def test_every_reply_is_read_back_as_it_was(reply: ChatReply) -> None:
    assert reply_of(json.loads(json.dumps(reply_values(reply)))) == reply


@given(JSON_TEXT, st.none() | JSON_TEXT, st.none() | USAGES)
def test_every_failure_is_read_back_as_it_was(message: str, hint: str | None, usage: Usage | None) -> None:
    error = AgentCommunicationException(message, code="unavailable", subject="s", hint=hint)
    error.usage = usage
    back = failure_of(json.loads(json.dumps(failure_values(error)))).error()
    assert (back.code, back.message, back.hint, back.subject, back.usage) == (
        "unavailable",
        message,
        hint,
        "s",
        usage,
    )


@given(DETAILS, st.none() | st.integers(), st.lists(JSON_TEXT, min_size=1, max_size=3))
def test_a_question_is_found_again_after_it_was_written_down(
    params: dict[str, Any], seed: int | None, texts: list[str]
) -> None:
    messages = tuple(ChatMessage("user", text) for text in texts)
    question = question_of(ChatRequest("m", messages, "r", params=params, seed=seed))
    back = json.loads(json.dumps(question))
    assert digest_of(back) == digest_of(question)
    assert digest_of({**back, "seed": "other"}) != digest_of(question)
