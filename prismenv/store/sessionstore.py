"""Sessions in the store's database, beside the runs."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from prismenv.contracts.sessions import KeptOutcome, KeptSession, SessionArchive
from prismenv.store import servicetables, tables
from prismenv.store.connections import Database, backend_of
from prismenv.words.chat import ChatMessage
from prismenv.words.errors import StorageException
from prismenv.words.outcome import Exchange

_SESSIONS, _MESSAGES, _LOG = tables.sessions, tables.session_messages, servicetables.session_exchanges
_ADD, _ADD_MESSAGES, _ADD_LOG = insert(_SESSIONS), insert(_MESSAGES), insert(_LOG)
_WITHOUT_OUTCOME = [column for column in _SESSIONS.c if column.name not in ("last_key", "last_outcome")]


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
            "exchanges": 0,
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
            last = None if row.last_outcome is None else KeptOutcome(row.last_key or "", row.last_outcome)
            messages_read = tuple(ChatMessage(one.role, one.content) for one in spoken)
            return replace(self._session(row), messages=messages_read, last=last)

    def save(self, session: KeptSession, known: int, exchange: Exchange | None = None) -> bool:
        changed: dict[str, Any] = {"calls": session.calls, "used_at": session.used_at, "exchanges": session.exchanges}
        if session.last is not None:
            changed |= {"last_key": session.last.key, "last_outcome": session.last.text}
        mine = _SESSIONS.c.session_id == session.session_id
        with self._writing("keep a session", alone=False) as connection:
            there = bool(connection.execute(update(_SESSIONS).where(mine).values(changed)).rowcount)
            if there:
                _add_messages(connection, session, known)
            if there and exchange is not None:
                connection.execute(_ADD_LOG, _logged(session, exchange))
            return there

    def log(self, session_id: str) -> Sequence[Exchange]:
        query = select(_LOG.c.inputs, _LOG.c.response).where(_LOG.c.session_id == session_id).order_by(_LOG.c.position)
        with self._reading("read a session") as connection:
            return [Exchange(json.loads(row.inputs), row.response) for row in connection.execute(query)]

    def hold(self, session_id: str) -> AbstractContextManager[None]:
        return self._holding(self._backend.hold_session(session_id), f"hold session {session_id!r}")

    def sessions(self) -> Sequence[KeptSession]:
        query = select(*_WITHOUT_OUTCOME).order_by(_SESSIONS.c.used_at, tables.ordered(_SESSIONS.c.session_id))
        with self._reading("list its sessions") as connection:
            return [self._session(row) for row in connection.execute(query)]

    def delete(self, session_id: str) -> None:
        with self._writing("forget a session") as connection:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.session_id == session_id))

    def _session(self, row: Row[Any]) -> KeptSession:
        try:
            seed = None if row.seed is None else int(row.seed)
            labels = json.loads(row.labels)
            return KeptSession(row.session_id, row.role, seed, row.used_at, labels, (), row.calls, row.exchanges)
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


def _logged(session: KeptSession, exchange: Exchange) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "position": session.exchanges,
        "inputs": json.dumps(dict(exchange.inputs), default=str),
        "response": exchange.response,
    }
