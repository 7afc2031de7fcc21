"""Sessions in the store's database, beside the runs."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from prismenv.contracts.sessions import KeptSession, SessionArchive
from prismenv.store import tables
from prismenv.store.connections import Database, backend_of
from prismenv.words.chat import ChatMessage
from prismenv.words.errors import StorageException

_SESSIONS, _MESSAGES = tables.sessions, tables.session_messages
_ADD, _ADD_MESSAGES = insert(_SESSIONS), insert(_MESSAGES)


def open_sessions(url_or_path: str | Path) -> SessionArchive:
    """The sessions in that store (a path or a URL, as for `open_store`), made where it is not there.

    It is open by itself: a run's store on the same file may be open beside it. Close it at the end.
    """
    return DatabaseSessions(backend_of(str(url_or_path)))


class DatabaseSessions(Database, SessionArchive):
    """Sessions in a database. Made by `open_sessions`."""

    def add(self, session: KeptSession) -> None:
        values = {
            "session_id": session.session_id,
            "role": session.role,
            "seed": None if session.seed is None else str(session.seed),
            "labels": json.dumps(dict(session.labels), default=str),
            "calls": session.calls,
            "used_at": session.used_at,
        }
        try:
            with self._writing("keep a session", alone=False) as connection:
                connection.execute(_ADD, values)
                _add_messages(connection, session, 0)
        except StorageException as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise StorageException(
                f"There is a session {session.session_id!r} in the store {self.location} already.",
                code="session_exists",
                subject=session.session_id,
            ) from error

    def load(self, session_id: str) -> KeptSession | None:
        messages = select(_MESSAGES.c.role, _MESSAGES.c.content).where(_MESSAGES.c.session_id == session_id)
        with self._reading("read a session") as connection:
            row = connection.execute(select(_SESSIONS).where(_SESSIONS.c.session_id == session_id)).first()
            if row is None:
                return None
            spoken = connection.execute(messages.order_by(_MESSAGES.c.position)).all()
            return replace(self._session(row), messages=tuple(ChatMessage(one.role, one.content) for one in spoken))

    def save(self, session: KeptSession, known: int) -> None:
        changed = {"calls": session.calls, "used_at": session.used_at}
        mine = _SESSIONS.c.session_id == session.session_id
        with self._writing("keep a session", alone=False) as connection:
            if connection.execute(update(_SESSIONS).where(mine).values(changed)).rowcount:
                _add_messages(connection, session, known)

    def hold(self, session_id: str) -> AbstractContextManager[None]:
        return self._holding(self._backend.hold_session(session_id), f"hold session {session_id!r}")

    def sessions(self) -> Sequence[KeptSession]:
        query = select(_SESSIONS).order_by(_SESSIONS.c.used_at, tables.ordered(_SESSIONS.c.session_id))
        with self._reading("list its sessions") as connection:
            return [self._session(row) for row in connection.execute(query)]

    def delete(self, session_id: str) -> None:
        with self._writing("forget a session") as connection:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.session_id == session_id))

    def _session(self, row: Row[Any]) -> KeptSession:
        try:
            seed = None if row.seed is None else int(row.seed)
            return KeptSession(row.session_id, row.role, seed, row.used_at, json.loads(row.labels), (), row.calls)
        except (TypeError, ValueError) as error:
            raise StorageException(
                f"The session {row.session_id!r} in the store {self.location} cannot be read back: {error}.",
                code="store_corrupt",
                subject=row.session_id,
                hint="It was changed by hand or by another program; delete the session.",
            ) from error


def _add_messages(connection: Connection, session: KeptSession, known: int) -> None:
    rows = [
        {"session_id": session.session_id, "position": position, "role": one.role, "content": one.content}
        for position, one in enumerate(session.messages)
        if position >= known
    ]
    if rows:
        connection.execute(_ADD_MESSAGES, rows)
