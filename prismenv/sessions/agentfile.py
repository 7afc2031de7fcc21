"""Agent files: who talks to the model, with which words, and what comes back. PrismBench's files load as they are.

A template without a `template` text (PrismBench's files have none) shows its inputs under headings; one with
`syntax: jinja` is a Jinja template, any other is filled literally. The output called `response`, or the only one, says
what is taken from the answer: by `extract`, by its schema, fields or language, or by its type; the roles in CODE_ROLES
give code unless their file says otherwise, since a fenced answer is no program. Prompts written as folded text (`>`)
keep their lines.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from prismenv.finding.complaints import KeyPath, dotted, entry
from prismenv.finding.folders import Workspace
from prismenv.finding.workspace import YAML_FILES, WorkspaceSet
from prismenv.finding.yamlfile import YamlDocument, load_yaml, validate
from prismenv.sessions.folding import folded_texts
from prismenv.sessions.jinja import PromptSyntaxError, check_names, compile_prompt, names_in
from prismenv.sessions.readers import Reader, field_reader, schema_reader
from prismenv.sessions.template import CompiledTemplate, heading, split_slots, text_of
from prismenv.sessions.values import AgentInput, AgentOutput, json_name
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel
from prismenv.words.nearness import nearest

CODE_ROLES = frozenset({"problem_fixer", "problem_solver", "test_generator"})
_SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


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
        if self.syntax == "jinja":
            if self.template is None:
                raise ValueError("syntax: jinja belongs to a template text, and there is none")
            check_names(self.template, names)
        elif self.template is not None:
            self._check_slots(self.template, names)
        return self

    @staticmethod
    def _check_slots(text: str, names: list[str]) -> None:
        slots = set(_SLOT.findall(text))
        if unused := [name for name in names if name not in slots]:
            near = nearest(unused[0], sorted(slots - set(names)))
            also = f"; it has {{{near}}}" if near else ""
            raise ValueError(f"the template has no slot {{{unused[0]}}} for the input {unused[0]!r}{also}")
        for slot in sorted(slots - set(names)):  # other braces are plain text, a slip of an input's name is not
            if near := nearest(slot, names, cutoff=0.8):
                raise ValueError(f"the slot {{{slot}}} names no input; did you mean {{{near}}}?")

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
    history_tokens: int | None = Field(
        default=None, gt=0
    )  # the longest history that is sent, as estimated; nothing: all of it
    interaction_templates: dict[str, InteractionTemplate] = Field(min_length=1)  # by name, each with inputs of its own

    @field_validator("interaction_templates")
    @classmethod
    def _templates_differ(cls, templates: dict[str, InteractionTemplate]) -> dict[str, InteractionTemplate]:
        seen: dict[frozenset[str], str] = {}
        for name, template in templates.items():
            inputs = frozenset(given.name for given in template.inputs)
            if inputs in seen:
                raise ValueError(
                    f"interaction_templates {seen[inputs]!r} and {name!r} take the same inputs, by which "
                    f"they are chosen"
                )
            seen[inputs] = name
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
    """The agent file at `path`; its stem and its `role` must agree, since it is found by either."""
    document = load_yaml(path)
    _check_prompts(document)
    agent = _with_lines(validate(AgentFile, document), folded_texts(path.read_text(encoding="utf-8-sig")))
    for name, template in agent.interaction_templates.items():
        template._place = document.where(("interaction_templates", name))  # noqa: SLF001 - of a class of this module
    if agent.role != path.stem:
        raise ConfigurationException(
            f"{path}:{document.line_of(('role',))}: role: found {agent.role!r}; expected {path.stem!r}, as the file is "
            f"called",
            subject=str(path),
            hint=f"Rename the file to {agent.role}.yaml, or correct the role.",
        )
    return agent


def _with_lines(agent: AgentFile, texts: Mapping[KeyPath, str]) -> AgentFile:
    """The agent with its folded prompts as they are written."""
    templates = {
        name: template.model_copy(update={"template": texts[path]})
        if (path := ("interaction_templates", name, "template")) in texts
        else template
        for name, template in agent.interaction_templates.items()
    }
    prompt = texts.get(("system_prompt",), agent.system_prompt)
    return agent.model_copy(update={"system_prompt": prompt, "interaction_templates": templates})


def _check_prompts(document: YamlDocument) -> None:
    """ConfigurationException with the very line where a Jinja template of the file does not compile."""
    templates = entry(document.data, "interaction_templates")
    for name in templates if isinstance(templates, Mapping) else ():
        text = entry(templates[name], "template")
        if entry(templates[name], "syntax") != "jinja" or not isinstance(text, str):
            continue
        try:
            names_in(text)
        except PromptSyntaxError as error:
            path = ("interaction_templates", name, "template")
            first = document.line_of(path)
            line = first + error.line - (0 if document.begins_block(first) else 1)
            raise ConfigurationException(
                f"{document.path}:{line}: {dotted(path)}: the prompt does not compile: {error.why}",
                code="prompt_syntax",
                subject=str(document.path),
            ) from error


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
