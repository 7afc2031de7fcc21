"""Configuration files: read once, checked against a model, with errors that name file, line and key path."""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from prismenv.finding.complaints import ABSENT, KeyPath, Label, describe, entry, labelled
from prismenv.finding.yamltext import parse_yaml
from prismenv.words.errors import ConfigurationException

MAX_BYTES = 10_000_000
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?[ \t]*(#.*)?$")
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A file that was read. `data` is plain data, None for an empty file; `lines` says where each value stands."""

    path: Path
    data: Any
    lines: Mapping[KeyPath, int]

    def line_of(self, key_path: KeyPath) -> int:
        """The line of the value at `key_path`, or of the nearest value around it; counted from 1."""
        path = tuple(key_path)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, key_path: KeyPath) -> str:
        """`FILE:LINE` of the value at `key_path`."""
        return f"{self.path}:{self.line_of(key_path)}"

    def begins_block(self, line: int) -> bool:
        """True when the text that begins in this line stands below it (`|` or `>`)."""
        lines = self.path.read_text(encoding="utf-8-sig").splitlines()
        return line <= len(lines) and _BLOCK.search(lines[line - 1]) is not None

    def label_below(self, at: KeyPath) -> Label:
        """How a line about a value begins, for key paths below `at`: `FILE:LINE: key.path`."""
        return lambda path: labelled(self.where((*at, *path)), (*at, *path))


def load_yaml(path: Path) -> YamlDocument:
    """The file at `path`, plain data only.

    Raises ConfigurationException with file, line and column: no such file, no regular one, more than 10 MB, not UTF-8,
    not YAML, duplicate keys, tags, anything that is not plain data.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise ConfigurationException(
                f"{path}: cannot be read: no regular file", code="file_unreadable", subject=str(path)
            )
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationException(
            f"{path}: cannot be read: {error.strerror or error}", code="file_unreadable", subject=str(path)
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigurationException(
            f"{path}: larger than {MAX_BYTES // 1_000_000} MB, which no configuration is",
            code="too_large",
            subject=str(path),
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationException(
            f"{path}:{line}: not UTF-8 text: byte {raw[error.start]:#04x} ({error.reason})",
            code="yaml_syntax",
            subject=str(path),
            hint="Save the file as UTF-8.",
        ) from error
    data, lines = parse_yaml(_joined_pairs(text) if path.suffix == ".json" else text, str(path))
    return YamlDocument(path, data, lines)


def _joined_pairs(text: str) -> str:
    """JSON whose characters beyond 16 bits are escaped as YAML has it, which is JSON's superset but for those."""

    def joined(found: re.Match[str]) -> str:
        high, low = int(found[2], 16), int(found[3], 16)
        return f"{found[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"

    return _PAIR.sub(joined, text)


def validate(model_cls: type[_Model], document: YamlDocument, data: Any = None, at: KeyPath = ()) -> _Model:
    """The document as a `model_cls`: its part at the key path `at`, or `data`, which then belongs there.

    Raises ConfigurationException with file, line, key path, what was found and what is allowed, one line for each
    wrong value.
    """
    if data is None:
        data = _part(document, at)
    try:
        return model_cls.model_validate(data)
    except ValidationError as error:
        raise ConfigurationException(
            describe(error, model_cls, data, document.label_below(at)), subject=str(document.path)
        ) from error


def _part(document: YamlDocument, at: KeyPath) -> Any:
    data = document.data
    for part in at:
        data = entry(data, part)
        if data is ABSENT:
            return None
    return data
