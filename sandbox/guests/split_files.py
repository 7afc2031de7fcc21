"""Files that the tests hand over by their path: the two processes have a private folder each.

Only where the suite's text speaks of files. A path among the arguments of a call, within the judge's own folders, is
lent from then on, and so is the current folder: what lies there is sent before a request when it changed, and what the
solution changed there comes back with the answer. What comes is checked before anything is written: a path at or below
a lent one, no `..`, no link on the way, and no more than the caps.
"""

import posix
from typing import Any

from split_codec import wants

MOST_FILES = 200
MOST_BYTES = 8 * 2**20
WORDS = frozenset({"open", "tempfile", "Path", "TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp"})
HERE = "."
Content = bytes | None | bool  # of a file; None for a folder, False for what is gone


class TooMuchError(Exception):
    """More files, or larger ones, than are carried."""


def tree_of(roots: Any) -> dict[str, bytes | None]:
    """What lies at and below some paths, by path. Links are left out. TooMuchError beyond the caps."""
    found: dict[str, bytes | None] = {}
    waiting, size = list(roots), 0
    while waiting:
        path = waiting.pop()
        if path in found or not exists(path) or _is_link(path):
            continue
        if is_folder(path):
            found[path] = None
            waiting += [name if path == HERE else f"{path}/{name}" for name in sorted(posix.listdir(path))]
        else:
            found[path] = content = _read(path)
            size += len(content)
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise TooMuchError(f"more than {MOST_FILES} files or {MOST_BYTES} bytes lie where the tests work")
    return found


class Agreed:
    """What both sides know of the lent paths."""

    def __init__(self) -> None:
        self.roots: dict[str, None] = {}
        self.known: dict[str, bytes | None] = {}

    def changes(self) -> list[list[Any]]:
        """(path, content) of what is not as it was agreed; it is agreed from then on. Folders come first."""
        now, before = tree_of(self.roots), self.known
        self.known = now
        gone: list[list[Any]] = [[path, False] for path in sorted(before, reverse=True) if path not in now]
        return gone + [[path, now[path]] for path in sorted(now) if path not in before or before[path] != now[path]]

    def apply(self, path: str, content: Content) -> None:
        """Make it so here."""
        if content is False:
            self.known.pop(path, None)
            if exists(path):
                (posix.rmdir if is_folder(path) else posix.unlink)(path)
            return
        _make_folders(path if content is None else path.rpartition("/")[0])
        if isinstance(content, bytes):
            _write(path, content)
        self.known[path] = content if isinstance(content, bytes) else None


# ---- in the judge's process


class Lender:
    """Lends paths of the tests. `link` asks the solution's process."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self.arrived: set[str] = set()  # real paths of files that the solution wrote
        self._agreed = Agreed()
        self._agreed.roots[HERE] = None
        self._folders = {posix.getcwd(), "/tmp"}  # the private one of this process

    def lend(self, arguments: Any, named: dict[str, Any]) -> None:
        """Before a request: grant the paths in it, send what changed."""
        for value in [*arguments, *named.values()]:
            path = _path_of(value)
            if path and self._is_ours(path):
                self._agreed.roots[path] = None
        try:
            changes = self._agreed.changes()
        except TooMuchError as error:
            self._link.end("unsplit", str(error))
        if changes or len(self._agreed.roots) > 1:
            pack = self._link.pack
            told = self._link.request("F", list(self._agreed.roots), [[path, pack(each)] for path, each in changes])
            if told != "":
                self._link.end("unsplit", f"its files cannot be where the solution runs ({wants(told, str)[:200]})")

    def take_back(self) -> None:
        """After it: what the solution changed."""
        changes = wants(self._link.request("E"), list)
        size = 0
        for each in changes:
            path, content = wants(each, list)
            size += len(content) if type(content) is bytes else 0
            if not self._may_write(wants(path, str), content) or size > MOST_BYTES or len(changes) > 2 * MOST_FILES:
                self._link.end("forgery", "a file where none was lent, or too much of it")
            if content is not None and content is not False:
                self.arrived.add(real(path))
            try:
                self._agreed.apply(path, content)
            except OSError:
                continue  # the tests have it in another way: a folder where a file came, say

    def _is_ours(self, path: str) -> bool:
        folder = real(path.rpartition("/")[0] or (HERE if not path.startswith("/") else "/"))
        return any(folder == each or folder.startswith(f"{each}/") for each in self._folders | {posix.getcwd()})

    def _may_write(self, path: str, content: Any) -> bool:
        parts = path.split("/")[path.startswith("/") :]
        if (type(content) is not bytes and content is not None and content is not False) or "\0" in path:
            return False
        if not all(part not in ("", HERE, "..") for part in parts):
            return path == HERE and content is None
        roots = self._agreed.roots
        below = path in roots or any(path.startswith(f"{root}/") for root in roots)
        if not below and (HERE not in roots or path.startswith("/")):
            return False
        return not _is_link(path) and self._is_ours(path)


def _path_of(value: Any) -> str:
    """The path that a value may be; empty for anything else."""
    if type(value) is not str and type(value).__name__ != "PosixPath":
        return ""
    path = str(value).rstrip("/")
    if not path or len(path) > 1000 or "\0" in path or "\n" in path or ".." in path.split("/"):  # noqa: PLR2004 - no path of a test is longer
        return ""
    return path if exists(path) or ("/" in path and is_folder(path.rpartition("/")[0])) else ""


# ---- in the solution's process


class Borrower:
    """Keeps the lent paths there."""

    def __init__(self) -> None:
        self._agreed = Agreed()
        self._own: dict[str, bytes] = {}
        self._folders: set[str] = set()

    def keep(self, own: dict[str, bytes]) -> None:
        """Know of the solution's own files, which the tests do not get as long as they stay."""
        self._own = dict(own)
        self._folders = {path[:end] for path in own for end, each in enumerate(path) if each == "/"}

    def borrow(self, _link: Any, roots: list[str], changes: list[list[Any]]) -> str:
        """Take what the judge sends; gives why that cannot be, empty when it could."""
        self._agreed.roots = dict.fromkeys(roots)
        try:
            for path, content in changes:
                self._agreed.apply(path, content)
            for root in roots:
                _make_folders(root.rpartition("/")[0])
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def changed(self, _link: Any) -> list[list[Any]]:
        """What is another now. TooMuchError beyond the caps."""
        changes = self._agreed.changes()
        if not self._own:
            return changes
        told = [each for each in changes if not self._is_own(*each)]
        for path, _ in told:
            self._own.pop(path, None)
        return told

    def _is_own(self, path: str, content: Content) -> bool:
        return self._own.get(path) == content if path in self._own else content is None and path in self._folders


# ---- the file system


def _mode(path: str, *, follow: bool = True) -> int:
    try:
        return posix.stat(path, follow_symlinks=follow).st_mode & 0o170000
    except OSError:
        return 0


def exists(path: str) -> bool:
    """Whether there is a file or a folder."""
    return _mode(path) in (0o100000, 0o040000)


def is_folder(path: str) -> bool:
    """Whether there is a folder."""
    return _mode(path) == 0o040000  # noqa: PLR2004 - S_IFDIR


def _is_link(path: str) -> bool:
    return _mode(path, follow=False) == 0o120000  # noqa: PLR2004 - S_IFLNK


def here() -> str:
    """The current folder; empty where it is gone."""
    try:
        return posix.getcwd()
    except OSError:
        return ""


def real(path: str) -> str:
    """A path without links."""
    from posixpath import realpath  # noqa: PLC0415 - only suites with files pay

    return realpath(path)


def _make_folders(path: str) -> None:
    if path and not is_folder(path):
        _make_folders(path.rpartition("/")[0])
        posix.mkdir(path, 0o700)


def _read(path: str) -> bytes:
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    try:
        return posix.read(descriptor, MOST_BYTES + 1)
    finally:
        posix.close(descriptor)


def _write(path: str, content: bytes) -> None:
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW
    descriptor = posix.open(path, flags, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[posix.write(descriptor, rest) :]
    finally:
        posix.close(descriptor)
