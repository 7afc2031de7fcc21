"""YAML text to plain JSON-like data, with the place of every value.

Theory of operation: PyYAML's safe loader gives events, which a state machine of its own makes without recursion; here
they are put together with a stack, so neither deep nesting nor aliases of aliases can exhaust the process. What comes
out is plain data: mappings with text keys as they are written (`yes:` is the key "yes"), lists, text, numbers that are
finite, booleans, None. Dates stay text. Tags of other languages' objects are errors.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import yaml

from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

MAX_DEPTH = 64
MAX_NODES = 500_000  # aliases counted as what they stand for
_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("null", "bool", "int", "float", "str")}
_HINTS = {
    "mapping values are not allowed": "A text that holds ': ' must stand in quotes.",
    "cannot start any token": "Indent with spaces, not tabs; a text that begins with @, ` or % must stand in quotes.",
    "did not find expected key": "Look at the indentation and at the quotes of this line and the one before.",
    "could not find expected ':'": "A key needs a colon and a space after it.",
    "block sequence entries are not allowed": "A list stands on lines of its own, below its key.",
    "expected the node content": "A text with special characters must stand in quotes.",
}

Path = tuple[str | int, ...]
Mark = Any  # yaml.Mark of either parser: .line and .column, both from 0


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, which leaves dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name and shape
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TAG + "timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(slots=True)
class _Open:
    """A collection that is being filled. `key` is the mapping key whose value comes next, None when a key is due."""

    value: Any
    path: Path
    anchor: str | None
    mark: Mark
    nodes: int = 1
    key: str | None = None
    merging: bool = False
    own: set[str] = field(default_factory=set)
    merged: list[dict[str, Any]] = field(default_factory=list)


class _Builder:
    """Puts events together. `lines` maps the path of a value to its line, counted from 1."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path, int] = {}
        self.result: Any = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._total = 0

    def take(self, loader: Any, event: Any) -> None:
        """Add one event."""
        if isinstance(event, yaml.ScalarEvent):
            if self._key_due():
                self._begin_entry(event)
            else:
                self._count(1, event.start_mark)
                self._value(self._scalar(loader, event), 1, event.anchor, event.start_mark)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()

    def _key_due(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _begin_entry(self, event: Any) -> None:
        top = self._stack[-1]
        plain = event.style is None or event.style == ""
        top.merging = plain and event.value == "<<"
        top.key = event.value
        if top.merging:
            return
        if event.tag not in (None, "!", _TAG + "str"):
            raise self.error(event.start_mark, f"a key has the tag {event.tag!r}; keys are plain text", "bad_tag")
        path = (*top.path, event.value)
        if event.value in top.own:
            raise self.error(
                event.start_mark,
                f"the key {event.value!r} stands twice, first in line {self.lines[path]}; keep one of them",
                "duplicate_key",
            )
        top.own.add(event.value)
        self.lines[path] = event.start_mark.line + 1
        if event.anchor:
            self._anchors[event.anchor] = (event.value, 1)

    def _open(self, event: Any) -> None:
        if self._key_due():
            raise self.error(event.start_mark, "a key must be plain text; quote it if it begins with [ or {", "bad_key")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            raise self._bad_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            raise self.error(event.start_mark, f"nested more than {MAX_DEPTH} levels deep", "too_deep")
        self._count(1, event.start_mark)
        path = self._path()
        self.lines.setdefault(path, event.start_mark.line + 1)
        self._stack.append(_Open({} if mapping else [], path, event.anchor, event.start_mark))

    def _close(self) -> None:
        done = self._stack.pop()
        for merged in done.merged:
            for key, value in merged.items():
                done.value.setdefault(key, value)
        self._value(done.value, done.nodes, done.anchor, done.mark)

    def _alias(self, event: Any) -> None:
        if self._key_due():
            raise self.error(event.start_mark, "a key must be plain text, not an alias", "bad_key")
        if event.anchor not in self._anchors:
            meant = did_you_mean(event.anchor, self._anchors)
            raise self.error(
                event.start_mark,
                f"the alias *{event.anchor} stands for no finished anchor before it{meant}",
                "bad_alias",
            )
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, event.start_mark)
        self._value(value, nodes, None, event.start_mark)

    def _value(self, value: Any, nodes: int, anchor: str | None, mark: Mark) -> None:
        if anchor:
            self._anchors[anchor] = (value, nodes)
        path = self._path()
        self.lines.setdefault(path, mark.line + 1)
        if not self._stack:
            self.result = value
            return
        top = self._stack[-1]
        top.nodes += nodes
        if isinstance(top.value, list):
            top.value.append(value)
        else:
            self._put(top, value, mark)

    def _put(self, top: _Open, value: Any, mark: Mark) -> None:
        if top.merging:
            parts = value if isinstance(value, list) else [value]
            if not all(isinstance(part, dict) for part in parts):
                raise self.error(mark, "'<<' merges mappings; found something else", "bad_merge")
            top.merged.extend(parts)
        else:
            top.value[top.key] = value
        top.key, top.merging = None, False

    def _count(self, nodes: int, mark: Mark) -> None:
        self._total += nodes
        if self._total > MAX_NODES:
            raise self.error(mark, f"more than {MAX_NODES} values, aliases counted in full", "too_large")

    def _path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.path, len(top.value) if isinstance(top.value, list) else str(top.key))

    def _scalar(self, loader: Any, event: Any) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag == _TAG + "merge":
            tag = _TAG + "str"
        if tag not in _SCALARS:
            raise self._bad_tag(event)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            value = loader.construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError) as error:
            kind = tag.removeprefix(_TAG)
            raise self.error(event.start_mark, f"{event.value[:60]!r} is no {kind} ({error})", "bad_value") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(event.start_mark, f"{event.value!r} is no finite number", "bad_value")
        return value

    def _bad_tag(self, event: Any) -> ConfigurationException:
        return self.error(
            event.start_mark, f"the tag {event.tag!r} is not allowed; configuration is plain data", "bad_tag"
        )

    def error(self, mark: Mark, what: str, code: str) -> ConfigurationException:
        """What is wrong at `mark`, as an exception."""
        return ConfigurationException(
            f"{self.source}:{mark.line + 1}:{mark.column + 1}: {what}", code=code, subject=self.source
        )


def parse_yaml(text: str, source: str) -> tuple[Any, dict[Path, int]]:
    """The data of one YAML document and the line of every value, counted from 1. Empty text gives None.

    `source` is how messages call the text. Raises ConfigurationException that names it, the line and the column.
    """
    builder = _Builder(source)
    try:
        text.encode()
        loader = _Loader(text)
        try:
            _read_document(loader, builder)
        finally:
            loader.dispose()
    except UnicodeEncodeError as error:
        raise ConfigurationException(
            f"{source}: not valid text: {error.reason} at character {error.start}", code="yaml_syntax", subject=source
        ) from error
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, source) from error
    return builder.result, builder.lines


def _read_document(loader: Any, builder: _Builder) -> None:
    documents = 0
    while loader.check_event():
        event = loader.get_event()
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise builder.error(event.start_mark, "a second document begins; one file holds one", "two_documents")
        builder.take(loader, event)


def _syntax_error(error: yaml.YAMLError, text: str, source: str) -> ConfigurationException:
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark) is not None:
        line, column = mark.line, mark.column
        problem = ", ".join(part for part in (error.context, error.problem) if part)
    else:  # the reader's: a character that no YAML may hold
        position = min(getattr(error, "position", 0) or 0, len(text))
        line = text.count("\n", 0, position)
        column = position - (text.rfind("\n", 0, position) + 1)
        problem = str(getattr(error, "reason", error))
    lines = text.splitlines()
    found = lines[line] if line < len(lines) else ""
    words = "cannot start any token" if "\t" in found else problem
    hint = next((hint for known, hint in _HINTS.items() if known in words), None)
    near = f" near {found.strip()[:80]!r}" if found.strip() else ""
    return ConfigurationException(
        f"{source}:{line + 1}:{column + 1}: not valid YAML: {problem}{near}",
        code="yaml_syntax",
        subject=source,
        hint=hint,
    )
