"""Solutions of several files: from a folder, from single files, from what a line of a batch says."""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prismenv.words.errors import ConfigurationException
from prismenv.words.fileset import MOST_BYTES, MOST_FILES, FileSet
from prismenv.words.nearness import nearest

LEFT_OUT = frozenset({"__pycache__", "test", "tests"})  # folders whose files are no part of a solution


def checked_files(files: Mapping[str, str], entry: str | None = None, *, where: str = "") -> FileSet:
    """A set of files; ConfigurationException says what is wrong with it. `where` begins what it says."""
    try:
        return FileSet(files=files, entry=entry)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigurationException(f"{where}{place}{': ' if place else ''}{said}", subject=entry) from error


def read_folder(folder: Path, *, entry: str | None = None, tests: Path | None = None) -> FileSet:
    """Every file below `folder`, but for the tests' file, links, folders of tests, and what begins with a dot.

    Raises ConfigurationException.
    """
    files: dict[str, str] = {}
    budget = _Budget(str(folder))
    for place, inner, names in os.walk(folder, onerror=_refuse):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in LEFT_OUT)
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and _is_plain(path) and not (tests is not None and _is_same(path, tests)):
                files[path.relative_to(folder).as_posix()] = budget.read(path)
    if entry is not None and entry not in files and (near := nearest(entry, files)):
        raise ConfigurationException(f"{folder} has no file {entry}", subject=entry, hint=f"Did you mean {near}?")
    return checked_files(files, entry, where=f"{folder}: ")


def read_files(entry: Path, others: Sequence[Path]) -> FileSet:
    """A solution's file and others in or below its folder, by their paths from there. Raises ConfigurationException."""
    budget, files = _Budget(str(entry)), {}
    for path in (entry, *others):
        try:
            place = path.resolve()
            name = place.relative_to(entry.parent.resolve()).as_posix()
        except ValueError as error:
            message = f"--file {path}: it is not below the folder of {entry}, from where its modules are imported"
            raise ConfigurationException(message, subject=str(path)) from error
        files[name] = budget.read(place)
    return checked_files(files, entry.name, where=f"{entry}: ")


class _Budget:
    """Reads files until they are more than a set may hold."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._bytes = MOST_BYTES
        self._files = MOST_FILES

    def read(self, path: Path) -> str:
        """The text of a file, bytes that are no UTF-8 kept as surrogates."""
        self._files -= 1
        try:
            with open(path, "rb", opener=_open_plain) as file:
                data = file.read(self._bytes + 1)
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror or error}"
            raise ConfigurationException(message, subject=str(path)) from error
        self._bytes -= len(data)
        if self._bytes < 0 or self._files < 0:
            message = f"{self._subject}: a solution has at most {MOST_FILES} files and {MOST_BYTES} bytes"
            raise ConfigurationException(message, subject=self._subject)
        return data.decode("utf-8", errors="surrogateescape")


def _open_plain(path: str, flags: int) -> int:
    """Open a file as open() does, but no link, and nothing that has to be waited for: whatever it was a moment ago."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


def _refuse(error: OSError) -> None:
    raise ConfigurationException(f"{error.filename} cannot be read: {error.strerror}", subject=error.filename)
