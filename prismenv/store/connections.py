"""A database that is open: its schema brought up to date, transactions that read and that write."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from prismenv.store.backend import Backend
from prismenv.store.failures import storage_errors
from prismenv.store.migrations import migrate
from prismenv.store.naming import FORMS, check_name
from prismenv.store.sqlite import SqliteBackend
from prismenv.words.errors import StorageException
from prismenv.words.masking import mask_secrets


class Database:
    """The database of a backend, made and migrated where needed; with `create` false one that must be there."""

    def __init__(self, backend: Backend, *, create: bool = True) -> None:
        self._backend = backend
        self._engine = backend.engine
        self.location = backend.location
        try:
            if not create:
                with storage_errors(backend, "be opened"):
                    backend.require()
            with self._writing("be opened") as connection:
                migrate(connection, self.location)
        except StorageException:
            backend.close()
            raise

    def close(self) -> None:
        """Let go of the file or the connections."""
        with storage_errors(self._backend, "be closed"):
            self._backend.close()

    @contextmanager
    def _writing(self, doing: str, *, alone: bool = True) -> Iterator[Connection]:
        """A writing transaction. What only adds rows need not be `alone`: see `Backend.transaction`."""
        with (
            storage_errors(self._backend, doing),
            self._backend.transaction(writing=True, alone=alone) as connection,
        ):
            yield connection

    @contextmanager
    def _reading(self, doing: str) -> Iterator[Connection]:
        with storage_errors(self._backend, doing), self._backend.transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def _holding(self, lock: AbstractContextManager[None], doing: str) -> Iterator[None]:
        """The lock, its taking within the store's boundary and what is done under it outside."""
        with ExitStack() as stack:
            with storage_errors(self._backend, doing):
                stack.enter_context(lock)
            yield


def backend_of(text: str) -> Backend:
    """The database that a path or URL names. Others than SQLite and PostgreSQL are refused, with the reason."""
    if "://" not in text:
        check_name(text)
        return _sqlite_file(Path(text).resolve())  # one file, one lock, whatever link it was named by
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # from None: the URL's own parser shows all of it
        raise StorageException("The store's URL cannot be read.", code="store_url", hint=FORMS) from None
    kind, _, driver = url.drivername.partition("+")
    if kind == "sqlite":
        return _sqlite(url, text)
    if kind not in ("postgresql", "postgres") or driver not in ("", "psycopg"):
        raise StorageException(
            f"The store's URL begins with {url.drivername}://, which this version cannot use: it keeps runs in SQLite, "
            "or in PostgreSQL by psycopg.",
            code="store_unsupported",
            hint=FORMS,
        )
    return _postgres(url)


def _sqlite(url: URL, text: str) -> Backend:
    if url.database in (None, "", ":memory:") or url.query:
        shown = mask_secrets(text)
        raise StorageException(
            f"{shown} names no plain file.", subject=shown, hint="Write sqlite:///FOLDER/FILE.db, or a path."
        )
    return _sqlite_file(Path(str(url.database)).resolve())


def _sqlite_file(path: Path) -> Backend:
    if path.exists() and not path.is_file():
        raise StorageException(
            f"The store {path} is no regular file.",
            code="store_unwritable",
            subject=str(path),
            hint="Name a file; it is made where there is none.",
        )
    return SqliteBackend(path)


def _postgres(url: URL) -> Backend:
    if "@" in (url.host or ""):
        raise StorageException(
            "The store's URL cannot be read: it has more than one @.",
            code="store_url",
            hint="Write special characters of the password by their codes: %40 for @, %2F for /, %3A for a colon.",
        )
    secret = {key: "***" for key in url.query if "password" in key}
    shown = url.update_query_dict(secret).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")
    try:
        from prismenv.store.postgres import PostgresBackend  # noqa: PLC0415 - the driver is an extra
    except ImportError as error:
        raise StorageException(
            f"The store {shown} needs a driver that is not installed: {error}.",
            code="store_driver",
            subject=shown,
            hint="Install it with `pip install 'prismenv[postgres]'`, or use a SQLite file.",
        ) from error
    return PostgresBackend(url, shown)
