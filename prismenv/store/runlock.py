"""One process works on a run at a time.

Theory of operation. The lock is the operating system's (`flock`) on a small file beside the store, so it ends with its
holder however that ends, and no stale lock has to be argued about. The file's name is a digest of the run's id: no path
comes from outside. The holder removes the file before it lets go; a waiter that opened the file just before would then
hold a lock on a file that is no longer there, so a lock counts only if the path still leads to the locked file. The
descriptor closes on exec, hence a child that outlives its parent does not hold the lock.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from prismenv.words.errors import StorageException


@contextmanager
def run_lock(store: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of `run_id`; StorageException (`run_locked`) where somebody else holds it."""
    path = _path(store, run_id)
    descriptor = _acquire(path, run_id)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


def is_held(store: Path, run_id: str) -> bool:
    """Whether somebody holds the lock of `run_id`, without taking it from anybody who comes for it.

    A holder has the file there for as long as it holds it. One that was left by a killed process is looked at with a
    shared lock, so that several may look at once; it is let go at once.
    """
    try:
        descriptor = os.open(_path(store, run_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageException(f"The lock of run {run_id} cannot be read: {error.strerror}.", subject=run_id) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _path(store: Path, run_id: str) -> Path:
    digest = blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return store.with_name(f"{store.name}-run-{digest}.lock")


def _acquire(path: Path, run_id: str) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageException(
                f"The lock of run {run_id}, {path}, cannot be made: {error.strerror or error}.",
                code="store_unwritable",
                subject=run_id,
                hint="Check that the store's folder can be written.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _leads_to(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise StorageException(
                f"Run {run_id} is being worked on by another process.",
                code="run_locked",
                subject=run_id,
                hint="Wait until it has ended, or stop it; it can be resumed then.",
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise StorageException(f"{path} cannot be locked: {error.strerror or error}.", subject=run_id) from error
        os.close(descriptor)


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
