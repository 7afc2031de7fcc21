"""Writes files into a folder that untrusted code works in, and reads them there, by a descriptor of the folder.

No name of the code's is ever followed: every step opens one name below a descriptor, and refuses links. What is no
regular file is never opened. The code does not run meanwhile, but nothing here depends on that.
"""

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from prismenv.words.coderesult import SessionFiles
from prismenv.words.errors import ConfigurationException, SandboxException

MOST_FILES = 1000
MOST_BYTES = 32 * 2**20
MOST_SEEN = 10_000  # names of all kinds
MOST_PARTS = 16
PATH_CHARACTERS = 1000
PART_BYTES = 255
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def checked_files(files: Mapping[str, str | bytes], most_bytes: int) -> dict[str, bytes]:
    """The files as bytes. ConfigurationException for a path that is none, or for too many or too large ones."""
    if len(files) > MOST_FILES:
        raise ConfigurationException(f"{len(files)} files are too many at once; at most {MOST_FILES}", subject="files")
    content = {}
    for path, data in files.items():
        if wrong := _wrong(path):
            raise ConfigurationException(f"the path {path[:PATH_CHARACTERS]!r} {wrong}", subject="files")
        try:
            content[path] = data.encode() if isinstance(data, str) else bytes(data)
        except UnicodeEncodeError as error:
            raise ConfigurationException(f"{path!r} is no text: {error.reason}", subject="files") from error
    size, most = sum(map(len, content.values())), min(most_bytes, MOST_BYTES)
    if size > most:
        raise ConfigurationException(f"the files have {size} bytes, at most {most} are written", subject="files")
    return content


def _wrong(path: str) -> str:
    """What is wrong with a path; empty: nothing."""
    if not path or path.startswith("/") or len(path) > PATH_CHARACTERS:
        return f"is not a relative one of at most {PATH_CHARACTERS} characters"
    if not path.isprintable() or "\\" in path:
        return "has characters that no path of a session has"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, or one of dots"
    if len(parts) > MOST_PARTS or any(len(part.encode()) > PART_BYTES for part in parts):
        return f"has more than {MOST_PARTS} parts, or one of more than {PART_BYTES} bytes"
    return ""


def write_tree(root: int, files: Mapping[str, bytes], owner: int | None) -> None:
    """Write `files` (paths that were checked) below `root`; they belong to `owner`. SandboxException (`file_refused`)

    where something is in the way or there is no room.
    """
    for path, data in files.items():
        *folders, name = path.split("/")
        try:
            with _opened(root, folders, owner) as folder:
                _write(folder, name, data, owner)
        except OSError as error:
            why = error.strerror or str(error)
            raise SandboxException(f"{path!r} cannot be written: {why}", code="file_refused", subject=path) from error


@contextmanager
def _opened(root: int, folders: list[str], owner: int | None) -> Iterator[int]:
    """A descriptor of a folder below `root`, made where it is not there."""
    current = os.open(".", OPEN_FOLDER, dir_fd=root)
    try:
        for name in folders:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=current)
                if owner is not None:
                    os.chown(name, owner, owner, dir_fd=current, follow_symlinks=False)
            below = os.open(name, OPEN_FOLDER, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _write(folder: int, name: str, data: bytes, owner: int | None) -> None:
    """In place of what has the name; a folder is left, and an OSError."""
    new = f".{secrets.token_hex(8)}"
    descriptor = os.open(new, NEW_FILE, 0o600, dir_fd=folder)
    try:
        with _closing(descriptor):
            if owner is not None:
                os.fchown(descriptor, owner, owner)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    """Close it with the block."""
    try:
        yield
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class _Found:
    files: dict[str, bytes] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    room: int = MOST_BYTES
    seen: int = 0


def read_tree(root: int) -> SessionFiles:
    """All regular files below `root`, by their paths in order, as far as there is room."""
    found = _Found()
    start = os.open(".", OPEN_FOLDER, dir_fd=root)
    _read_folder(start, "", found)
    return SessionFiles(files=dict(sorted(found.files.items())), skipped=dict(sorted(found.skipped.items())))


def _read_folder(folder: int, prefix: str, found: _Found) -> None:
    """Takes over `folder`, and closes it. Recursion ends with MOST_PARTS."""
    with _closing(folder):
        for name in _names(folder, found):
            path = f"{prefix}{name}"
            try:
                why = _read_name(folder, name, path, found)
            except OSError as error:
                why = error.strerror or str(error)
            if why:
                found.skipped[_shown(path)] = why


def _names(folder: int, found: _Found) -> list[str]:
    names = []
    with closing(os.scandir(folder)) as entries:
        for entry in entries:
            found.seen += 1
            if found.seen > MOST_SEEN:
                found.skipped["..."] = f"there are more than {MOST_SEEN} names"
                break
            names.append(entry.name)
    return sorted(names)


def _read_name(folder: int, name: str, path: str, found: _Found) -> str:
    """Take one name; gives why it is skipped, empty where it is not."""
    if _wrong(path):
        return "its name, or where it stands, cannot be told"
    kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISDIR(kind):
        _read_folder(os.open(name, OPEN_FOLDER, dir_fd=folder), f"{path}/", found)
        return ""
    return _read_file(folder, name, path, found) if stat.S_ISREG(kind) else "it is no regular file"


def _read_file(folder: int, name: str, path: str, found: _Found) -> str:
    """Take a file; gives why it is skipped, empty where it is not."""
    descriptor = os.open(name, OPEN_FILE, dir_fd=folder)
    with _closing(descriptor):
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            return "it is no regular file"
        if len(found.files) >= MOST_FILES:
            return f"there are more than {MOST_FILES} files"
        if state.st_size > found.room:
            return f"there is no room for its {state.st_size} bytes; all together may have {MOST_BYTES}"
        data = _read_all(descriptor, found.room)
    found.files[path] = data
    found.room -= len(data)
    return ""


def _read_all(descriptor: int, most: int) -> bytes:
    parts, left = [], most
    while left and (part := os.read(descriptor, min(left, 2**20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8")[:PATH_CHARACTERS]
