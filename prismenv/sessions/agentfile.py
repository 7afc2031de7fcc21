"""Agent files: who talks to the model, with which words, and what comes back. PrismBench's files load as they are.

A template without a `template` text (PrismBench's files have none) shows its inputs under headings; one with
`syntax: jinja` is a Jinja template, any other is filled literally. The output called `response`, or the only one, says
what is taken from the answer: by `extract`, by its schema, fields or language, or by its type; the roles in CODE_ROLES
give code unless their file says otherwise, since a fenced answer is no program. Prompts written as folded text (`>`)
keep their lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from prismenv.finding.complaints import MOST_SHOWN, KeyPath, complaints, dotted, entry
from prismenv.finding.folders import Workspace
from prismenv.finding.workspace import YAML_FILES, WorkspaceSet
from prismenv.finding.yamlfile import YamlDocument, load_yaml
from prismenv.sessions.folding import folded_texts
from prismenv.sessions.jinja import compile_prompt
from prismenv.sessions.promptfaults import PromptFaults, check_prompt, prompt_faults
from prismenv.sessions.readers import Reader, field_reader, schema_reader
from prismenv.sessions.template import CompiledTemplate, heading, split_slots, text_of
from prismenv.sessions.values import AgentInput, AgentOutput, json_name
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel
from prismenv.words.nearness import nearest

CODE_ROLES = frozenset({"problem_fixer", "problem_solver", "test_generator"})
TEMPLATES = "interaction_templates"


class InteractionTemplate(FrozenModel):
    """One way of asking. `template` None shows the inputs under headings."""

    template: str | None = None  # the prompt, with a slot `{name}` for each input
    syntax: Literal["slots", "jinja"] = "slots"  # jinja: the prompt is a Jinja template, with `{{ name }}`
    inputs: tuple[AgentInput, ...] = ()  # by which it is chosen
    outputs: tuple[AgentOutput, ...] = ()  # what the answer is
    _place: str = PrivateAttr(default="")  # FILE:LINE, empty where it was read from no file

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        names = [given.name for given in self.inputs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"inputs named twice: {', '.join(twice)}")
        if len(self.outputs) > 1 and "response" not in [output.name for output in self.outputs]:
            raise ValueError("with several outputs one must be called response: it is the answer")
        if self.template is None:
            if self.syntax == "jinja":
                raise ValueError("syntax: jinja belongs to a template text, and there is none")
        else:
            check_prompt(self.template, names, jinja=self.syntax == "jinja")
        return self

    @property
    def response(self) -> AgentOutput:
        """The output that is the answer."""
        named = [output for output in self.outputs if output.name == "response"]
        return (named or [*self.outputs, AgentOutput(name="response")])[0]


class AgentFile(FrozenModel):
    """One agent. `model_name`, `model_provider` and `api_base` None leave the model to the recipe."""

    role: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")  # as the file is called
    model_name: str | None = None  # the provider's name of the model
    model_provider: str | None = None  # a provider's name
    api_base: str | None = None  # the provider's address
    model_params: dict[str, Any] = Field(default_factory=dict)  # such as temperature and max_tokens
    system_prompt: str = ""  # told first in every session
    history_tokens: int | None = Field(default=None, gt=0)  # the longest history sent, as estimated; None: all of it
    interaction_templates: dict[str, InteractionTemplate] = Field(min_length=1)  # by name, each with inputs of its own

    @field_validator("interaction_templates")
    @classmethod
    def _templates_differ(cls, templates: dict[str, InteractionTemplate]) -> dict[str, InteractionTemplate]:
        inputs = {name: [given.name for given in template.inputs] for name, template in templates.items()}
        if clashes := list(_same_inputs(inputs)):
            raise ValueError("; ".join(what for _, what in clashes))
        return templates

    def compiled(self) -> tuple[CompiledTemplate, ...]:
        """The templates as they are used, in the file's order."""
        return tuple(self._compile(name, template) for name, template in self.interaction_templates.items())

    def _compile(self, name: str, template: InteractionTemplate) -> CompiledTemplate:
        inputs = tuple(given.name for given in template.inputs)
        response = template.response
        reader = _reader(response)
        text = _shown(template, reader) if template.template is None else template.template
        extraction, json_type = response.extraction(code=self.role in CODE_ROLES)
        return CompiledTemplate(
            name=name,
            inputs=inputs,
            names=frozenset(inputs),
            pieces=split_slots(text, inputs),
            lists=frozenset(given.name for given in template.inputs if json_name(given.type) == "array"),
            extraction=extraction,
            json_type=json_type,
            language=response.language or "python",
            reader=reader,
            program=compile_prompt(text, text_of) if template.syntax == "jinja" else None,
            place=template._place,  # noqa: SLF001 - of a class of this module
        )


class AgentFiles(dict[str, AgentFile]):
    """Agents by role. `broken` holds what is wrong with the files that could not be read: they hide no other."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, ConfigurationException] = {}


def unknown_role(role: str, agents: dict[str, AgentFile] | Any) -> ConfigurationException:
    """What to say of a role that no agent file has; the reason of its own file where that one is broken."""
    broken: dict[str, ConfigurationException] = getattr(agents, "broken", {})
    if role in broken:
        return broken[role]
    near = nearest(role, agents)
    return ConfigurationException(
        f"no agent file for the role {role!r}; there are: {', '.join(sorted(agents)) or 'none'}",
        code="unknown_role",
        subject=role,
        hint=f"Did you mean {near}?" if near else f"Write agents/{role}.yaml in your workspace.",
    )


def load_agents(workspaces: WorkspaceSet) -> AgentFiles:
    """All agents of the workspaces, by role. A user's file stands before a built-in one of the same name.

    A file that is wrong is kept in `.broken` under its stem, also where it stands before a sound one: it is what the
    user meant. So are two files of one workspace that are called alike (`.yaml` and `.yml`).
    """
    found = AgentFiles()
    first: dict[str, tuple[Workspace, Path]] = {}
    for workspace, path in workspaces.files("agents", YAML_FILES):
        before = first.setdefault(path.stem, (workspace, path))
        if before[1] is not path:
            if before[0] is workspace:
                found.pop(path.stem, None)
                found.broken[path.stem] = _defined_twice(path.stem, before[1], path)
            continue
        try:
            found[path.stem] = read_agent(path)
        except ConfigurationException as error:
            found.broken[path.stem] = error
    return found


def _defined_twice(role: str, first: Path, second: Path) -> ConfigurationException:
    """What to say of two files of one workspace for the same role."""
    return ConfigurationException(
        f"{second}:1: the role {role!r} is defined by {first} already",
        code="role_defined_twice",
        subject=role,
        hint="Keep one of the two files.",
    )


def read_agent(path: Path) -> AgentFile:
    """The agent file at `path`; its stem and its `role` must agree, since it is found by either.

    Raises ConfigurationException that names all that is wrong, each with its line.
    """
    document = load_yaml(path)
    agent, problems = examine(document)
    if agent is not None and not problems:
        return agent
    lines = [problem.said_of(path) for problem in problems]
    if len(lines) > MOST_SHOWN:
        lines[MOST_SHOWN:] = [f"and {len(lines) - MOST_SHOWN} more"]
    raise ConfigurationException("\n".join(lines), subject=str(path), hint=problems[0].hint)


@dataclass(frozen=True, slots=True)
class AgentProblem:
    """One thing that is wrong with an agent file. `key` is the key path as people write it, empty: the file itself."""

    line: int
    key: str
    what: str
    hint: str | None = None

    def said_of(self, path: Path) -> str:
        """`FILE:LINE: key: what`."""
        return f"{path}:{self.line}: {self.key or 'the document'}: {self.what}"


def examine(document: YamlDocument) -> tuple[AgentFile | None, tuple[AgentProblem, ...]]:
    """The agent of a file and all that is wrong with it, by line. None where it cannot be used at all."""
    source = document.path.read_text(encoding="utf-8-sig")
    data = _with_lines(document.data, folded_texts(source))
    agent: AgentFile | None = None
    problems: list[AgentProblem] = []
    try:
        agent = AgentFile.model_validate(data)
    except ValidationError as error:
        problems += _invalid(document, error, data)
    else:
        for name, template in agent.interaction_templates.items():
            template._place = document.where(("interaction_templates", name))  # noqa: SLF001 - a class of this module
    role = entry(data, "role")
    if isinstance(role, str) and role != document.path.stem:
        what = f"found {role!r}; expected {document.path.stem!r}, as the file is called"
        hint = f"Rename the file to {role}.yaml, or correct the role."
        problems.append(AgentProblem(document.line_of(("role",)), "role", what, hint))
    return agent, tuple(sorted(problems, key=lambda problem: problem.line))


def _invalid(document: YamlDocument, error: ValidationError, data: Any) -> Iterator[AgentProblem]:
    """What the model has against the data, and what it did not come to look at for that: prompts and clashes."""
    looked_at_below = {
        tuple(item["loc"])
        for item in error.errors(include_url=False)
        if isinstance(item.get("ctx", {}).get("error"), PromptFaults)
    }
    inputs = dict(_inputs_of(data))
    clashes = list(_same_inputs(inputs))
    for path, what in complaints(error, AgentFile, data):
        if path not in looked_at_below and not (clashes and path == (TEMPLATES,)):
            yield AgentProblem(document.line_of(path), dotted(path), what)
    for name, names in inputs.items():
        at, template = (TEMPLATES, name, "template"), data[TEMPLATES][name]
        text, syntax = entry(template, "template"), entry(template, "syntax")
        for fault in prompt_faults(text, names, jinja=syntax == "jinja") if isinstance(text, str) else ():
            yield AgentProblem(_line_in_text(document, at, fault.line), dotted(at), fault.what)
    for name, what in clashes:
        yield AgentProblem(document.line_of((TEMPLATES, name)), dotted((TEMPLATES, name)), what)


def _line_in_text(document: YamlDocument, path: KeyPath, line: int | None) -> int:
    first = document.line_of(path)
    if line is None:
        return first
    return first + line - (0 if document.begins_block(first) else 1)


def _inputs_of(data: Any) -> Iterator[tuple[str, list[str]]]:
    """The names of the inputs of raw data's templates, of those that have names at all."""
    templates = entry(data, TEMPLATES)
    for name, template in templates.items() if isinstance(templates, Mapping) else ():
        inputs = entry(template, "inputs")
        names = [entry(given, "name") for given in inputs] if isinstance(inputs, list) else []
        if all(isinstance(given, str) for given in names):
            yield name, [str(given) for given in names]


def _same_inputs(templates: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Each template whose inputs are those of one before it, with what to say of that."""
    seen: dict[frozenset[str], str] = {}
    for name, inputs in templates.items():
        first = seen.setdefault(frozenset(inputs), name)
        if first != name:
            yield (
                name,
                f"{TEMPLATES} {first!r} and {name!r} take the same inputs, by which they are chosen",
            )


def _with_lines(data: Any, texts: Mapping[KeyPath, str]) -> Any:
    """The data with its folded prompts as they are written."""
    if not texts or not isinstance(data, Mapping):
        return data
    templates = entry(data, TEMPLATES)
    if isinstance(templates, Mapping):
        templates = {
            name: {**template, "template": texts[path]}
            if (path := (TEMPLATES, name, "template")) in texts
            else template
            for name, template in templates.items()
        }
        data = {**data, TEMPLATES: templates}
    return {**data, "system_prompt": texts[("system_prompt",)]} if ("system_prompt",) in texts else data


def _reader(output: AgentOutput) -> Reader | None:
    if output.fields is not None:
        return field_reader(output.fields)
    return schema_reader(output.json_schema) if output.json_schema is not None else None


def _shown(template: InteractionTemplate, reader: Reader | None) -> str:
    """The text of a template that has none: inputs under headings, then what the answer is to be."""
    parts = [f"## {heading(given.name)}\n{{{given.name}}}" for given in template.inputs]
    described = template.response.description.strip() if template.outputs else ""
    form = reader.form if reader else ""
    if answer := "\n\n".join(part for part in (described, form) if part):
        parts.append(f"## Answer\n{answer}")
    return "\n\n".join(parts)
