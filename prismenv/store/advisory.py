"""Locks in a PostgreSQL server: whoever writes to one store, from whatever machine, sees the same ones.

Theory of operation. The locks are the server's advisory locks on a connection that does nothing else, so they end with
their holder however that ends: the server takes them back when the connection is gone. The server knows them by number:
a hash of the lock's name and the schema, since several stores may share a database. It grants a lock again to the
connection that has it, so a table of what is held here says no to that. A connection may also be lost while its process
goes on; somebody else may have the lock then. Hence every write first asks `check`, which looks at the connection's
socket (an idle connection has nothing to say, so whatever can be read there is news) and not at the server.
"""

import os
import select
import threading

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from prismenv.words.errors import StorageException

_NUMBER = "hashtextextended('prismenv ' || coalesce(current_schema(), '') || ' ' || :name, 0)"
_TRY = text(f"SELECT pg_try_advisory_lock({_NUMBER})")
_UNLOCK = text(f"SELECT pg_advisory_unlock({_NUMBER})")
WRITERS = text(f"SELECT pg_advisory_xact_lock({_NUMBER})").bindparams(name="writers")


class AdvisoryLocks:
    """The locks that this process holds by one connection of `engine`."""

    def __init__(self, engine: Engine, location: str) -> None:
        self._engine = engine
        self._location = location
        self._turn = threading.Lock()
        self._connection: Connection | None = None
        self._held: dict[str, str] = {}  # names, and what people call them
        self._lost: dict[str, str] = {}
        self._process = os.getpid()

    def acquire(self, name: str, called: str) -> bool:
        """Whether the lock is now held; it is not where anybody has it already. `called` is for messages."""
        with self._turn:
            self._look()
            if name in self._held or name in self._lost:
                return False
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            acquired = bool(self._connection.execute(_TRY, {"name": name}).scalar())
            if acquired:
                self._held[name] = called
            self._close_unused()
            return acquired

    def release(self, name: str) -> None:
        """Give the lock back. One that was lost, or is the parent's of a fork, is only forgotten."""
        if os.getpid() != self._process:
            return
        with self._turn:
            self._lost.pop(name, None)
            if self._held.pop(name, None) is None or self._connection is None:
                return
            try:
                self._connection.execute(_UNLOCK, {"name": name})
            except DBAPIError:  # the server is gone, and the lock with it
                self._drop()
            self._close_unused()

    def check(self) -> None:
        """StorageException (`lock_lost`) where a lock that is thought to be held may be somebody else's by now."""
        with self._turn:
            self._look()
            lost = sorted(self._lost.values())
        if lost:
            raise StorageException(
                f"The connection to the store {self._location} that held the lock of {', '.join(lost)} was lost: "
                "the server was stopped, or cut it off.",
                code="lock_lost",
                subject=self._location,
                hint="Nothing more is written, since somebody else may be writing now. Nothing finished is lost: when "
                "the server is there, `prismenv run --resume RUN` goes on.",
            )

    def close(self) -> None:
        """Give everything back."""
        with self._turn:
            self._held.clear()
            self._lost.clear()
            self._drop()

    def _look(self) -> None:
        """Find out whether the connection is still there."""
        if self._connection is None or not _has_news(self._connection):
            return
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            self._drop()

    def _drop(self) -> None:
        """Let go of the connection, and of every lock with it."""
        self._lost.update(self._held)
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _close_unused(self) -> None:
        if self._connection is not None and not self._held:
            self._connection.close()
            self._connection = None


def _has_news(connection: Connection) -> bool:
    driver = connection.connection.dbapi_connection
    if driver is None or getattr(driver, "closed", True):
        return True
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    return bool(poll.poll(0))
