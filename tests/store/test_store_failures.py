"""A store that cannot be used says which, why and what to do, and keeps what it has."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prismenv.cli.changes import located_changes
from prismenv.cli.places import located
from prismenv.engine.location import store_location
from prismenv.engine.resuming import stored_recipe
from prismenv.finding.workspace import find_workspaces
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
from prismenv.words.events import Event


def refused(url_or_path: str | Path, *, create: bool = True) -> StorageException:
    with pytest.raises(StorageException) as caught:
        open_store(url_or_path, create=create)
    return caught.value


def test_the_store_makes_its_own_folder_but_not_the_ones_above_it(tmp_path: Path) -> None:
    open_store(tmp_path / "folder" / "s.db").close()
    error = refused(tmp_path / "not there" / "folder" / "s.db")
    assert str(tmp_path / "not there" / "folder" / "s.db") in error.message
    assert error.code == "store_unwritable"
    assert isinstance(error, OSError)


def test_a_store_that_must_exist_is_not_made(tmp_path: Path) -> None:
    assert refused(tmp_path / "s.db", create=False).code == "store_missing"
    assert not list(tmp_path.iterdir())


def test_a_path_through_a_file_and_a_folder_as_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert str(tmp_path / "file" / "s.db") in refused(tmp_path / "file" / "s.db").message
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / "folder") in refused(tmp_path / "folder").message


def test_a_file_that_is_no_database_is_not_touched(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("dear diary\n" * 200)
    error = refused(file)
    assert error.code == "store_corrupt"
    assert str(file) in error.message
    assert file.read_text().startswith("dear diary")


def test_a_damaged_file_is_named(file: Path, store, make_run, make_node) -> None:
    store.save_run(make_run())
    for index in range(50):
        store.save_nodes("run-1", [make_node(index)])
    store.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StorageException) as caught, closing(open_store(file)) as damaged:
        list(damaged.nodes("run-1"))
    assert caught.value.code == "store_corrupt"
    assert str(file) in caught.value.message


def test_a_row_changed_by_hand_is_named_by_run_and_node(file: Path, store, make_run, make_node) -> None:
    store.save_run(make_run())
    store.save_nodes("run-1", [make_node(0)])
    with closing(sqlite3.connect(file)) as other:
        other.execute("""UPDATE attempts SET record = '{"attempt_num": "many"}'""")
        other.commit()
    with pytest.raises(StorageException, match="Node 0 of run run-1 cannot be read back"):
        list(store.nodes("run-1"))


DAMAGE = {
    "recipe = '{bad'": "Expecting property name",
    "recipe = '[]'": "recipe is no mapping",
    "recipe = x'ff00'": "recipe is no text",
    "seed = 'many'": "'many'",
    "status = 'sleeping'": "status is 'sleeping'",
    "started_at = 'abc'": "no time",
    "started_at = 1e300": "no time",
    "ended_at = 'abc'": "no time",
    "note = x'ff00'": "note is no text",
}


@pytest.mark.parametrize(("change", "why"), DAMAGE.items(), ids=list(DAMAGE))
def test_a_run_whose_row_was_changed_by_hand_hides_no_other_and_can_be_removed(
    change: str, why: str, file: Path, store, make_run
) -> None:
    store.save_run(make_run("run-1"))
    store.save_run(make_run("run-2", started_at=5.0))
    with closing(sqlite3.connect(file)) as other:
        other.execute(f"UPDATE runs SET {change} WHERE run_id = 'run-2'")
        other.commit()
    runs = {run.run_id: run for run in store.runs()}
    assert runs["run-1"] == make_run("run-1")
    assert runs["run-2"].status == "damaged"
    assert why in runs["run-2"].note
    with pytest.raises(StorageException, match="cannot be read back"):
        stored_recipe(runs["run-2"])
    store.delete_run("run-2")
    assert [run.run_id for run in store.runs()] == ["run-1"]


def test_an_event_changed_by_hand_is_named_by_its_run(file: Path, store, make_run) -> None:
    store.save_run(make_run(), [Event("run_started", "run-1", 1.0)])
    with closing(sqlite3.connect(file)) as other:
        other.execute("UPDATE events SET data = '{'")
        other.commit()
    with pytest.raises(StorageException, match="The events of run run-1 cannot be read back"):
        store.events("run-1")


@pytest.mark.parametrize("change", ["UPDATE schema_version SET version = 'a' || version", "DELETE FROM schema_version"])
def test_a_store_that_does_not_say_its_version_is_named_and_left_alone(change: str, file: Path, store) -> None:
    store.close()
    with closing(sqlite3.connect(file)) as other:
        other.execute(change)
        other.commit()
    error = refused(file)
    assert error.code == "store_corrupt"
    assert f"{file} does not say which schema version it has" in error.message


def test_a_database_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.db")) as other:
        other.execute("CREATE TABLE recipes_of_my_grandmother (name)")
        other.commit()
    error = refused(tmp_path / "s.db")
    assert error.code == "store_foreign"
    assert "recipes_of_my_grandmother" in error.message


def in_subprocess(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=200, check=False
    )


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from sqlalchemy.dialects.sqlite import pysqlite
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    open_store(sys.argv[1])
except StorageException as error:
    print(error.code, error)
"""


@pytest.mark.parametrize("exists", [False, True], ids=["new file", "file of somebody else"])
def test_an_unwritable_folder_is_named(exists: bool) -> None:
    with tempfile.TemporaryDirectory() as outer:  # not tmp_path: another user cannot reach that
        Path(outer).chmod(0o711)
        folder = Path(outer) / "locked"
        folder.mkdir()
        if exists:
            open_store(folder / "s.db").close()
            (folder / "s.db").chmod(0o444)
        folder.chmod(0o555)
        answer = in_subprocess(UNPRIVILEGED, str(folder / "s.db"))
        folder.chmod(0o755)
    assert answer.stdout.startswith("store_unwritable"), answer.stdout + answer.stderr
    assert str(folder / "s.db") in answer.stdout


FULL = """
import resource, signal, sys
from prismenv.contracts.archive import NodeRecord, RunRecord
from prismenv.store.database import open_store
from prismenv.words.errors import StorageException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults
store = open_store(sys.argv[1])
store.save_run(RunRecord("run-1", "n", "e", "running", 0, {}, 1.0))
if sys.argv[2] == "limit":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
written = 0
def save(size):
    request = NodeRequest(written, "a", ("a",), "easy", 1)
    store.save_nodes("run-1", [NodeRecord(NodeOutcome(request, ChallengeResults(success=True, data="x" * size)))])
try:
    while written < 1000:
        save(5000)
        written += 1
except StorageException as error:
    print(error.code)
    print(error)
else:
    sys.exit("the disk never filled")
print(written, len(list(store.nodes("run-1"))))
"""


def says_full_and_loses_nothing(file: Path, how: str, codes: set[str]) -> None:
    answer = in_subprocess(FULL, str(file), how)
    assert answer.returncode == 0, answer.stderr
    code, *message, counts = answer.stdout.splitlines()
    assert code in codes
    assert str(file) in message[0]
    written, read = counts.split()
    assert int(written) == int(read) > 10


def test_a_file_that_may_not_grow_is_named_and_finished_nodes_stay(file: Path, make_node) -> None:
    says_full_and_loses_nothing(file, "limit", {"store_full", "store_io"})
    with closing(open_store(file)) as again:
        done = len(list(again.nodes("run-1")))
        again.save_nodes("run-1", [make_node(done)])
        assert len(list(again.nodes("run-1"))) == done + 1


def test_a_full_disk_is_named_and_finished_nodes_stay(small_disk: Callable[[int], Path]) -> None:
    says_full_and_loses_nothing(small_disk(1) / "s.db", "disk", {"store_full"})


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql+nodriver://me:secret@host/db", "store_unsupported"),
        ("nosuchdatabase://me:secret@host/db", "store_unsupported"),
        ("mysql+pymysql://me:secret@host/db", "store_unsupported"),
        ("postgresql://me:half@secret@host/db", "store_url"),
        ("postgresql://me:secret@host:port/db", "store_url"),
        ("://secret", "store_url"),
        ("sqlite://", "storage_failed"),
        ("sqlite:///:memory:", "storage_failed"),
        ("sqlite:///file.db?mode=memory", "storage_failed"),
    ],
)
def test_urls_of_other_databases_are_refused_without_showing_a_password(url: str, code: str) -> None:
    error = refused(url)
    assert error.code == code
    assert "secret" not in str(error)
    assert error.hint


def test_a_sqlite_url_is_the_same_as_its_path(tmp_path: Path, make_run) -> None:
    with closing(open_store(f"sqlite:///{tmp_path / 's.db'}")) as store:
        store.save_run(make_run())
    with closing(open_store(tmp_path / "s.db", create=False)) as store:
        assert [run.run_id for run in store.runs()] == ["run-1"]


@pytest.mark.parametrize("key", ["api_key", "OPENAI-API-KEY", "apiKey", "password", "hf_token", "client_secret"])
def test_secrets_in_a_recipe_are_masked(store, make_run, key: str) -> None:
    recipe = {
        "config": {"deep": [{key: "sk-12345"}]},
        "budget": {"tokens": 5},
        "interface": {"token_variable": "TOKEN"},
    }
    store.save_run(make_run(recipe={**recipe, "url": "http://me:sk-12345@host/v1"}))
    (run,) = store.runs()
    assert run.recipe == {
        "config": {"deep": [{key: "***"}]},
        "budget": {"tokens": 5},
        "interface": {"token_variable": "TOKEN"},
        "url": "http://me:***@host/v1",
    }


@pytest.mark.parametrize(
    "text", ["postgres//x", "postgresql:/me:pw@host/x", "sqlite//runs.db", "postgresql//me:pw@h/x"]
)
def test_a_url_without_its_colon_is_no_path(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRISMENV_STORE", text)
    workspaces = find_workspaces(tmp_path)
    tries: list[Callable[[], object]] = [
        lambda: open_store(text),
        lambda: store_location(None, workspaces),
        lambda: located(text, workspaces),
        lambda: located_changes([f"output.store={text}"], tmp_path, {}),
    ]
    for attempt in tries:
        with pytest.raises(StorageException, match="looks like a URL") as caught:
            attempt()
        assert caught.value.code == "store_url"
        assert "pw" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(StorageException, match="is no regular file"):
            open_store(path)
