"""A database file that is open: where it is, its schema brought up to date, transactions that read and that write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from prismenv.store.failures import storage_errors
from prismenv.store.migrations import migrate
from prismenv.store.sqlite import open_engine, prepare_folder, transaction
from prismenv.words.errors import StorageException


class Database:
    """The database in the file at `path`, made and migrated where needed."""

    def __init__(self, path: Path) -> None:
        prepare_folder(path)
        self._engine = open_engine(path)
        self._turn = threading.Lock()
        self._path = path
        self.location = str(path)
        try:
            with self._writing("be opened") as connection:
                migrate(connection, self.location)
        except StorageException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Let go of the file."""
        with storage_errors(self.location, "be closed"):
            self._engine.dispose()

    @contextmanager
    def _writing(self, doing: str) -> Iterator[Connection]:
        with self._turn, storage_errors(self.location, doing), transaction(self._engine, writing=True) as connection:
            yield connection

    @contextmanager
    def _reading(self, doing: str) -> Iterator[Connection]:
        with storage_errors(self.location, doing), transaction(self._engine, writing=False) as connection:
            yield connection


def file_of(text: str) -> Path:
    """The file that a path or URL names, absolute. Other databases than SQLite are refused, with the reason."""
    if "://" not in text:
        return Path(text).resolve()  # one file, one lock, whatever link it was named by
    try:
        url = make_url(text)
        shown = url.render_as_string(hide_password=True)
        if url.get_backend_name() == "sqlite":
            if url.database in (None, "", ":memory:") or url.query:
                raise StorageException(
                    f"{shown} names no plain file.", subject=shown, hint="Write sqlite:///FOLDER/FILE.db, or a path."
                )
            return Path(str(url.database)).resolve()
        create_engine(url).dispose()
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StorageException(
            f"The store's URL needs a database driver that is not installed: {error}.",
            code="store_driver",
            hint="Install the driver, or use a SQLite file: a path, or sqlite:///FOLDER/FILE.db.",
        ) from error
    except ArgumentError as error:
        hint = "Write a path, or sqlite:///FOLDER/FILE.db."
        raise StorageException("The store's URL cannot be read.", code="store_url", hint=hint) from error
    raise StorageException(
        f"The store {shown} is none that this version can use: it keeps runs in SQLite only.",
        code="store_unsupported",
        subject=shown,
        hint="Write a path, or sqlite:///FOLDER/FILE.db.",
    )
