"""What the workers of an LLM service share, in the store's database.

Theory of operation. Nothing here is held between two calls: each is one transaction, and two workers that do the same
thing at once are told apart by what the database says of it, a row that there is already or one that was not changed.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from prismenv.contracts.servicebook import BookedSession, BookedTask, BookedWorker, ServiceBook
from prismenv.store import servicetables as tables
from prismenv.store.connections import Database, backend_of
from prismenv.words.errors import StorageException

_SESSIONS, _CONVERSATIONS = tables.service_sessions, tables.service_conversations
_TASKS, _WORKERS = tables.service_tasks, tables.service_workers
FRESH_SECONDS = 1.0  # a session that was used so lately is not said to be used again
MOST_NAMES = 500  # in one query: databases limit its variables


def open_service_book(url_or_path: str | Path) -> ServiceBook:
    """The book in that store (a path or a URL), made where it is not there. Close it at the end."""
    return DatabaseServiceBook(backend_of(str(url_or_path)))


class DatabaseServiceBook(Database, ServiceBook):
    """The book in a database. Made by `open_service_book`."""

    def open(self, session: BookedSession, most: int) -> BookedSession | None:
        values = {
            "owner": session.owner,
            "session_id": session.session_id,
            "opening": session.opening,
            "role": session.role,
            "used_at": session.used_at,
        }
        try:
            with self._writing("open a session") as connection:
                if connection.execute(select(func.count()).select_from(_SESSIONS)).scalar_one() >= most:
                    return None
                connection.execute(insert(_SESSIONS), values)
        except StorageException as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            there = self.use(session.owner, session.session_id, session.used_at)
            return self.open(session, most) if there is None else there  # None: it was forgotten meanwhile
        return session

    def use(self, owner: str, session_id: str, now: float) -> BookedSession | None:
        mine = (_SESSIONS.c.owner == owner) & (_SESSIONS.c.session_id == session_id)
        with self._reading("find a session") as connection:
            found = _with_conversations(connection, connection.execute(select(_SESSIONS).where(mine)).all())
        if not found:
            return None
        if now - found[0].used_at > FRESH_SECONDS:
            with self._writing("use a session") as connection:
                if not connection.execute(update(_SESSIONS).where(mine).values(used_at=now)).rowcount:
                    return None
            return replace(found[0], used_at=now)
        return found[0]

    def join(self, opening: str, role: str, inner_id: str) -> str | None:
        mine = _CONVERSATIONS.c.opening == opening
        try:
            with self._writing("begin a conversation") as connection:
                count = connection.execute(select(func.count()).select_from(_CONVERSATIONS).where(mine)).scalar_one()
                values = {"opening": opening, "role": role, "position": count, "inner_id": inner_id}
                connection.execute(insert(_CONVERSATIONS), values)
        except StorageException as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            query = select(_CONVERSATIONS.c.inner_id).where(mine, _CONVERSATIONS.c.role == role)
            with self._reading("find a conversation") as connection:
                found: str | None = connection.execute(query).scalar()
                return found
        return inner_id

    def of(self, owner: str | None, used_before: float | None = None) -> Sequence[BookedSession]:
        query = select(_SESSIONS).order_by(_SESSIONS.c.used_at, _SESSIONS.c.session_id)
        if owner is not None:
            query = query.where(_SESSIONS.c.owner == owner)
        if used_before is not None:
            query = query.where(_SESSIONS.c.used_at < used_before)
        with self._reading("list its sessions") as connection:
            return _with_conversations(connection, connection.execute(query).all())

    def remove(self, opening: str, used_before: float | None = None) -> bool:
        wanted = delete(_SESSIONS).where(_SESSIONS.c.opening == opening)
        if used_before is not None:
            wanted = wanted.where(_SESSIONS.c.used_at < used_before)
        with self._writing("forget a session") as connection:
            return bool(connection.execute(wanted).rowcount)

    def present(self, openings: Collection[str]) -> frozenset[str]:
        found: set[str] = set()
        with self._reading("look for sessions") as connection:
            for names in _portions(openings):
                query = select(_SESSIONS.c.opening).where(_SESSIONS.c.opening.in_(names))
                found.update(connection.execute(query).scalars())
        return frozenset(found)

    def count_sessions(self) -> int:
        with self._reading("count its sessions") as connection:
            return int(connection.execute(select(func.count()).select_from(_SESSIONS)).scalar_one())

    def begin(self, task: BookedTask) -> BookedTask:
        values = {
            "task_id": task.task_id,
            "owner": task.owner,
            "session_id": task.session_id,
            "question": task.key or None,
            "worker": task.worker,
            "asked_at": task.asked_at,
        }
        try:
            with self._writing("begin a task") as connection:
                connection.execute(insert(_TASKS), values)
        except StorageException as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            same = (_TASKS.c.owner == task.owner) & (_TASKS.c.session_id == task.session_id)
            with self._reading("find a task") as connection:
                row = connection.execute(select(_TASKS).where(same, _TASKS.c.question == task.key)).first()
            return self.begin(task) if row is None else _task(row)  # None: its end let go of the key meanwhile
        return task

    def task(self, owner: str, task_id: str) -> BookedTask | None:
        query = select(_TASKS).where(_TASKS.c.task_id == task_id, _TASKS.c.owner == owner)
        with self._reading("find a task") as connection:
            row = connection.execute(query).first()
            return None if row is None else _task(row)

    def tasks(self, task_ids: Collection[str]) -> Sequence[BookedTask]:
        found: list[BookedTask] = []
        with self._reading("find tasks") as connection:
            for names in _portions(task_ids):
                rows = connection.execute(select(_TASKS).where(_TASKS.c.task_id.in_(names)))
                found += [_task(row) for row in rows]
        return found

    def asked(self, task_ids: Collection[str], now: float) -> None:
        with self._writing("keep tasks") as connection:
            for names in _portions(task_ids):
                connection.execute(update(_TASKS).where(_TASKS.c.task_id.in_(names)).values(asked_at=now))

    def end(self, task_id: str, ending: str, now: float, *, again: bool) -> bool:
        running = (_TASKS.c.task_id == task_id) & _TASKS.c.ended_at.is_(None)
        with self._writing("end a task") as connection:
            return bool(
                connection.execute(update(_TASKS).where(running).values(_ended(ending, now, again=again))).rowcount
            )

    def forget_tasks(self, ended_before: float) -> int:
        with self._writing("forget tasks") as connection:
            return connection.execute(delete(_TASKS).where(_TASKS.c.ended_at < ended_before)).rowcount

    def beat(self, worker: BookedWorker) -> None:
        values = {"state": worker.state, "lease_until": worker.lease_until, "samples": worker.samples}
        with self._writing("keep a worker") as connection:
            mine = update(_WORKERS).where(_WORKERS.c.worker == worker.worker).values(values)
            if not connection.execute(mine).rowcount:
                connection.execute(insert(_WORKERS), {"worker": worker.worker, **values})

    def workers(self) -> Sequence[BookedWorker]:
        with self._reading("list its workers") as connection:
            rows = connection.execute(select(_WORKERS).order_by(_WORKERS.c.worker))
            return [BookedWorker(row.worker, row.state, row.lease_until, row.samples) for row in rows]

    def leave(self, worker: str) -> None:
        with self._writing("forget a worker") as connection:
            connection.execute(delete(_WORKERS).where(_WORKERS.c.worker == worker))

    def bury(self, ending: str, now: float) -> int:
        lost = _TASKS.c.ended_at.is_(None) & _TASKS.c.worker.not_in(select(_WORKERS.c.worker))
        with self._writing("forget workers") as connection:
            connection.execute(delete(_WORKERS).where(_WORKERS.c.lease_until < now))
            return connection.execute(update(_TASKS).where(lost).values(_ended(ending, now, again=True))).rowcount


def _ended(ending: str, now: float, *, again: bool) -> dict[str, Any]:
    return {"ending": ending, "ended_at": now} | ({"question": None} if again else {})


def _portions(names: Collection[str]) -> list[list[str]]:
    ordered = sorted(names)
    return [ordered[start : start + MOST_NAMES] for start in range(0, len(ordered), MOST_NAMES)]


def _with_conversations(connection: Connection, rows: Sequence[Row[Any]]) -> list[BookedSession]:
    inner: dict[str, dict[str, str]] = defaultdict(dict)
    for openings in _portions([row.opening for row in rows]):
        query = select(_CONVERSATIONS).where(_CONVERSATIONS.c.opening.in_(openings))
        for row in connection.execute(query.order_by(_CONVERSATIONS.c.position, _CONVERSATIONS.c.role)):
            inner[row.opening][row.role] = row.inner_id
    found = [BookedSession(row.owner, row.session_id, row.opening, row.role, row.used_at) for row in rows]
    return [replace(session, conversations=inner[session.opening]) for session in found]


def _task(row: Row[Any]) -> BookedTask:
    return BookedTask(
        row.owner,
        row.task_id,
        row.session_id,
        row.question or "",
        row.worker,
        row.asked_at,
        row.ended_at,
        row.ending,
    )
