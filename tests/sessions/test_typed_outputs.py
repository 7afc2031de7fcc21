"""Answers that must have a form, prompts in Jinja, and what is sent of a long conversation."""

import json
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.finding.folders import Workspace
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.agentfile import AgentFile, load_agents, read_agent
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.transport import Answers, ScriptedTransport
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

pytestmark = pytest.mark.anyio
SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}, "word": {"type": "string", "pattern": "^(a+)+$"}},
    "required": ["score"],
}
FIELDS = {
    "verdict": {"pattern": r"VERDICT:\s*(?P<value>\w+)"},
    "why": {"start": "<why>", "end": "</why>"},
    "notes": {"start": "NOTES:", "required": False},
}


def agent(output: dict[str, Any] | None = None, **more: Any) -> AgentFile:
    template = {"inputs": [{"name": "question"}], "outputs": [{"name": "response", **(output or {})}]}
    template |= more.pop("template", {})
    return AgentFile.model_validate({"role": "judge", "interaction_templates": {"default": template}, **more})


async def ask(file: AgentFile, answers: Answers, *questions: str) -> tuple[list[str], ScriptedTransport]:
    transport = ScriptedTransport(answers)
    interface = InProcessInterface({"judge": file}, lambda _role: transport, SystemClock())
    session = await interface.initialize_session("judge")
    said = [(await interface.interact(session, "judge", {"question": question})).text for question in questions]
    return said, transport


@pytest.mark.parametrize("raw", ['{"score": 1}', 'Sure.\n```json\n{"score": 1}\n```', 'I think {"score": 1} fits.'])
async def test_json_is_taken_by_its_schema(raw: str) -> None:
    (text,), transport = await ask(agent({"schema": SCHEMA}), {"judge": raw}, "q")
    assert json.loads(text) == {"score": 1}
    assert transport.calls["judge"] == 1


async def test_a_misfit_is_shown_what_is_wrong_once() -> None:
    (text,), transport = await ask(agent({"schema": SCHEMA}), {"judge": ['{"score": "x"}', '{"score": 2}']}, "q")
    assert json.loads(text) == {"score": 2}
    shown = [message.content for message in transport.requests[-1].messages]
    assert shown[1] == '{"score": "x"}'
    assert 'score: "x" is not of type "integer"' in shown[2]


@pytest.mark.parametrize(
    "raw", ["nothing", "[" * 100_000, '{"score": NaN}', '{"score": 1, "word": "' + "a" * 10_000 + '!"}']
)
async def test_outputs_that_never_parse_are_a_bad_answer_with_both_calls_paid(raw: str) -> None:
    with pytest.raises(AgentCommunicationException) as caught:
        await ask(agent({"schema": SCHEMA}), {"judge": raw}, "q")
    assert caught.value.code == "bad_answer"
    assert caught.value.usage is not None
    assert caught.value.usage.calls == 2
    assert caught.value.prompt.endswith(json.dumps(SCHEMA))


async def test_fields_are_read_by_patterns_and_delimiters_and_reading_twice_changes_nothing() -> None:
    raw = "VERDICT: good\n<why> it \n works </why>"
    (text,), _ = await ask(agent({"fields": FIELDS}), {"judge": raw}, "q")
    assert json.loads(text) == {"verdict": "good", "why": "it \n works", "notes": None}
    (again,), _ = await ask(agent({"fields": FIELDS}), {"judge": text}, "q")
    assert again == text


async def test_missing_fields_are_named_to_the_model() -> None:
    _, transport = await ask(agent({"fields": FIELDS}), {"judge": ["<why>", "VERDICT: a <why>b</why>"]}, "q")
    assert "it has no verdict, why" in transport.requests[-1].messages[-1].content


async def test_a_pattern_against_hostile_text_ends() -> None:
    slow = {"fields": {"a": {"pattern": "(x+x+)+y|(a|a)*b"}}}
    with pytest.raises(AgentCommunicationException, match="has no a"):
        await ask(agent(slow), {"judge": "x" * 500_000 + "a" * 500_000}, "q")


async def test_code_of_another_language_is_taken_by_its_label() -> None:
    raw = "```python\nno\n```\n```rust\nfn main() {}\n```"
    (text,), _ = await ask(agent({"language": "rust"}), {"judge": raw}, "q")
    assert text.strip() == "fn main() {}"


async def test_an_answer_of_ten_megabytes_is_refused_and_not_repaired() -> None:
    transport = ScriptedTransport({"judge": "x" * 10_000_000})
    file = agent({"schema": SCHEMA})
    interface = InProcessInterface({"judge": file}, lambda _role: transport, SystemClock())
    session = await interface.initialize_session("judge")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "judge", {"question": "q"})
    assert caught.value.code == "answer_too_large"
    assert transport.calls["judge"] == 1


async def test_a_jinja_prompt_is_filled_and_template_syntax_in_data_is_text() -> None:
    file = agent(template={"syntax": "jinja", "template": "{% if question %}Q: {{ question }}{% endif %}"})
    hostile = "{{ 7 * 7 }} {% include 'x' %} {question}"
    _, transport = await ask(file, {"judge": "ok"}, hostile)
    assert transport.requests[-1].messages[-1].content == f"Q: {hostile}"


async def test_a_jinja_prompt_cannot_leave_its_sandbox() -> None:
    file = agent(template={"syntax": "jinja", "template": "{{ question.__class__.__mro__ }}"})
    with pytest.raises(ConfigurationException) as caught:
        await ask(file, {"judge": "ok"}, "q")
    assert caught.value.code == "template_failed"


async def test_a_trimmed_history_always_has_the_problem_and_the_last_turns() -> None:
    file = agent(system_prompt="S", history_tokens=60)
    questions = ["the problem", *(f"attempt {number} " + "x" * 60 for number in range(2, 7))]
    _, transport = await ask(file, {"judge": "answer"}, *questions)
    assert "the problem" in transport.requests[1].messages[1].content
    last = [(message.role, message.content) for message in transport.requests[-1].messages]
    assert [role for role, _ in last] == ["system", "user", "assistant", "user"]
    assert "the problem" in last[1][1]
    assert "attempt 6" in last[-1][1]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "agents" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


MINE = """\
role: mine
interaction_templates:
  default:
    syntax: jinja
    template: |
      Hello.
      {{ question
    inputs: [{name: question}]
"""


def test_a_prompt_that_does_not_compile_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.yaml", MINE)
    with pytest.raises(ConfigurationException, match=rf"{path}:[78]: .*does not compile"):
        read_agent(path)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("schema: {type: objekt}", "no JSON schema"),
        ("schema: {$ref: 'http://host.invalid/x'}", "not fetched"),
        ("fields: {a: {pattern: '(?=a)'}}", "RE2"),
        ("fields: {a: {end: b}}", "either pattern or start"),
        ("extract: fields", "needs fields"),
    ],
)
def test_an_output_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, output: str, says: str) -> None:
    text = (
        f"role: mine\ninteraction_templates:\n  d:\n    inputs: [{{name: q}}]\n    outputs: [{{name: r, {output}}}]\n"
    )
    with pytest.raises(ConfigurationException, match=says) as caught:
        read_agent(write(tmp_path, "mine.yaml", text))
    assert "mine.yaml:5" in str(caught.value)


def test_two_files_for_one_role_are_an_error_that_names_both(tmp_path: Path) -> None:
    text = "role: mine\ninteraction_templates: {d: {inputs: [{name: q}]}}\n"
    first, second = write(tmp_path, "mine.yaml", text), write(tmp_path, "mine.yml", text)
    place = Workspace(tmp_path, "workspace")
    agents = load_agents(WorkspaceSet((place,), user=place, project_folder=tmp_path))
    assert "mine" not in agents
    assert str(first) in str(agents.broken["mine"])
    assert str(second) in str(agents.broken["mine"])
