"""What is wrong with the text of a template, all of it and not only the first, each with its line within the text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prismenv.sessions.jinja import PromptSyntaxError, free_names, known_names
from prismenv.words.nearness import nearest

_SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class PromptFault:
    """One fault. `line` counts from 1 within the template's text; None: it is in no line, something is missing."""

    what: str
    line: int | None = None


class PromptFaults(ValueError):
    """All that is wrong with the text of a template."""

    def __init__(self, faults: Sequence[PromptFault]) -> None:
        super().__init__("; ".join(fault.what for fault in faults))
        self.faults = tuple(faults)


def check_prompt(text: str, inputs: Sequence[str], *, jinja: bool) -> None:
    """PromptFaults where anything is wrong with the text."""
    if found := list(prompt_faults(text, inputs, jinja=jinja)):
        raise PromptFaults(found)


def prompt_faults(text: str, inputs: Sequence[str], *, jinja: bool) -> Iterator[PromptFault]:
    """What is wrong with the text of a template with these inputs.

    A Jinja template must compile, and read all inputs and nothing else. Any other must have a slot for each input; a
    slot that nearly has an input's name is a slip, other braces are plain text.
    """
    return _jinja_faults(text, inputs) if jinja else _slot_faults(text, inputs)


def _slot_faults(text: str, inputs: Sequence[str]) -> Iterator[PromptFault]:
    first: dict[str, int] = {}
    for match in _SLOT.finditer(text):
        first.setdefault(match[1], text.count("\n", 0, match.start()) + 1)
    others = sorted(first.keys() - set(inputs))
    for name in inputs:
        if name not in first:
            near = nearest(name, others)
            also = f"; it has {{{near}}}" if near else ""
            yield PromptFault(f"the template has no slot {{{name}}} for the input {name!r}{also}")
    for slot in others:
        if near := nearest(slot, list(inputs), cutoff=0.8):
            yield PromptFault(f"the slot {{{slot}}} names no input; did you mean {{{near}}}?", first[slot])


def _jinja_faults(text: str, inputs: Sequence[str]) -> Iterator[PromptFault]:
    try:
        read = free_names(text)
    except PromptSyntaxError as error:
        yield PromptFault(f"the prompt does not compile: {error.why}", error.line)
        return
    for name, line in sorted(read.items()):
        if name not in inputs and name not in known_names():
            near = nearest(name, list(inputs))
            also = f"; did you mean {near}?" if near else ""
            yield PromptFault(f"the template reads {name}, which is no input{also}", line)
    for name in inputs:
        if name not in read:
            yield PromptFault(f"the template does not read the input {name}")
