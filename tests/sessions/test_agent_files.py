"""Agent files load, PrismBench's as they are written, and say where they are wrong."""

import unittest
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv.answers.suites import stubs_for
from prismenv.finding.folders import Workspace
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.agentfile import AgentFile, load_agents, read_agent, unknown_role
from prismenv.sessions.values import json_name
from prismenv.words.errors import ConfigurationException

# Written by us in PrismBench's manner: no template texts, types of Python, a folded prompt with lists and code in it.
IN_PRISMBENCHS_MANNER = """\
role: test_generator

model_name: some/model-20b
model_provider: openrouter
api_base: https://models.example/api/v1
model_params:
  temperature: 0.8
  max_tokens: 5120
  reasoning: {effort: low}

interaction_templates:
  default:
    inputs:
      - name: problem_statement
        type: str
        description: The statement to write tests for.
      - name: hints
        type: list[str]
        description: What to look at.
    outputs:
      - name: response
        type: str
        description: The tests in python code without ```python tags.

system_prompt: >
  You write tests. They cover:
  - ordinary inputs
  - edges

  For example:

  class TestSum(unittest.TestCase):
      def test_two(self):
          self.assertEqual(function_to_test({1, 2}), 3)
"""
PROMPT = """\
You write tests. They cover:
- ordinary inputs
- edges

For example:

class TestSum(unittest.TestCase):
    def test_two(self):
        self.assertEqual(function_to_test({1, 2}), 3)
"""
ROLES = {  # role to the input names of its templates, as the protocol has them
    "challenge_designer": {("concepts", "difficulty_level")},
    "challenge_designer_advanced": {("concepts", "difficulty_level", "previous_problems")},
    "test_generator": {("problem_statement",)},
    "problem_solver": {("problem_statement",), ("error_feedback",)},
    "problem_fixer": {("problem_statement", "test_cases", "current_solution", "error_output")},
    "test_validator": {("problem_statement", "test_cases")},
    "test_error_analyzer": {("test_output", "code_under_test")},
    "solution_pattern_analyzer": {("problem_description", "solution_code")},
}
MINIMAL: dict[str, Any] = {"role": "mine", "interaction_templates": {"default": {"inputs": [{"name": "question"}]}}}


def workspaces(*roots: Path) -> WorkspaceSet:
    members = tuple(Workspace(root, f"workspace {number}") for number, root in enumerate(roots))
    return WorkspaceSet(members, user=members[0], project_folder=roots[0])


def write(folder: Path, stem: str, content: str | dict[str, Any]) -> Path:
    path = folder / "agents" / f"{stem}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def with_template(**template: Any) -> dict[str, Any]:
    return {**MINIMAL, "interaction_templates": {"default": template}}


def test_a_file_in_prismbenchs_manner_loads_unchanged(tmp_path: Path) -> None:
    agent = read_agent(write(tmp_path, "test_generator", IN_PRISMBENCHS_MANNER))
    assert (agent.model_provider, agent.model_name) == ("openrouter", "some/model-20b")
    assert agent.api_base == "https://models.example/api/v1"
    assert agent.model_params == {"temperature": 0.8, "max_tokens": 5120, "reasoning": {"effort": "low"}}
    (template,) = agent.compiled()
    assert template.inputs == ("problem_statement", "hints")
    assert template.lists == {"hints"}
    assert template.extraction == "code"  # by its role: the file's own word for the type is str


def test_folded_prompts_keep_their_lines(tmp_path: Path) -> None:
    assert read_agent(write(tmp_path, "test_generator", IN_PRISMBENCHS_MANNER)).system_prompt == PROMPT
    stripped = IN_PRISMBENCHS_MANNER.replace("system_prompt: >", "system_prompt: >- # folded")
    assert read_agent(write(tmp_path, "test_generator", stripped)).system_prompt == PROMPT.rstrip("\n")


def test_the_repository_has_all_roles_with_the_inputs_of_the_protocol(root: Path) -> None:
    agents = load_agents(workspaces(root))
    assert not agents.broken
    for role, inputs in ROLES.items():
        found = {template.inputs for template in agents[role].compiled()}
        assert inputs <= found, role
        assert agents[role].system_prompt.strip()


def test_the_repositorys_roles_leave_the_model_to_the_recipe(root: Path) -> None:
    agents = load_agents(workspaces(root))
    assert all(agent.model_name is None and agent.model_provider is None for agent in agents.values())


def test_roles_that_write_programs_give_code_in_the_repository(root: Path) -> None:
    agents = load_agents(workspaces(root))
    pythons = {role: [t for t in agent.compiled() if "language" not in t.inputs] for role, agent in agents.items()}
    writing = {role for role, templates in pythons.items() if all(t.extraction == "code" for t in templates)}
    assert writing == {"problem_fixer", "problem_solver", "test_generator"}


def test_the_test_generator_is_asked_for_what_a_checked_suite_needs(root: Path) -> None:
    prompt = " ".join(load_agents(workspaces(root))["test_generator"].system_prompt.split())
    for demand in ("`unittest`", "at least six test methods", "wrong input", "neither import the solution"):
        assert demand in prompt
    assert "agrees with everything" in prompt
    (agreeing,) = (stub.program for stub in stubs_for("double(2)") if "agrees with everything" in stub.does)
    own: dict[str, Any] = {}
    exec(agreeing, own)  # a program of ours
    result, case = own["double"](2), unittest.TestCase()
    passing: dict[str, tuple[Any, ...]] = {"assertEqual": (4,), "assertNotEqual": (5,), "assertTrue": ()}
    failing: dict[str, tuple[Any, ...]] = {"assertIsInstance": (list,), "assertFalse": ()}
    for name, arguments in passing.items():
        assert f"`{name}`" in prompt
        getattr(case, name)(result, *arguments)
    for name, arguments in failing.items():
        assert f"`{name}(result" in prompt
        with pytest.raises(AssertionError):
            getattr(case, name)(result, *arguments)


def test_a_users_file_stands_before_a_built_in_one(tmp_path: Path) -> None:
    write(tmp_path / "user", "mine", {**MINIMAL, "system_prompt": "the user's"})
    write(tmp_path / "built-in", "mine", {**MINIMAL, "system_prompt": "built in"})
    write(tmp_path / "built-in", "other", {**MINIMAL, "role": "other"})
    agents = load_agents(workspaces(tmp_path / "user", tmp_path / "built-in"))
    assert sorted(agents) == ["mine", "other"]
    assert agents["mine"].system_prompt == "the user's"


def test_a_broken_file_hides_no_other_and_is_not_replaced_by_a_built_in_one(tmp_path: Path) -> None:
    write(tmp_path / "user", "mine", {**MINIMAL, "rolle": "mine"})
    write(tmp_path / "built-in", "mine", MINIMAL)
    write(tmp_path / "built-in", "other", {**MINIMAL, "role": "other"})
    agents = load_agents(workspaces(tmp_path / "user", tmp_path / "built-in"))
    assert sorted(agents) == ["other"]
    assert "rolle" in str(agents.broken["mine"])
    assert unknown_role("mine", agents) is agents.broken["mine"]


def test_a_file_must_be_called_as_its_role(tmp_path: Path) -> None:
    path = write(tmp_path, "yours", MINIMAL)
    with pytest.raises(ConfigurationException, match=r"yours\.yaml:\d+: role: found 'mine'; expected 'yours'"):
        read_agent(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"role": "mine"}, "interaction_templates"),
        ({**MINIMAL, "interaction_templates": {}}, "interaction_templates"),
        ({**MINIMAL, "interaction_templates": [{"name": "basic"}]}, "interaction_templates"),
        ({**MINIMAL, "sytem_prompt": "x"}, "system_prompt"),
        ({**MINIMAL, "model_params": "hot"}, "model_params"),
        (with_template(inputs=[{"name": "a", "type": "strng"}]), "string"),
        (with_template(inputs=[{"name": "a", "type": "__import__('os').system('x')"}]), "names no type"),
        (with_template(inputs=[{"name": "a b"}]), "is no name"),
        (with_template(inputs=[{"name": "a"}, {"name": "a"}]), "named twice: a"),
        (with_template(template="no slot", inputs=[{"name": "question"}]), "no slot {question}"),
        (with_template(template="{question} {qestion}", inputs=[{"name": "question"}]), "did you mean {question}"),
        (with_template(inputs=[{"name": "a"}], outputs=[{"name": "x"}, {"name": "y"}]), "called response"),
        (with_template(inputs=[{"name": "a"}], outputs=[{"name": "x", "extract": "jason"}]), "extract"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    path = write(tmp_path, "mine", content)
    with pytest.raises(ConfigurationException) as caught:
        read_agent(path)
    assert f"{path}:" in str(caught.value)
    assert says in str(caught.value)


def test_two_templates_with_the_same_inputs_cannot_be_told_apart(tmp_path: Path) -> None:
    same = {"inputs": [{"name": "a"}, {"name": "b"}]}, {"inputs": [{"name": "b"}, {"name": "a"}]}
    path = write(tmp_path, "mine", {**MINIMAL, "interaction_templates": dict(zip(("one", "two"), same, strict=True))})
    with pytest.raises(ConfigurationException, match="same inputs"):
        read_agent(path)


def test_braces_that_name_nothing_are_plain_text(tmp_path: Path) -> None:
    template = with_template(template='{question} as {"key": {value}} {}', inputs=[{"name": "question"}])
    (compiled,) = read_agent(write(tmp_path, "mine", template)).compiled()
    assert compiled.pieces == ("", "question", ' as {"key": {value}} {}')


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ("str", "string"),
        ("list", "array"),
        ("List[str]", "array"),
        ("dict[str, list[int]]", "object"),
        ("code", "code"),
        ("boolean", "boolean"),
        ("None", "null"),
    ],
)
def test_types_are_names_of_json_types(declared: str, name: str) -> None:
    assert json_name(declared) == name


def test_what_is_taken_from_an_answer_follows_from_extract_type_and_role() -> None:
    def extraction(role: str, **output: str) -> tuple[str, str | None]:
        template = {"inputs": [{"name": "a"}], "outputs": [{"name": "response", **output}]}
        (compiled,) = AgentFile.model_validate({"role": role, "interaction_templates": {"d": template}}).compiled()
        return compiled.extraction, compiled.json_type

    assert extraction("mine", type="str") == ("text", None)
    assert extraction("mine", type="code") == ("code", None)
    assert extraction("mine", type="str", extract="code") == ("code", None)
    assert extraction("mine", type="list[str]") == ("json", "array")
    assert extraction("problem_solver", type="str") == ("code", None)
    assert extraction("problem_solver", type="str", extract="text") == ("text", None)
