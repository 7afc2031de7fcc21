"""Every store is brought to the newest version or left as it was."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect

from prismenv.store import tables
from prismenv.store.database import open_store
from prismenv.store.migrations import STEPS, migrate
from prismenv.store.sqlite import open_engine, transaction
from prismenv.words.errors import StorageException


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]


def add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN mood TEXT")


def fail(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN other TEXT")
    connection.exec_driver_sql("ALTER TABLE no_such_table ADD COLUMN other TEXT")


def columns_of(file: Path, table: str) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def test_the_steps_make_what_the_queries_expect(file: Path) -> None:
    open_store(file).close()
    engine = open_engine(file)
    with engine.connect() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == set(tables.metadata.tables)
        for name, table in tables.metadata.tables.items():
            made = {column["name"]: column["nullable"] for column in found.get_columns(name)}
            assert made == {column.name: bool(column.nullable) for column in table.columns}, name
            assert found.get_pk_constraint(name)["constrained_columns"] == [key.name for key in table.primary_key], name
            keys = {tuple(key["constrained_columns"]) for key in found.get_foreign_keys(name)}
            assert keys == {tuple(key.column_keys) for key in table.foreign_key_constraints}, name
    engine.dispose()


def test_a_new_store_has_the_newest_version_and_opening_it_again_changes_nothing(file: Path) -> None:
    open_store(file).close()
    first = file.read_bytes()
    open_store(file).close()
    assert version_of(file) == len(STEPS)
    assert file.read_bytes() == first


def test_an_older_store_takes_only_the_steps_that_it_lacks(file: Path, store, make_run) -> None:
    store.save_run(make_run())
    engine = open_engine(file)
    with transaction(engine, writing=True) as connection:
        assert migrate(connection, "here", (*STEPS, add_column)) == len(STEPS)
    engine.dispose()
    assert version_of(file) == len(STEPS) + 1
    assert "mood" in columns_of(file, "runs")


def test_a_step_that_fails_leaves_the_older_store_whole(file: Path, store, make_run) -> None:
    store.save_run(make_run())
    engine = open_engine(file)
    with (
        pytest.raises(Exception, match="no_such_table"),
        transaction(engine, writing=True) as connection,
    ):
        migrate(connection, "here", (*STEPS, add_column, fail))
    engine.dispose()
    assert version_of(file) == len(STEPS)
    assert not {"mood", "other"} & columns_of(file, "runs")
    assert [run.run_id for run in store.runs()] == ["run-1"]


def test_a_store_from_a_newer_version_is_refused_with_both_versions_and_what_to_do(file: Path) -> None:
    open_store(file).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
        connection.commit()
    before = file.read_bytes()
    with pytest.raises(StorageException) as caught:
        open_store(file)
    assert caught.value.code == "store_too_new"
    assert "version 99" in caught.value.message
    assert f"up to {len(STEPS)}" in caught.value.message
    assert str(file) in caught.value.message
    assert "output.store" in (caught.value.hint or "")
    assert file.read_bytes() == before


def test_calls_of_a_store_without_a_cache_are_read_as_not_cached(file: Path, store, make_run, make_node) -> None:
    run = make_run()
    store.save_run(run)
    store.save_nodes(run.run_id, [make_node(0)])
    before = list(store.nodes(run.run_id))
    store.close()
    with closing(sqlite3.connect(file)) as connection:  # as version 2 left it
        connection.execute("ALTER TABLE model_calls DROP COLUMN cached")
        connection.execute("DROP TABLE answers")
        for column in ("phase", "environment"):
            connection.execute(f"ALTER TABLE nodes DROP COLUMN {column}")
        service = ("service_conversations", "service_sessions", "service_tasks", "service_workers")
        for table in ("session_exchanges", *service):
            connection.execute(f"DROP TABLE {table}")
        for column in ("exchanges", "last_key", "last_outcome"):
            connection.execute(f"ALTER TABLE sessions DROP COLUMN {column}")
        connection.execute("DELETE FROM schema_version WHERE version > 2")
        connection.commit()
    with closing(open_store(file)) as newer:
        assert version_of(file) == len(STEPS)
        assert list(newer.nodes(run.run_id)) == before
        newer.answers.keep("key", "model", "answer", 1.0)
        newer.answers.keep("key", "model", "another", 2.0)
        assert (newer.answers.find("key"), newer.answers.find("none")) == ("another", None)
