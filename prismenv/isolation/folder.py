"""Folders of the sandbox: a private one for one run, removed whatever was done in it, and one for all that it has.

The latter is locked as long as it is in use, by whoever made it. A process that is killed leaves its folder, and not
the lock: by that the next one of the same user knows that it may be removed.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "prismenv-box-"
MOST_SWEPT = 100  # at once: what a user left who kills a thousand goes in ten times
AGE_SECONDS = 60.0  # a younger one may be about to be locked


class HeldFolder:
    """A new empty folder where temporary files go, locked until it is removed. OSError when there can be none."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.path.rmdir()
            raise

    def remove(self) -> None:
        """Remove it."""
        remove_folder(self.path)
        os.close(self._lock)


def remove_abandoned() -> None:
    """Remove this user's folders that nobody holds any more; what cannot be seen or removed stays."""
    found: list[str] = []
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        found += [entry.path for entry in entries if entry.name.startswith(PREFIX)][:MOST_SWEPT]
    for path in found:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                state = os.fstat(descriptor)
                if state.st_uid == os.geteuid() and time.time() - state.st_mtime > AGE_SECONDS:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_folder(Path(path))
            finally:
                os.close(descriptor)


@contextmanager
def private_folder(root: Path) -> Iterator[Path]:
    """A new empty folder below `root` for the time of the block."""
    path = Path(tempfile.mkdtemp(prefix="run-", dir=root))
    try:
        yield path
    finally:
        remove_folder(path)


def remove_folder(path: Path) -> None:
    """Remove a folder that hostile code has filled: locked, nested without end, full of links (never followed)."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        _unlock(path)
        subprocess.run(["/bin/rm", "-rf", "--", str(path)], check=False, stderr=subprocess.DEVNULL)  # noqa: S603 - own path


def _unlock(path: Path) -> None:
    for folder, below, _ in os.walk(path, followlinks=False):
        for name in below:
            inner = os.path.join(folder, name)  # noqa: PTH118 - thousands of them
            if not os.path.islink(inner):  # noqa: PTH114 - as above
                with contextlib.suppress(OSError):  # a path that is too long: rm goes step by step
                    os.chmod(inner, 0o700)  # noqa: PTH101 - as above
