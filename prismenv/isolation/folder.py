"""A private folder for one run, removed whatever was done in it."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
