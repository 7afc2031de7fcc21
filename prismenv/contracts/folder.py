"""The temporary folder of an environment, and the programs that a plugin puts there."""

import shutil
import stat
import tempfile
import weakref
from pathlib import Path

from prismenv.words.errors import EnvironmentExecutionException

MOST_PROGRAM_BYTES = 16 * 2**20


class OwnFolder:
    """A folder that is made when it is first asked for and goes with its owner, also where nobody closes that."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: tuple[Path, weakref.finalize[[str], OwnFolder]] | None = None

    @property
    def path(self) -> Path:
        """The folder. EnvironmentExecutionException where none can be made."""
        if self._made is None:
            try:
                made = tempfile.mkdtemp(prefix=f"{self._prefix}-")
            except OSError as error:
                raise EnvironmentExecutionException(
                    f"no temporary folder can be made: {error.strerror or error}", subject=tempfile.gettempdir()
                ) from error
            self._made = (Path(made), weakref.finalize(self, shutil.rmtree, made, ignore_errors=True))
        return self._made[0]

    @property
    def exists(self) -> bool:
        """True where there is something to remove."""
        return self._made is not None

    def remove(self) -> None:
        """Remove the folder with all that is in it; the next use makes another."""
        made, self._made = self._made, None
        if made is not None:
            made[1]()

    def read_program(self, script_path: str | Path) -> str:
        """The text of a file; a relative path is looked for in the folder, and does not lead out of it."""
        path = Path(script_path)
        if not path.is_absolute():
            path = self.path / path
            if not path.resolve().is_relative_to(self.path.resolve()):
                raise EnvironmentExecutionException(f"{script_path} leads out of output_dir", subject=str(path))
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
                raise EnvironmentExecutionException(f"{path} is no regular file", subject=str(path))
            if found.st_size > MOST_PROGRAM_BYTES:
                raise EnvironmentExecutionException(
                    f"{path} has more than {MOST_PROGRAM_BYTES:,} bytes", subject=str(path)
                )
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise EnvironmentExecutionException(f"{path} is no UTF-8 text", subject=str(path)) from error
        except OSError as error:
            raise EnvironmentExecutionException(
                f"{path} cannot be read: {error.strerror or error}", subject=str(path)
            ) from error
