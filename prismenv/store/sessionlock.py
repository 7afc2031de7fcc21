"""One writer at a time for each session, in all processes that use a store.

Theory of operation. The locks are the operating system's, so they end with their holder however that ends. They are
record locks (`fcntl.lockf`) on single bytes of one file beside the store, the byte chosen by a digest of the session's
id: ten thousand sessions at work need one open file, where a file for each would need ten thousand. The kernel knows
record locks by process, and drops all of a process's when it closes the file once; hence the table of this process,
which has one descriptor for each file, says who holds what here, and closes only when nothing is held.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from prismenv.words.errors import StorageException


@dataclass(slots=True)
class _LockFile:
    descriptor: int
    held: set[int] = field(default_factory=set)


class _Process:
    """What this process holds: as much state as the kernel has of it, and no more."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Hold nothing: what a child holds after it was forked."""
        self.turn = threading.Lock()
        self.files: dict[Path, _LockFile] = {}

    def acquire(self, path: Path, byte: int) -> bool:
        with self.turn:
            file = self.files.get(path)
            if file is None:
                file = self.files[path] = _LockFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
            try:
                if byte in file.held:
                    return False
                fcntl.lockf(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                file.held.add(byte)
            except (BlockingIOError, PermissionError):  # either may say that another process has it
                return False
            finally:
                self._close_unused(path, file)
            return True

    def release(self, path: Path, byte: int) -> None:
        with self.turn:
            file = self.files.get(path)
            if file is None:  # a child that was forked holds nothing
                return
            file.held.discard(byte)
            fcntl.lockf(file.descriptor, fcntl.LOCK_UN, 1, byte)
            self._close_unused(path, file)

    def _close_unused(self, path: Path, file: _LockFile) -> None:
        if not file.held:
            del self.files[path]
            os.close(file.descriptor)


_process = _Process()


os.register_at_fork(after_in_child=_process.forget)  # record locks are not inherited


@contextmanager
def session_lock(store: Path, session_id: str) -> Iterator[None]:
    """Hold the session; StorageException (`session_busy`) where somebody else does."""
    path = store.with_name(f"{store.name}-sessions.lock")
    digest = blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    byte = int.from_bytes(digest, "big") >> 2  # offsets of files are signed
    try:
        acquired = _process.acquire(path, byte)
    except OSError as error:
        raise StorageException(
            f"The lock of sessions, {path}, cannot be taken: {error.strerror or error}.",
            code="store_unwritable",
            subject=session_id,
            hint="Check that the store's folder can be written.",
        ) from error
    if not acquired:
        raise StorageException(
            f"The session {session_id!r} is being spoken in by somebody else.", code="session_busy", subject=session_id
        )
    try:
        yield
    finally:
        _process.release(path, byte)
