"""Prompts that a file writes as folded text (`>`), with the lines that their author sees.

YAML joins the lines of folded text, which turns the lists and the code of a prompt into one paragraph; PrismBench's
files are written that way. What is shown to a model keeps its lines.
"""

import re
from collections.abc import Iterator

import yaml

from prismenv.finding.complaints import KeyPath

_FOLDED = re.compile(r":[ \t]+>[+-]?[ \t]*(#.*)?$", re.MULTILINE)
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def folded_texts(source: str) -> dict[KeyPath, str]:
    """The folded texts of a YAML file that was found sound, by key path, each with its own lines."""
    if not _FOLDED.search(source):
        return {}
    root = yaml.compose(source, Loader=_Loader)
    lines = source.splitlines()
    return {path: _lines_of(node, lines) for path, node in _scalars(root, ()) if node.style == ">"}


def _scalars(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, yaml.ScalarNode]]:
    if isinstance(node, yaml.ScalarNode):
        yield path, node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield from _scalars(value, (*path, key.value))


def _lines_of(node: yaml.ScalarNode, lines: list[str]) -> str:
    """The block below the line of the sign `>`, as deep as its first line."""
    first = node.start_mark.line + 1
    block: list[str] = []
    indent = -1
    for line in lines[first:]:
        text = line.lstrip(" ")
        if text and indent < 0:
            indent = len(line) - len(text)
        if text and len(line) - len(text) < indent:
            break
        block.append(line[indent:] if text else "")
    ends = "\n" if node.value.endswith("\n") else ""
    return "\n".join(block).strip("\n") + ends
