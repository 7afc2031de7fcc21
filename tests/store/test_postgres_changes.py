"""On a server as in a file: migrations that fail leave the older store whole, rows changed by hand are told."""

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Connection

from prismenv.engine.resuming import stored_recipe
from prismenv.store.connections import backend_of
from prismenv.store.database import open_store
from prismenv.store.migrations import STEPS, migrate
from prismenv.words.errors import StorageException
from prismenv.words.events import Event


def add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN mood TEXT")


def fail(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE runs ADD COLUMN other TEXT")
    connection.exec_driver_sql("ALTER TABLE no_such_table ADD COLUMN other TEXT")


def columns_of_runs(postgres: Any, schema: str) -> set[str]:
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'runs'"
    with postgres.connect() as connection:
        return {row[0] for row in connection.execute(query, (schema,))}


def version_of(postgres: Any, schema: str) -> int:
    with postgres.connect() as connection:
        version: int = connection.execute(f'SELECT max(version) FROM "{schema}".schema_version').fetchone()[0]
        return version


def test_a_step_that_fails_leaves_the_older_store_whole(postgres: Any, make_run: Any) -> None:
    url = postgres.schema("failing")
    with closing(open_store(url)) as store:
        store.save_run(make_run())
        backend = backend_of(url)
        try:
            with pytest.raises(Exception, match="no_such_table"), backend.transaction(writing=True) as connection:
                migrate(connection, "here", (*STEPS, add_column, fail))
            assert version_of(postgres, "failing") == len(STEPS)
            assert not {"mood", "other"} & columns_of_runs(postgres, "failing")
            with backend.transaction(writing=True) as connection:
                assert migrate(connection, "here", (*STEPS, add_column)) == len(STEPS)
        finally:
            backend.close()
        assert version_of(postgres, "failing") == len(STEPS) + 1
        assert "mood" in columns_of_runs(postgres, "failing")
        assert [run.run_id for run in store.runs()] == ["run-1"]


def test_a_first_migration_that_fails_leaves_an_empty_schema(postgres: Any) -> None:
    backend = backend_of(postgres.schema("first"))
    try:
        with pytest.raises(Exception, match="no_such_table"), backend.transaction(writing=True) as connection:
            migrate(connection, "here", (*STEPS, fail))
    finally:
        backend.close()
    assert columns_of_runs(postgres, "first") == set()


DAMAGE = {
    "recipe = '{bad'": "Expecting property name",
    "recipe = '[]'": "recipe is no mapping",
    "seed = 'many'": "'many'",
    "status = 'sleeping'": "status is 'sleeping'",
    "started_at = 1e300": "no time",
    "started_at = 'NaN'": "no time",
}


def test_rows_that_were_changed_by_hand_are_told_and_hide_nothing(postgres: Any, make_run: Any, make_node: Any) -> None:
    with closing(open_store(postgres.schema("byhand"))) as store, postgres.connect() as other:
        store.save_run(make_run("run-1"), [Event("run_started", "run-1", 1.0)])
        store.save_nodes("run-1", [make_node(0)])
        for change, why in DAMAGE.items():
            store.save_run(make_run("run-2", started_at=5.0))
            other.execute(f"UPDATE byhand.runs SET {change} WHERE run_id = 'run-2'")
            runs = {run.run_id: run for run in store.runs()}
            assert (runs["run-1"].status, runs["run-2"].status) == (make_run().status, "damaged"), change
            assert why in runs["run-2"].note, change
            with pytest.raises(StorageException, match="cannot be read back"):
                stored_recipe(runs["run-2"])
            store.delete_run("run-2")
        other.execute("""UPDATE byhand.attempts SET record = '{"attempt_num": "many"}'""")
        with pytest.raises(StorageException, match="Node 0 of run run-1 cannot be read back"):
            list(store.nodes("run-1"))
        other.execute("UPDATE byhand.events SET data = '{' WHERE node_index = -1")
        with pytest.raises(StorageException, match="The events of run run-1 cannot be read back"):
            store.events("run-1")


def test_a_store_that_does_not_say_its_version_is_named_and_left_alone(postgres: Any) -> None:
    url = postgres.schema("unsaid")
    open_store(url).close()
    with postgres.connect() as other:
        other.execute("DELETE FROM unsaid.schema_version")
        with pytest.raises(StorageException, match="does not say which schema version it has") as caught:
            open_store(url)
        assert caught.value.code == "store_corrupt"
        assert other.execute("SELECT count(*) FROM unsaid.schema_version").fetchone() == (0,)
