"""The providers that answer from files: samples made elsewhere, and scripts for tests."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.transport import ChatTransport, ProviderContext
from prismenv.sessions.models import parse_model
from prismenv.sessions.plugin import prismenv_providers
from prismenv.words.chat import ChatMessage, ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

PROVIDERS = {entry.name: entry for entry in prismenv_providers()}
COMPLETION = "    return x + 1\n"


def open_model(text: str, folder: Path) -> ChatTransport:
    reference = parse_model(text)
    context = ProviderContext(clock=SystemClock(), folder=folder, seed=0)
    return PROVIDERS[reference.provider].open(reference, context)


async def ask(transport: ChatTransport, role: str = "problem_solver", *turns: str, **labels: Any) -> ChatReply:
    """The reply to the last of `turns`; before each there were answers to the earlier ones."""
    messages = [ChatMessage("system", "Solve.")]
    for turn in turns or ("question",):
        messages += [ChatMessage("user", turn), ChatMessage("assistant", "earlier")]
    return await transport.complete(ChatRequest("m", tuple(messages[:-1]), role, labels=labels))


def write_lines(path: Path, *records: Mapping[str, Any] | str) -> None:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_the_plugin_offers_files_and_services() -> None:
    offered = ["human", "litellm", "ollama", "openai", "openrouter", "samples", "scripted", "vllm"]
    assert sorted(PROVIDERS) == offered
    assert all(entry.summary for entry in PROVIDERS.values())
    assert [name for name, entry in PROVIDERS.items() if entry.models is not None] == ["human"]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz"])
async def test_samples_answer_by_problem_and_number_as_they_stand_in_the_file(tmp_path: Path, name: str) -> None:
    write_lines(
        tmp_path / name,
        {"task_id": "HumanEval/0", "completion": COMPLETION},
        "",
        {"id": "ours", "solution": "def f(): pass", "more": 1},
        {"task_id": "HumanEval/0", "completion": ""},
        {"task_id": 7, "completion": "é\u2028"},
    )
    model = open_model(f"samples/{name}", tmp_path)
    await model.ping()
    first = await ask(model, problem_id="HumanEval/0")
    assert (first.text, first.remaining, first.usage.calls, first.usage.cost_usd) == (COMPLETION, 1, 1, 0.0)
    second = await ask(model, problem_id="HumanEval/0", sample=1)
    assert (second.text, second.remaining) == ("", 0)
    assert (await ask(model, problem_id="ours")).text == "def f(): pass"
    assert (await ask(model, problem_id=7)).text == "é\u2028"


@pytest.mark.anyio
async def test_a_sample_that_is_not_there_is_named_with_file_and_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_lines(path, {"task_id": "HumanEval/0", "completion": COMPLETION})
    model = open_model(f"samples/{path}", tmp_path)
    cases: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
        ("HumanEval/1", {"problem_id": "HumanEval/1"}, ()),
        ("only 1", {"problem_id": "HumanEval/0", "sample": 1}, ()),
        ("sample -1", {"problem_id": "HumanEval/0", "sample": -1}, ()),
        ("which problem", {}, ()),
        ("second question", {"problem_id": "HumanEval/0"}, ("first", "second")),
        ("not for problem_fixer", {"role": "problem_fixer", "problem_id": "HumanEval/0"}, ()),
    ]
    for says, labels, turns in cases:
        with pytest.raises(AgentCommunicationException) as caught:
            await ask(model, labels.pop("role", "problem_solver"), *turns, **labels)
        assert caught.value.code == "no_sample"
        assert says in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "no JSON"),
        ('"text"', "found str"),
        ("{}", "found the keys none"),
        ('{"task_id": "a"}', "found the keys task_id"),
        ('{"completion": "a"}', "found the keys completion"),
        ('{"task_id": "a", "completion": 3}', "both text"),
        ('{"task_id": null, "completion": "x"}', "both text"),
        ('{"task_id": true, "completion": "x"}', "both text"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number_when_the_file_is_opened(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "s.jsonl"
    write_lines(path, {"task_id": "a", "completion": "x"}, "", line)
    with pytest.raises(ConfigurationException) as caught:
        open_model("samples/s.jsonl", tmp_path)
    assert f"{path}:3:" in str(caught.value)
    assert says in str(caught.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    write_lines(tmp_path / "samples.jsonl", "")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b'{"task_id": "a", "completion": "x"}\n' * 50)[:-9])
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b" + b"\x00" * 40)
    for name, says in {
        "sample.jsonl": "Did you mean samples.jsonl",
        "none/here.jsonl": "no such file",
        "samples.jsonl": "no samples",
        "cut.gz": "damaged",
        "bad.gz": "damaged",
        ".": "cannot be read",
    }.items():
        with pytest.raises(ConfigurationException) as caught:
            open_model(f"samples/{name}", tmp_path)
        assert says in str(caught.value), name


@settings(max_examples=50)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_samples_or_a_configuration_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("samples") / "s.jsonl"
    path.write_bytes(data)
    with pytest.raises(ConfigurationException):
        open_model(f"samples/{path}", path.parent)


def test_two_hundred_samples_for_each_of_164_problems_load(tmp_path: Path) -> None:
    records = [{"task_id": f"HumanEval/{number}", "completion": COMPLETION} for number in range(164)]
    write_lines(tmp_path / "many.jsonl.gz", *(record for _ in range(200) for record in records))
    open_model("samples/many.jsonl.gz", tmp_path)


def test_the_references_of_humaneval_are_samples_once_their_key_is_renamed(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "HumanEval.jsonl.gz"
    problems = [json.loads(line) for line in gzip.decompress(source.read_bytes()).splitlines()]
    write_lines(
        tmp_path / "s.jsonl",
        *({"task_id": problem["task_id"], "completion": problem["canonical_solution"]} for problem in problems),
    )
    open_model("samples/s.jsonl", tmp_path)
    with pytest.raises(ConfigurationException, match=r"HumanEval\.jsonl\.gz:1: found the keys task_id, prompt"):
        open_model(f"samples/{source}", tmp_path)


SCRIPT = """\
problem_solver:
  - when: sorting
    answer: sorted
  - wrong
  - right
default: anything
"""


@pytest.mark.anyio
async def test_a_script_answers_by_match_then_by_turn_and_repeats_its_last(tmp_path: Path) -> None:
    (tmp_path / "answers.yaml").write_text(SCRIPT, encoding="utf-8")
    model = open_model("scripted/answers.yaml", tmp_path)
    await model.ping()
    assert (await ask(model)).text == "wrong"
    assert (await ask(model)).text == "wrong"  # a conversation of its own
    assert (await ask(model, "problem_solver", "a", "b")).text == "right"
    assert (await ask(model, "problem_solver", "a", "b", "c")).text == "right"
    assert (await ask(model, "problem_solver", "a", "about sorting")).text == "sorted"
    assert (await ask(model, "test_generator")).text == "anything"


@pytest.mark.anyio
async def test_a_script_may_be_json_and_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "answers.json").write_text(json.dumps({"writer": [{"when": "x", "answer": "y"}]}), encoding="utf-8")
    model = open_model("scripted/answers.json", tmp_path)
    for role, says in {"writer": "matches the question", "writr": "some for 'writer'"}.items():
        with pytest.raises(AgentCommunicationException) as caught:
            await ask(model, role, "question")
        assert caught.value.code == "no_answer"
        assert says in str(caught.value)


@pytest.mark.parametrize(
    "content", ["- a", "problem_solver: []", "problem_solver: 3", "problem_solver: [{when: a, anser: b}]", "a: [1"]
)
def test_a_script_that_is_wrong_is_an_error_with_its_place(tmp_path: Path, content: str) -> None:
    (tmp_path / "answers.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationException, match=r"answers\.yaml:\d+"):
        open_model("scripted/answers.yaml", tmp_path)
