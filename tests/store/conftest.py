"""Runs and nodes to store, and a PostgreSQL server to store them in, which is started for these tests.

A test that asks for `store` or `place` is run with both databases; one that also asks for `file` only with SQLite.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from prismenv.contracts.archive import CallRecord, NodeRecord, RunRecord, Store
from prismenv.store.database import open_store
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import CaseResult, Verdict

MakeRun = Callable[..., RunRecord]
MakeNode = Callable[..., NodeRecord]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".prismenv" / "prismenv.db"


_NOBODY = 65534
_numbers = count()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", ["sqlite"] if "file" in metafunc.fixturenames else ["sqlite", "postgresql"])


class PostgresServer:
    """A server of Debian's programs, in a folder of its own, on a free port of loopback. It refuses to be root's."""

    def __init__(self, programs: Path, *, auth: str = "trust") -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="prismenv-postgres-"))  # not tmp_path: another user cannot reach it
        self._user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        if self._user:
            os.chown(self.folder, _NOBODY, _NOBODY)
        (self.folder / "password").write_text("right")
        (self.folder / "password").chmod(0o644)
        options = ["-U", "prismenv", f"--auth={auth}", f"--pwfile={self.folder / 'password'}", "--encoding=UTF8"]
        command = [
            programs / "initdb",
            "-D",
            self._data,
            "--no-sync",
            "--locale=C.UTF-8",
            "--no-instructions",
            *options,
        ]
        subprocess.run(command, cwd="/", check=True, capture_output=True, timeout=120, **self._user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", user: str = "prismenv:right", options: str = "") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{options}"

    def schema(self, name: str) -> str:
        """The URL of a store of its own within the server's database; its schema is made here."""
        with self.connect() as connection:
            connection.execute(f'CREATE SCHEMA "{name}"')
        return self.url(options=f"?options=-csearch_path%3D{name}")

    def connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.url(), autocommit=True)

    def start(self) -> None:
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-F", "-c", "max_connections=50"]
        with (self.folder / "log").open("ab") as log:
            command = [self.programs / "postgres", "-D", self._data, *options]
            self._process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **self._user)
        deadline = time.monotonic() + 120
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts connections off and shuts down in order, SIGQUIT as a crash would."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=120)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


def postgres_programs() -> Path:
    """The folder of initdb and postgres; the test is skipped where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    for folder in [*([Path(found).resolve().parent] if found else []), *folders]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("no PostgreSQL here: install Debian's `postgresql` (scripts/get-postgres does)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a worker; not to be stopped."""
    server = PostgresServer(postgres_programs())
    yield server
    server.remove()


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> str:
    """Where a store may be made, for `open_store`."""
    if kind == "sqlite":
        return str(request.getfixturevalue("file"))
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.schema(f"s{next(_numbers)}")


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    opened = open_store(place)
    yield opened
    opened.close()


@pytest.fixture
def make_run() -> MakeRun:
    def make(run_id: str = "run-1", **changes: Any) -> RunRecord:
        facts: dict[str, Any] = {
            "name": "quickstart",
            "environment": "environment_coding_challenge",
            "status": "running",
            "seed": 7,
            "recipe": {"name": "quickstart", "models": {"default": "simulated/perfect"}},
            "started_at": 1000.0,
        }
        return RunRecord(run_id=run_id, **{**facts, **changes})

    return make


@pytest.fixture
def make_node() -> MakeNode:
    def make(index: int = 0, *, passed: bool = True, attempts: int = 2, run_id: str = "run-1") -> NodeRecord:
        trail = tuple(attempt(number, passed=passed and number == attempts - 1) for number in range(attempts))
        result = ChallengeResults(
            success=passed,
            data_trail=trail,
            problems=(ProblemSummary(problem_index=0, success=passed, attempts=attempts, title="Sum"),),
            success_rate=float(passed),
        )
        request = NodeRequest(index, f"loops|easy|{index}", ("loops", "sorting"), "easy", 2**62 + index, {"n": [1, 2]})
        outcome = NodeOutcome(request, result, "none" if passed else "candidate", wall_seconds=0.5)
        usage = Usage(model="simulated/perfect", calls=1, prompt_tokens=10, completion_tokens=5, cost_usd=None)
        calls = tuple(
            CallRecord("problem_solver", "simulated/perfect", f"solve {i}", "ok", usage, 0.1) for i in (1, 2, 3)
        )
        events = (Event("attempt_judged", run_id, 1001.0, {"attempt": 0}), Event("node_finished", run_id, 1002.0))
        return NodeRecord(outcome, calls, events)

    return make


def attempt(number: int, *, passed: bool) -> TrailRecord:
    verdict = Verdict(
        outcome="passed" if passed else "failed",
        fault="none" if passed else "candidate",
        cases=(CaseResult(name="test_sum", outcome="passed" if passed else "failed", wall_seconds=0.01),),
        tests_passed_num=int(passed),
        tests_failed_num=int(not passed),
        harness_hash="abc",
    )
    return TrailRecord(
        problem_statement="Add two numbers.",
        test_cases="class TestSum: ...",
        solution_code=f"def add(a, b):\n    return a + b  # {number}",
        success=passed,
        output="All tests passed." if passed else "1 failed",
        tests_passed_num=int(passed),
        tests_failed_num=int(not passed),
        attempt_num=number,
        verdict=verdict,
        fault="none" if passed else "candidate",
        usage={"problem_solver": Usage(calls=1, prompt_tokens=10)},
        own_key={"nested": [1, None, "ä"]},
    )
