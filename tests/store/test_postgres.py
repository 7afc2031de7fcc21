"""What only a server can do to a store: refuse, vanish, come back, be too old; and what is shared by its clients."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prismenv.engine.checkup import _look_at_store
from prismenv.store.database import open_store
from prismenv.store.pgfailures import too_old
from prismenv.store.sessionstore import open_sessions
from prismenv.words.errors import StorageException
from prismenv.words.masking import mask_secrets

PASSWORD = "wrong-secret"


def refused(url: str, *, create: bool = True) -> StorageException:
    with pytest.raises(StorageException) as caught:
        open_store(url, create=create)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in str(caught.value.hint)
    return caught.value


@pytest.fixture(scope="module")
def own(postgres: Any) -> Iterator[Any]:
    """A server that asks for passwords and may be stopped."""
    server = type(postgres)(postgres.programs, auth="scram-sha-256")
    yield server
    server.remove()


def test_a_server_that_refuses_is_told_by_what_it_refused_and_what_to_do(own: Any) -> None:
    assert refused(own.url(user=f"prismenv:{PASSWORD}")).code == "store_denied"
    assert refused(own.url(user=f"nobody-known:{PASSWORD}")).code == "store_denied"
    assert refused(own.url(user="prismenv")).code == "store_denied"
    assert refused(own.url(database="nowhere")).code == "store_unknown_database"
    assert refused(own.url(options="?options=-csearch_path%3Dnowhere")).code == "store_unwritable"


def test_a_host_that_cannot_be_reached_is_named(own: Any) -> None:
    error = refused(f"postgresql://me:{PASSWORD}@127.0.0.1:1/db")
    assert error.code == "store_unreachable"
    assert "postgresql://me:***@127.0.0.1:1/db" in str(error)
    assert refused(f"postgresql://me:{PASSWORD}@no.such.host.invalid/db").code == "store_unreachable"


def test_the_password_may_come_from_the_environment_or_a_file(own: Any, tmp_path: Path, monkeypatch: Any) -> None:
    url = own.url(user="prismenv", options="?options=-csearch_path%3Dpublic")
    monkeypatch.setenv("PGPASSWORD", "right")
    open_store(url).close()
    monkeypatch.delenv("PGPASSWORD")
    assert refused(url).code == "store_denied"
    passwords = tmp_path / "pgpass"
    passwords.write_text("127.0.0.1:*:*:prismenv:right\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    open_store(url).close()


def test_a_user_without_rights_is_told_so_and_one_who_may_read_can(own: Any, make_run: Any) -> None:
    with own.connect() as connection:
        connection.execute("CREATE USER guest PASSWORD 'guest'")
        connection.execute("CREATE SCHEMA closed")
    url = own.url(user="guest:guest", options="?options=-csearch_path%3Dclosed")
    assert refused(url).code == "store_unwritable"
    with closing(open_store(own.url(options="?options=-csearch_path%3Dclosed"))) as store:
        store.save_run(make_run())
    with own.connect() as connection:
        connection.execute("GRANT USAGE ON SCHEMA closed TO guest")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA closed TO guest")
    with closing(open_store(url, create=False)) as store:
        assert store.runs() == [make_run()]
        with pytest.raises(StorageException) as caught:
            store.delete_run("run-1")
        assert caught.value.code == "store_unwritable"


def test_a_password_is_shown_nowhere() -> None:
    for url in (
        "postgresql://me:wrong-secret@host/db",
        "postgres://me:wrong-secret/with@signs@host/db",
        "postgresql+psycopg://host/db?user=me&password=wrong-secret",
        "postgresql://host/db?sslpassword=wrong-secret&sslmode=require",
    ):
        assert "wrong-secret" not in mask_secrets(f"a store at {url}")
        assert "with@signs" not in mask_secrets(url)
    error = refused("postgresql://127.0.0.1:1/db?user=me&password=wrong-secret")
    assert "password=***" in error.message


def test_a_store_that_was_never_made_is_missing_and_not_made(postgres: Any) -> None:
    url = postgres.schema("never")
    assert refused(url, create=False).code == "store_missing"
    assert "makes its tables" in _look_at_store(url)
    with postgres.connect() as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'never'").fetchone()
    assert tables == (0,)
    open_store(url).close()
    assert "0 runs" in _look_at_store(url)


def test_a_schema_of_something_else_or_of_a_later_version_is_left_alone(postgres: Any) -> None:
    url = postgres.schema("foreign")
    with postgres.connect() as connection:
        connection.execute('CREATE TABLE "foreign".recipes_of_my_grandmother (name TEXT)')
    assert refused(url).code == "store_foreign"
    later = postgres.schema("later")
    open_store(later).close()
    with postgres.connect() as connection:
        connection.execute("INSERT INTO later.schema_version VALUES (99)")
    error = refused(later)
    assert error.code == "store_too_new"
    assert "version 99" in error.message


def test_a_database_that_cannot_keep_every_text_is_refused(postgres: Any) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    error = refused(postgres.url(database="latin"))
    assert (error.code, "LATIN1" in error.message) == ("store_encoding", True)


def test_the_message_of_a_server_that_is_too_old_names_both_versions() -> None:
    error = too_old("postgresql://host/db", 9, 13)
    assert error.code == "store_too_old"
    assert "PostgreSQL 9; 13 or newer" in error.message


def test_runs_of_one_time_are_ordered_by_code_points_as_in_a_file(store: Any, make_run: Any) -> None:
    names = ["b", "A", "a", "B", "ä", "Z", "_", "\U0001f600", "\uffff"]
    for name in names:
        store.save_run(make_run(name))
    assert [run.run_id for run in store.runs()] == sorted(names)


def test_a_server_that_is_stopped_and_started_again_loses_nothing(own: Any, make_run: Any, make_node: Any) -> None:
    with closing(open_store(own.schema("stopped"))) as store:
        store.save_run(make_run())
        store.save_nodes("run-1", [make_node(0)])
        own.stop(signal.SIGQUIT)
        for _ in range(2):  # the first finds a dead connection, the second no server
            with pytest.raises(StorageException) as caught:
                store.save_nodes("run-1", [make_node(1)])
            assert caught.value.code in ("store_lost", "store_unreachable")
            assert "--resume" in (caught.value.hint or "")
        own.start()
        store.save_nodes("run-1", [make_node(1)])
        assert list(store.nodes("run-1")) == [make_node(0), make_node(1)]


def test_who_has_lost_the_lock_writes_no_more(postgres: Any, make_run: Any, make_node: Any) -> None:
    url = postgres.schema("fenced")
    with closing(open_store(url)) as store, closing(open_store(url)) as other:
        store.save_run(make_run())
        with store.lock_run("run-1"):
            with postgres.connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                )
            with other.lock_run("run-1"):
                with pytest.raises(StorageException) as caught:
                    store.save_nodes("run-1", [make_node(0)])
                assert caught.value.code == "lock_lost"
                assert "the lock of run run-1" in caught.value.message
        with store.lock_run("run-1"):
            store.save_nodes("run-1", [make_node(0)])


def test_stores_that_share_a_database_do_not_share_locks(postgres: Any) -> None:
    one, two = postgres.schema("one"), postgres.schema("two")
    with (
        closing(open_store(one)) as first,
        closing(open_store(two)) as second,
        first.lock_run("run-1"),
        second.lock_run("run-1"),
        pytest.raises(StorageException, match="being worked on"),
        second.lock_run("run-1"),
    ):
        pass


def test_a_session_is_held_by_one_process_at_a_time(place: str) -> None:
    with closing(open_sessions(place)) as one, closing(open_sessions(place)) as two:
        with one.hold("s"):
            with two.hold("t"), pytest.raises(StorageException) as caught, two.hold("s"):
                pass
            assert caught.value.code == "session_busy"
        with two.hold("s"):
            pass


def test_answers_that_are_kept_at_once_are_replaced_and_none_fails(place: str) -> None:
    failures: list[BaseException] = []

    def keep() -> None:
        try:
            with closing(open_store(place)) as store:
                for number in range(10):
                    store.answers.keep(f"key {number}", "model", "answer", 1.0)
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(error)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with closing(open_store(place)) as store:
        assert store.answers.count(2.0) == 10
