"""A new file that is there whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from prismenv.words.errors import ConfigurationException, EnvironmentException


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A file to write to, which gets its name when all of it is on the disk; where anything fails there is none.

    ConfigurationException where the name is taken, also by somebody who came in between, or cannot be written.
    """
    if os.path.lexists(path):
        raise _taken(path)
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    made = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(number)
            made.chmod(0o666 & ~_mask())
        _name(made, path)
    except EnvironmentException:  # ours, some of which are an OSError too
        raise
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        made.unlink(missing_ok=True)


def _name(made: Path, path: Path) -> None:
    """Give the file its name where nobody has it."""
    try:
        path.hardlink_to(made)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise _taken(path) from None
        made.rename(path)


def _mask() -> int:
    """The mode bits that new files do not get; the system tells them only when they are set."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _taken(path: Path) -> ConfigurationException:
    return ConfigurationException(f"{path} exists; name a new file", subject=str(path))


def _unwritable(path: Path, error: OSError) -> ConfigurationException:
    return ConfigurationException(f"{path} cannot be written: {error.strerror}", subject=str(path))
