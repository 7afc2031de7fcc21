"""A compiled interaction template: which inputs it takes, how they become a prompt, what the answer is.

Compiled once for each agent file, so that a question costs a join of strings. Slots are filled literally and once:
braces in a value mean nothing, whatever a model wrote into it. The same holds for a Jinja template: values are never
compiled.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prismenv.sessions.jinja import Program
from prismenv.sessions.readers import Reader
from prismenv.sessions.values import Extraction
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import nearest


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """One template of an agent.

    `pieces` alternates literal text and the name of an input, beginning and ending with text. `lists` are the inputs
    declared as lists. `json_type` is the declared JSON type of the answer, None: any, or `extraction` is not `json`.
    `place` is `FILE:LINE` of the template, empty for one that is from no file. `language` is that of code. `reader` is
    there for answers that must have a form, `program` for a Jinja template, which then stands for the pieces.
    """

    name: str
    inputs: tuple[str, ...]
    names: frozenset[str]
    pieces: tuple[str, ...]
    lists: frozenset[str]
    extraction: Extraction
    json_type: str | None = None
    place: str = ""
    language: str = "python"
    reader: Reader | None = None
    program: Program | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Inputs fitted to a template. `appended` names the inputs that had no slot and went into the last text input."""

    template: CompiledTemplate
    inputs: Mapping[str, Any]
    appended: tuple[str, ...] = ()


def split_slots(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """`text` cut at every `{name}` of a known name: literal, name, literal, ..., literal."""
    known = "|".join(sorted((re.escape(name) for name in names), key=len, reverse=True))
    return tuple(re.split(r"\{(" + known + r")\}", text)) if known else (text,)


def fit(role: str, templates: Sequence[CompiledTemplate], given: Mapping[str, Any]) -> Question:
    """The template for the given inputs: the one with equal names, else the one that takes most of them.

    What is left over is appended to the last text input under a heading. Raises ConfigurationException, naming the
    nearest templates, when no template can be filled.
    """
    names = given.keys()
    for template in templates:
        if template.names == names:
            return Question(template, _listed(template, given))
    fitting = [template for template in templates if template.names < names]
    if not fitting:
        raise _no_template(role, templates, given)
    template = max(fitting, key=lambda candidate: len(candidate.names))  # the first of equals
    left = tuple(name for name in given if name not in template.names)
    last = next((name for name in reversed(template.inputs) if isinstance(given[name], str)), None)
    if last is None:
        raise ConfigurationException(
            f"{role}: template {template.name!r} has no text input to which {', '.join(left)} could be appended",
            subject=role,
            hint=f"Give the agent file a template with the inputs {', '.join(given)}.",
        )
    kept = {name: given[name] for name in template.inputs}
    kept[last] = "\n\n".join([given[last], *(f"## {heading(name)}\n{text_of(given[name])}" for name in left)])
    return Question(template, _listed(template, kept), left)


def require_fit(role: str, templates: Sequence[CompiledTemplate], names: Sequence[str]) -> None:
    """ConfigurationException where inputs of these names would find no template."""
    fit(role, templates, dict.fromkeys(names, ""))


def render(question: Question) -> str:
    """The prompt: every slot filled with the text of its input.

    ConfigurationException (`template_failed`) where a Jinja template cannot be filled with these inputs.
    """
    template, inputs = question.template, question.inputs
    if template.program is not None:
        return template.program(inputs)
    pieces = template.pieces
    return "".join([text_of(inputs[piece]) if index % 2 else piece for index, piece in enumerate(pieces)])


def heading(name: str) -> str:
    """An input's name as people write it."""
    return name.replace("_", " ").strip().capitalize()


def text_of(value: Any) -> str:
    """A value as a prompt shows it: text as it is, lists of text readably, anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "(none)"
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        if not value:
            return "(none)"
        if any("\n" in item for item in value):
            return "\n\n".join(f"{number}.\n{item}" for number, item in enumerate(value, start=1))
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _listed(template: CompiledTemplate, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """A single text given for a list is a list of one: `concept` may be either."""
    single = [name for name in template.lists if isinstance(inputs[name], str)]
    return {**inputs, **{name: [inputs[name]] for name in single}} if single else inputs


def _no_template(role: str, templates: Sequence[CompiledTemplate], given: Mapping[str, Any]) -> ConfigurationException:
    wanted = f"takes the inputs {', '.join(given)}" if given else "goes without inputs, and none was given"

    def distance(template: CompiledTemplate) -> int:
        return len(template.names ^ given.keys())

    closest = sorted(templates, key=distance)[:3]
    shown = "; ".join(f"{template.name}({', '.join(template.inputs)})" for template in closest)
    missing = sorted(closest[0].names - given.keys()) if closest else []
    slips = [
        f"{name} for {near}"
        for name in missing
        if (near := nearest(name, [key for key in given if key not in closest[0].names]))
    ]
    hint = f"Did you mean {', '.join(slips)}?" if slips else None
    place = closest[0].place if closest else ""
    error = ConfigurationException(
        f"{place + ': ' if place else ''}{role}: no template {wanted}; nearest: {shown or 'none'}",
        code="no_template",
        subject=role,
        hint=hint,
    )
    error.place = place
    return error
