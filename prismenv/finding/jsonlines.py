"""Files of JSON lines, plain or gzipped: samples, data sets. What is wrong is said with the file and the line."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prismenv.words.errors import ConfigurationException
from prismenv.words.jsonkind import json_kind
from prismenv.words.nearness import nearest

MAX_LINE_BYTES = 16 * 2**20
MAX_FILE_BYTES = 4 * 2**30  # after unpacking
_GZIP_MAGIC = b"\x1f\x8b"


def read_json_lines(
    path: Path, expected: str, *, cut: Callable[[int], None] | None = None
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a file with their line numbers, from 1; blank lines are left out. Read as they are asked for.

    Raises ConfigurationException for a file that cannot be read and a line that holds no object; `expected` then says
    what a line should hold. `cut` is told the number of a last line that has neither its end nor an object, which is
    left out; None: that is an error too.
    """
    with _reading(path):
        for number, line in _lines(path, expected):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                if cut is not None and not line.endswith(b"\n"):
                    cut(number)
                    return
                raise bad_line(path, number, f"no JSON: {error}; {expected}") from error
            if not isinstance(record, dict):
                raise bad_line(path, number, f"found {json_kind(record)}; {expected}")
            yield number, record


def bad_line(path: Path, number: int, what: str) -> ConfigurationException:
    """What is wrong with a line, with its place."""
    return ConfigurationException(f"{path}:{number}: {what}", code="json_lines_invalid", subject=str(path))


def is_packed(first: bytes) -> bool:
    """True where the first bytes of a file say that it is gzipped."""
    return first.startswith(_GZIP_MAGIC)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        near = nearest(path.name, _names(path.parent))
        raise ConfigurationException(
            f"{path}: there is no such file",
            subject=str(path),
            hint=f"Did you mean {near}?"
            if near
            else "A relative name is one of the project folder, on the command line first one of the current folder.",
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigurationException(f"{path}: the gzip data is damaged: {error}", subject=str(path)) from error
    except OSError as error:
        raise ConfigurationException(f"{path}: cannot be read: {error.strerror or error}", subject=str(path)) from error


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _lines(path: Path, expected: str) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank; whether they are packed is seen by the first bytes."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, and can be read only once
        raise ConfigurationException(f"{path}: cannot be read: no regular file", subject=str(path))
    with path.open("rb") as plain:
        packed = is_packed(plain.read(2))
        plain.seek(0)
        stream: Any = gzip.GzipFile(fileobj=plain) if packed else plain
        read = number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            read += len(line)
            if len(line) > MAX_LINE_BYTES or read > MAX_FILE_BYTES:
                most = f"more than {MAX_LINE_BYTES:,} bytes in a line or {MAX_FILE_BYTES:,} in all"
                raise bad_line(path, number, f"{most}; {expected}")
            if not line.isspace():
                yield number, line
