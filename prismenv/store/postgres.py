"""All that is particular to PostgreSQL: connections, transactions, locks, how text is written.

Theory of operation. A commit is on the server's disk when it returns. Transactions that read are REPEATABLE READ, so
they see one state as those of SQLite do. Transactions that look before they write take turns by an advisory lock, as
SQLite's writers do by themselves; those that only add rows do not wait for each other. Locks of runs and sessions are
in `advisory.py`. PostgreSQL takes no NUL character in text: it is written as ESCAPE and 0, ESCAPE itself (a code point
that is no character) as ESCAPE and 1, and read back as it was; in JSON a NUL is escaped anyway. A float that is no
number is written as NULL, as SQLite does. Importing this module needs the driver, psycopg 3.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

from psycopg.adapt import Buffer
from psycopg.types.numeric import FloatDumper
from psycopg.types.string import StrDumperUnknown, TextLoader
from sqlalchemy import URL, Connection, create_engine, event, inspect

from prismenv.store.advisory import WRITERS, AdvisoryLocks
from prismenv.store.backend import Backend
from prismenv.store.pgfailures import explain, foreign_encoding, too_old
from prismenv.store.tables import schema_version
from prismenv.words.errors import StorageException

ESCAPE = "\ufffe"
LOCK_SECONDS = 30
CONNECT_SECONDS = 10
OLDEST = 13  # the oldest major version that statements are known to work with
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class PostgresBackend(Backend):
    """The database of a URL; `shown` is the URL without passwords."""

    def __init__(self, url: URL, shown: str) -> None:
        self.location = shown
        defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "prismenv", **_KEEPALIVE}
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={key: value for key, value in defaults.items() if key not in url.query},
            pool_size=4,
            max_overflow=8,
            pool_pre_ping=True,  # a server that was started again is met by new connections
            hide_parameters=True,
        )
        event.listen(self.engine, "connect", self._connected)
        self._readers = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._locks = AdvisoryLocks(self.engine, shown)
        self._turn = threading.Lock()

    @contextmanager
    def transaction(self, *, writing: bool, alone: bool = True) -> Iterator[Connection]:
        if not writing:
            with self._readers.begin() as connection:
                yield connection
            return
        self._locks.check()
        if not alone:
            with self.engine.begin() as connection:
                yield connection
            return
        with self._turn, self.engine.begin() as connection:  # else each waiting thread would use up a connection
            connection.execute(WRITERS)
            yield connection

    def explain(self, error: BaseException) -> tuple[str, str, str]:
        return explain(error)

    def require(self) -> None:
        with self.transaction(writing=False) as connection:
            there = inspect(connection).has_table(schema_version.name)
        if not there:
            raise StorageException(
                f"There is no store at {self.location}: the database has no tables of prismenv.",
                code="store_missing",
                subject=self.location,
                hint="A first `prismenv run` makes it; or name another database.",
            )

    @contextmanager
    def lock_run(self, run_id: str) -> Iterator[None]:
        name = f"run {_digest(run_id)}"
        if not self._locks.acquire(name, f"run {run_id}"):
            raise StorageException(
                f"Run {run_id} is being worked on by another process.",
                code="run_locked",
                subject=run_id,
                hint="Wait until it has ended, or stop it; it can be resumed then. It may be on another machine.",
            )
        try:
            yield
        finally:
            self._locks.release(name)

    @contextmanager
    def hold_session(self, session_id: str) -> Iterator[None]:
        name = f"session {_digest(session_id)}"
        if not self._locks.acquire(name, f"session {session_id!r}"):
            raise StorageException(
                f"The session {session_id!r} is being spoken in by somebody else.",
                code="session_busy",
                subject=session_id,
            )
        try:
            yield
        finally:
            self._locks.release(name)

    def close(self) -> None:
        self._locks.close()
        self.engine.dispose()

    def _connected(self, connection: Any, _record: object) -> None:
        version = connection.info.server_version // 10_000
        if version < OLDEST:
            raise too_old(self.location, version, OLDEST)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise foreign_encoding(self.location, encoding)
        connection.adapters.register_dumper(str, _TextDumper)
        connection.adapters.register_dumper(float, _NumberDumper)
        for kind in ("text", "varchar"):
            connection.adapters.register_loader(kind, _TextReader)
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'; SET client_encoding = 'UTF8'")
        connection.autocommit = False


def _digest(name: str) -> str:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        if "\x00" in obj or ESCAPE in obj:
            obj = obj.replace(ESCAPE, f"{ESCAPE}1").replace("\x00", f"{ESCAPE}0")
        return obj.encode()


class _TextReader(TextLoader):
    def load(self, data: Buffer) -> str:
        text = str(data, "utf-8")
        if ESCAPE in text:
            text = text.replace(f"{ESCAPE}0", "\x00").replace(f"{ESCAPE}1", ESCAPE)
        return text


class _NumberDumper(FloatDumper):
    def dump(self, obj: float) -> Buffer | None:
        return None if obj != obj else super().dump(obj)  # noqa: PLR0124 - what is no number differs from itself
