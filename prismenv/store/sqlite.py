"""All that is particular to SQLite: the file, its pragmas, how transactions begin, what its errors mean.

Theory of operation. One file, write-ahead log. `synchronous = NORMAL`: a commit is in the operating system's hands when
it returns, so a finished node survives the death of the process (kill -9) at any moment; when the machine itself loses
power the last commits may be missing, but the file is never damaged. The driver's own transaction control is switched
off, because it begins no transaction for reads and schema changes; `transaction` says BEGIN, and IMMEDIATE where it is
going to write: a writer then waits for the other process at its first statement, where the busy timeout applies, and
never fails half way. It says so itself: with an event of the engine for it, every later statement asks for listeners.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event

from prismenv.store.backend import Backend
from prismenv.store.runlock import is_held, run_lock
from prismenv.store.sessionlock import session_lock
from prismenv.words.errors import StorageException

BUSY_SECONDS = 30.0

_T = TypeVar("_T")
_HINTS = {
    "SQLITE_FULL": ("store_full", "the disk is full", "Free some space and resume the run: finished nodes are safe."),
    "SQLITE_READONLY": (
        "store_unwritable",
        "it cannot be written",
        "Check the permissions of the file and its folder.",
    ),
    "SQLITE_CANTOPEN": ("store_unwritable", "it cannot be opened", "Check that its folder exists and can be written."),
    "SQLITE_PERM": ("store_unwritable", "it cannot be opened", "Check the permissions of the file and its folder."),
    "SQLITE_BUSY": ("store_busy", "another process kept it locked", "Try again when the other process has finished."),
    "SQLITE_LOCKED": ("store_busy", "it is locked", "Try again when the other process has finished."),
    "SQLITE_NOTADB": ("store_corrupt", "it is no SQLite file", "Name another file with output.store."),
    "SQLITE_CORRUPT": (
        "store_corrupt",
        "the file is damaged",
        "Move it away; `sqlite3 FILE .recover` may save the rest.",
    ),
    "SQLITE_IOERR": ("store_io", "the system could not read or write it", "Check the disk and its free space."),
}


class SqliteBackend(Backend):
    """The database in the file at `path`. Writers take turns by a lock of this process and by the file's own."""

    def __init__(self, path: Path) -> None:
        self.location = str(path)
        self.engine = open_engine(path)
        self._path = path
        self._turn = threading.Lock()
        self._prepared = False

    @contextmanager
    def transaction(self, *, writing: bool, alone: bool = True) -> Iterator[Connection]:  # noqa: ARG002 - always alone
        if not self._prepared:
            prepare_folder(self._path)
            self._prepared = True
        with self._turn if writing else nullcontext(), transaction(self.engine, writing=writing) as connection:
            yield connection

    def explain(self, error: BaseException) -> tuple[str, str, str]:
        return explain(error)

    def require(self) -> None:
        if not self._path.exists():
            raise StorageException(
                f"There is no store at {self._path}.",
                code="store_missing",
                subject=self.location,
                hint="A first `prismenv run` makes it; or name another file.",
            )

    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        return run_lock(self._path, run_id)

    def is_locked(self, run_id: str) -> bool:
        return is_held(self._path, run_id)

    def hold_session(self, session_id: str) -> AbstractContextManager[None]:
        return session_lock(self._path, session_id)

    def close(self) -> None:
        self.engine.dispose()


def open_engine(path: Path) -> Engine:
    """An engine over the SQLite file at `path`. The file is touched at the first connection, not here."""
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS}, pool_size=4, max_overflow=-1, paramstyle="named"
    )
    event.listen(engine, "connect", _connected)
    return engine


@contextmanager
def transaction(engine: Engine, *, writing: bool) -> Iterator[Connection]:
    """A connection in a transaction, committed at the end and rolled back by an error."""
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
        yield connection


def prepare_folder(path: Path) -> None:
    """Make the file's own folder, not the ones above it: a missing parent is rather a slip in the path."""
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageException(
            f"The folder of the store {path} cannot be made: {error.strerror or error}.",
            code="store_unwritable",
            subject=str(path),
            hint="Make the folder, or name another file with output.store.",
        ) from error


def explain(error: BaseException) -> tuple[str, str, str]:
    """Machine code, what is wrong and what to do, for an error of the driver."""
    name: str = getattr(error, "sqlite_errorname", None) or ""
    for prefix, found in _HINTS.items():
        if name.startswith(prefix):
            return found
    return "storage_failed", str(error) or type(error).__name__, "See the SQLite documentation for this error."


def _connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        if cursor.execute("PRAGMA page_count").fetchone() == (0,):  # a new file; of an old one it would be a write
            cursor.execute("PRAGMA auto_vacuum = FULL")  # deleted runs give their space back
        _patiently(lambda: cursor.execute("PRAGMA journal_mode = WAL"))
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _patiently(action: Callable[[], _T]) -> _T:
    """Repeat while the file is busy: the change to WAL does not wait by the busy timeout as other statements do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
