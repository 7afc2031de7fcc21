"""The store on a relational database, SQLite or PostgreSQL.

Theory of operation. Each node, or each group of nodes, is one transaction; what differs between databases is in
`sqlite.py` and `postgres.py`. Its statements are written once, and its rows go to the driver as `codec.py` made them,
since carrying each value through the columns' types cost as much as writing it. Readers use connections of their own
and never wait for writers. A run is read in pages of nodes, each page a transaction of its own: nodes are only ever
added, so the pages agree, and a reader that stops half way holds nothing open. Methods may be called from any thread.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.store import codec, tables
from prismenv.store.answers import StoredAnswers
from prismenv.store.backend import Backend
from prismenv.store.connections import Database, backend_of
from prismenv.store.failures import storage_errors
from prismenv.words.errors import StorageException
from prismenv.words.events import Event
from prismenv.words.nearness import nearest

PAGE_NODES = 100


def open_store(url_or_path: str | Path, *, create: bool = True) -> Store:
    """The store in that file (a path, or `sqlite:///` and a path) or database (`postgresql://…`), made and migrated
    where needed.

    The file's own folder is made too, its parents are not; a database must be there, its tables are made. With `create`
    false a store that does not exist is a StorageException (`store_missing`). Close the store when done with it.
    """
    return DatabaseStore(backend_of(str(url_or_path)), create=create)


class DatabaseStore(Database, Store):
    """Runs in a database. Made by `open_store`."""

    def __init__(self, backend: Backend, *, create: bool = True) -> None:
        super().__init__(backend, create=create)
        self.answers = StoredAnswers(self._reading, self._writing)
        self._inserts = {
            table.name: str(insert(table).compile(self._engine)) for table in tables.metadata.sorted_tables
        }

    def save_run(self, run: RunRecord, events: Sequence[Event] = ()) -> None:
        values = codec.run_values(run)
        with self._writing(f"save run {run.run_id}") as connection:
            changed = connection.execute(update(tables.runs).where(tables.runs.c.run_id == run.run_id).values(values))
            if not changed.rowcount:
                connection.execute(insert(tables.runs).values(values))
            if events:
                mine = (tables.events.c.run_id == run.run_id) & (tables.events.c.node_index == tables.RUN_EVENTS)
                count = connection.execute(select(func.count()).select_from(tables.events).where(mine)).scalar_one()
                rows = codec.event_values(run.run_id, tables.RUN_EVENTS, events, first=count)
                connection.execute(insert(tables.events), rows)

    def save_nodes(self, run_id: str, nodes: Sequence[NodeRecord]) -> None:
        indices = [node.outcome.request.index for node in nodes]
        rows = _node_rows(run_id, nodes)
        try:
            with self._writing(f"save {_named(indices)} of run {run_id}", alone=False) as connection:
                for table, values in rows.items():
                    if values:
                        connection.exec_driver_sql(self._inserts[table.name], values)
        except StorageException as error:
            if isinstance(error.__cause__, IntegrityError):
                raise self._refused(run_id, indices, error.__cause__) from error
            raise

    def _refused(self, run_id: str, indices: Sequence[int], error: IntegrityError) -> StorageException:
        """Why nodes were refused; raises where their run is unknown."""
        self._require(run_id)
        column = tables.nodes.c.node_index
        with self._reading("be read") as connection:
            query = select(column).where(tables.nodes.c.run_id == run_id, column.in_(indices)).order_by(column)
            there = list(connection.execute(query).scalars())
        if not there:
            return StorageException(f"{_named(indices).capitalize()} of run {run_id}: {error.orig}.", subject=run_id)
        return StorageException(
            f"{_named(there).capitalize()} of run {run_id} is in the store {self.location} already.",
            code="duplicate_node",
            subject=run_id,
            hint="A finished node is never written twice; resume the run instead of starting it again.",
        )

    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        return self._holding(self._backend.lock_run(run_id), f"lock run {run_id}")

    def is_locked(self, run_id: str) -> bool:
        with storage_errors(self._backend, f"look at the lock of run {run_id}"):
            return self._backend.is_locked(run_id)

    def runs(self) -> Sequence[RunRecord]:
        done = (
            select(tables.nodes.c.run_id, func.count().label("nodes_done")).group_by(tables.nodes.c.run_id).subquery()
        )
        query = (
            select(tables.runs, func.coalesce(done.c.nodes_done, 0).label("nodes_done"))
            .outerjoin(done, done.c.run_id == tables.runs.c.run_id)
            .order_by(tables.runs.c.started_at.desc(), tables.ordered(tables.runs.c.run_id))
        )
        with self._reading("list its runs") as connection:
            return [codec.run_of(row) for row in connection.execute(query)]

    def nodes(self, run_id: str, *, after: int = -1) -> Iterator[NodeRecord]:
        self._require(run_id)
        return self._pages(run_id, after)

    def _pages(self, run_id: str, last: int) -> Iterator[NodeRecord]:
        while page := self._page(run_id, last):
            yield from page
            last = page[-1].outcome.request.index

    def _page(self, run_id: str, after: int) -> list[NodeRecord]:
        nodes = tables.nodes
        query = select(nodes).where(nodes.c.run_id == run_id, nodes.c.node_index > after)
        with self._reading(f"read run {run_id}") as connection:
            rows = connection.execute(query.order_by(nodes.c.node_index).limit(PAGE_NODES)).all()
            if not rows:
                return []
            span = (rows[0].node_index, rows[-1].node_index)
            parts = [
                _by_node(connection, table, run_id, span)
                for table in (tables.attempts, tables.model_calls, tables.events)
            ]
        return [codec.node_of(row, *(part.get(row.node_index, ()) for part in parts)) for row in rows]

    def events(self, run_id: str) -> Sequence[Event]:
        self._require(run_id)
        events = tables.events
        query = select(events).where(events.c.run_id == run_id, events.c.node_index == tables.RUN_EVENTS)
        with self._reading(f"read the events of run {run_id}") as connection:
            return codec.run_events_of(run_id, connection.execute(query.order_by(events.c.position)))

    def delete_run(self, run_id: str) -> None:
        self._require(run_id)
        with self._writing(f"delete run {run_id}") as connection:
            connection.execute(delete(tables.runs).where(tables.runs.c.run_id == run_id))

    def _require(self, run_id: str) -> None:
        with self._reading("list its runs") as connection:
            known = list(connection.execute(select(tables.runs.c.run_id)).scalars())
        if run_id in known:
            return
        near = nearest(run_id, known)
        raise StorageException(
            f"There is no run {run_id} in the store {self.location}.",
            code="unknown_run",
            subject=run_id,
            hint=f"Did you mean {near}?" if near else "`prismenv runs list` shows the runs that there are.",
        )


def _by_node(
    connection: Connection, table: Table, run_id: str, span: tuple[int, int]
) -> dict[int, tuple[Row[Any], ...]]:
    query = select(table).where(table.c.run_id == run_id, table.c.node_index.between(*span))
    rows = connection.execute(query.order_by(table.c.node_index, table.c.position))
    return {index: tuple(group) for index, group in groupby(rows, key=lambda row: row.node_index)}


def _node_rows(run_id: str, nodes: Sequence[NodeRecord]) -> dict[Table, list[dict[str, Any]]]:
    """What each table is given; nodes come first, since the others refer to them."""
    rows: dict[Table, list[dict[str, Any]]] = {
        table: [] for table in (tables.nodes, tables.attempts, tables.model_calls, tables.events)
    }
    for node in nodes:
        index = node.outcome.request.index
        rows[tables.nodes].append(codec.node_values(run_id, node.outcome))
        rows[tables.attempts] += codec.attempt_values(run_id, node.outcome)
        rows[tables.model_calls] += codec.call_values(run_id, index, node.calls)
        rows[tables.events] += codec.event_values(run_id, index, node.events)
    return rows


def _named(indices: Sequence[int]) -> str:
    return f"node{'s' * (len(indices) != 1)} {', '.join(map(str, indices))}"
