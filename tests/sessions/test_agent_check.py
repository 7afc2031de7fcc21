"""`agents check` finds all that is wrong with agent files, each with its line."""

import os
from pathlib import Path
from typing import Any

import pytest

from prismenv.finding.plugins import providers
from prismenv.finding.workspace import Workspace, WorkspaceSet
from prismenv.sessions.agentcheck import CheckedAgent, check_agents
from prismenv.sessions.agentfile import load_agents, read_agent
from prismenv.words.errors import ConfigurationException

MANY_FAULTS = """\
role: mine
model_provider: opnai
model_name: gpt
sytem_prompt: x
interaction_templates:
  slots:
    template: |
      Solve this.
      {qestion}
    inputs: [{name: question}, {name: hint}]
  jinja:
    syntax: jinja
    template: |
      {{ text }}
      {{ txet }} {% for item in items %}{{ item }}{% endfor %}
    inputs: [{name: text}, {name: unread}]
  broken:
    syntax: jinja
    template: |
      one
      {% if %}
    inputs: [{name: text}]
  types:
    inputs:
      - {name: a, type: strng}
      - {name: b c}
    outputs: [{name: response, type: lst}]
  schemas:
    inputs: [{name: d}]
    outputs:
      - name: response
        schema: {type: objekt}
  patterns:
    inputs: [{name: e}]
    outputs:
      - name: response
        fields: {score: {pattern: "(?=x)"}}
  again:
    inputs: [{name: d}]
"""
SOUND = "role: {role}\ninteraction_templates: {{default: {{inputs: [{{name: question}}]}}}}\n"


def workspaces(root: Path) -> WorkspaceSet:
    own = Workspace(root, "mine")
    return WorkspaceSet((own,), user=own, project_folder=root)


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / "agents" / f"{name.replace('__', '.')}"
        path = path if path.suffix else path.with_suffix(".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check(root: Path, *names: str) -> list[CheckedAgent]:
    return check_agents(workspaces(root), providers(), names)


def said(checked: CheckedAgent) -> list[str]:
    return [f"{problem.line} {problem.key}: {problem.what}" for problem in checked.problems]


def test_every_problem_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, mine=MANY_FAULTS)
    (checked,) = check(tmp_path)
    told = said(checked)
    for line, key, what in (
        (2, "model_provider", "no provider 'opnai'; did you mean openai?"),
        (4, "sytem_prompt", "unknown key"),
        (7, "interaction_templates.slots.template", "no slot {question}"),
        (7, "interaction_templates.slots.template", "no slot {hint}"),
        (9, "interaction_templates.slots.template", "{qestion} names no input; did you mean {question}?"),
        (13, "interaction_templates.jinja.template", "does not read the input unread"),
        (15, "interaction_templates.jinja.template", "reads txet, which is no input; did you mean text?"),
        (15, "interaction_templates.jinja.template", "reads items, which is no input"),
        (21, "interaction_templates.broken.template", "does not compile"),
        (25, "interaction_templates.types.inputs.0.type", "'strng' names no type"),
        (26, "interaction_templates.types.inputs.1.name", "is no name"),
        (27, "interaction_templates.types.outputs.0.type", "'lst' names no type"),
        (32, "interaction_templates.schemas.outputs.0.schema", "no JSON schema"),
        (37, "interaction_templates.patterns.outputs.0.fields.score.pattern", "RE2 does not take the pattern"),
        (38, "interaction_templates.again", "'schemas' and 'again' take the same inputs"),
    ):
        assert any(line_told.startswith(f"{line} {key}: ") and what in line_told for line_told in told), (key, told)
    assert len(told) == 15
    assert checked.agent is None


def test_a_run_is_told_the_same_as_the_check(tmp_path: Path) -> None:
    write(tmp_path, mine=MANY_FAULTS)
    with pytest.raises(ConfigurationException) as caught:
        read_agent(tmp_path / "agents" / "mine.yaml")
    assert str(caught.value).count("mine.yaml:") == 10  # the rest is counted
    assert "and 4 more" in str(caught.value)


def test_one_bad_file_hides_no_other_and_each_is_told_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, good=SOUND.format(role="good"), unclosed="role: [x\n", named=SOUND.format(role="other"))
    found = {checked.path.stem: said(checked) for checked in check(tmp_path)}
    assert found["good"] == []
    assert found["named"] == ["1 role: found 'other'; expected 'named', as the file is called"]
    assert len(found["unclosed"]) == 1
    assert found["unclosed"][0].split()[0].isdigit()


def test_what_is_no_file_at_all_is_told_and_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, good=SOUND.format(role="good"))
    (tmp_path / "agents" / "gone.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "agents" / "pipe.yaml")
    gone, good, pipe = check(tmp_path)
    assert not good.problems
    assert "No such file" in said(gone)[0]
    assert "no regular file" in said(pipe)[0]
    agents = load_agents(workspaces(tmp_path))
    assert (list(agents), sorted(agents.broken)) == (["good"], ["gone", "pipe"])


def test_two_files_for_one_role_are_a_problem_of_the_second(tmp_path: Path) -> None:
    write(tmp_path, twin=SOUND.format(role="twin"), twin__yml=SOUND.format(role="twin"))
    first, second = check(tmp_path)
    assert said(first) == []
    assert said(second) == [f"1 role: 'twin' is defined by {first.path} already; keep one of the two files"]
    assert load_agents(workspaces(tmp_path)).broken["twin"].code == "role_defined_twice"


@pytest.mark.parametrize(
    ("more", "line", "says"),
    [
        ("model_name: gpt-5", 3, "model_name: there is no model_provider beside it"),
        ("model_provider: opnai\nmodel_name: gpt-5", 3, "no provider 'opnai'; did you mean openai?"),
        ("model_params: {api_key: sk-very-secret}", 3, "a key does not belong in an agent file"),
        ("model_params: {api_key_variable: sk-very-secret}", 3, "the key itself does not belong here"),
    ],
)
def test_a_model_that_cannot_be_is_told(tmp_path: Path, more: str, line: int, says: str) -> None:
    write(tmp_path, mine=SOUND.format(role="mine") + more + "\n")
    (checked,) = check(tmp_path)
    assert [problem.line for problem in checked.problems] == [line]
    assert says in said(checked)[0]
    assert "sk-very-secret" not in said(checked)[0]


def test_a_role_without_a_model_is_no_problem_and_is_said(tmp_path: Path) -> None:
    named = "model_provider: simulated\nmodel_name: perfect\n"
    write(tmp_path, bare=SOUND.format(role="bare"), full=SOUND.format(role="full") + named)
    bare, full = check(tmp_path)
    assert (bare.problems, bare.model) == ((), None)
    assert (full.problems, full.model) == ((), "simulated/perfect")


def test_roles_and_files_choose_what_is_checked(tmp_path: Path) -> None:
    write(tmp_path, one=SOUND.format(role="one"), two=SOUND.format(role="two"))
    outside = tmp_path / "three.yaml"
    outside.write_text(SOUND.format(role="thre"), encoding="utf-8")
    chosen = check(tmp_path, "two", str(outside))
    assert [(checked.role, len(checked.problems)) for checked in chosen] == [("two", 0), ("thre", 1)]
    with pytest.raises(ConfigurationException, match=r"'tow'; did you mean 'two'|tow"):
        check(tmp_path, "tow")
    with pytest.raises(ConfigurationException, match="no such file"):
        check(tmp_path, "four.yaml")


def test_the_repositorys_agents_have_no_problem(root: Path) -> None:
    assert {checked.role: said(checked) for checked in check(root) if checked.problems} == {}


def test_lines_of_a_folded_prompt_are_the_files_own(tmp_path: Path) -> None:
    text = (
        "role: mine\ninteraction_templates:\n  default:\n    syntax: jinja\n    template: >\n      a\n      b\n"
        "      {{ question }} {{ other }}\n    inputs: [{name: question}]\n"
    )
    write(tmp_path, mine=text)
    (checked,) = check(tmp_path)
    assert [problem.line for problem in checked.problems] == [8]


def test_the_check_tells_in_text_and_in_json_and_by_its_exit_code(tmp_path: Path, capsys: Any) -> None:
    from prismenv.cli.main import build_app

    write(tmp_path, mine=SOUND.format(role="mine"), yours="role: yours\n")
    (tmp_path / "prismenv.yaml").touch()

    def run(*words: str) -> tuple[int, str]:
        whole = ["agents", *words, "--workspace", str(tmp_path)]
        with pytest.raises(SystemExit) as end:
            build_app(whole)(whole, prog_name="prismenv")
        return int(end.value.code or 0), capsys.readouterr().out

    code, out = run("check")
    assert code == 2
    assert f"{tmp_path}/agents/yours.yaml:1: interaction_templates: missing" in out
    assert "1 problem\n" in out
    code, out = run("check", "mine", "--json")
    assert code == 0
    assert '"problems": 0' in out
    code, out = run("show", "problem_solver")
    assert code == 0
    assert "template fix: (error_feedback) -> code" in out
    code, out = run("list")
    assert code == 0
    assert "broken: see" in out
