"""`prismenv llm serve` as a process: it says where it listens, serves a run, and ends in good order."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

USAGE = 2
SECONDS = 60
TOKEN = "token-of-the-service-0123456789"


DESIGN = {"concepts": ["loops"], "difficulty_level": "easy"}


@contextmanager
def serving(shell: Any, *words: object, **environment: str) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """The service on a free port: its address and its process, which is ended."""
    process = shell.start("llm", "serve", "--port", 0, "--json", *words, **environment)
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        process.workers = json.loads(line).get("workers", [])
        yield json.loads(line)["url"], process
    finally:
        process.kill()
        process.communicate()


def test_a_run_uses_the_service_by_its_address_and_the_service_ends_when_told(shell: Any) -> None:
    with serving(shell, "--token-variable", "TOKEN", TOKEN=TOKEN) as (url, process):
        health = httpx.get(f"{url}/health", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=SECONDS).json()
        assert health["status"] == "healthy"
        assert health["roles"]["problem_solver"]["model"] == "simulated/perfect"
        sets = ("interface.type=http", f"interface.url={url}", "interface.token_variable=SECRET")
        cells = ("search.concepts=[loops]", "search.difficulties=[easy]")
        changes = [word for change in (*sets, *cells) for word in ("--set", change)]
        ran = shell("run", "quickstart", "--json", *changes, SECRET=TOKEN)
        assert ran.code == 0, ran.err
        assert (ran.lines[-1]["status"], ran.lines[-1]["progress"]["pass_rate"]) == ("finished", 1.0)
        taken = shell("llm", "serve", "--port", url.rpartition(":")[2])
        assert (taken.code, "another server listens there" in taken.err) == (USAGE, True)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "finishing what runs" in err
    assert TOKEN not in out + err + ran.out + ran.err + taken.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "0.0.0.0"), "--token-file"),
        (("--token-variable", "NOT_SET"), "NOT_SET is not set"),
        (("--token-variable", "not-a-name"), "the name of an environment variable"),
        (("--set", "models.default=nobody/x"), "unknown provider"),
        (("no-such-recipe",), "there is no recipe"),
        (("--workers", "2"), "interface.sessions=store"),
        (("--workers", "2", "--set", "interface.sessions=store", "--set", "budget.tokens=5"), "by several processes"),
        (("--workers", "2", "--set", "interface.sessions=store", "--set", "models.default=nobody/x"), "nobody"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_listens(shell: Any, words: tuple[str, ...], says: str) -> None:
    answer = shell("llm", "serve", "--port", 0, *words)
    assert (answer.code, answer.out) == (USAGE, "")
    assert says in answer.err


def ask(url: str, session: str) -> httpx.Response:
    """By a connection of its own, which any worker may take."""
    return httpx.post(f"{url}/interact", json={"session_id": session, "input_data": DESIGN}, timeout=SECONDS)


def workers_of(url: str) -> set[str]:
    return set(httpx.get(f"{url}/health", timeout=SECONDS).json()["workers"])


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lives(process_id: int) -> bool:
    """Whether it runs: a dead one whose parent is gone may wait for a while to be buried."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_several_workers_serve_one_store_and_one_that_dies_is_replaced(shell: Any) -> None:
    with serving(shell, "--workers", 2, "--set", "interface.sessions=store") as (url, process):
        first = process.workers[0]
        assert len(process.workers) == 2
        for _ in range(4):
            assert ask(url, "s-1").status_code == 200
        before = workers_of(url)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not lives(first))
        for _ in range(4):
            assert ask(url, "s-1").status_code == 200
        history = httpx.get(f"{url}/session_history/s-1", timeout=SECONDS).json()["history"]
        assert len(history["challenge_designer"]["history"]) == 8
        wait_until(lambda: workers_of(url) - before)
        for worker in process.workers[1:]:
            os.kill(worker, signal.SIGTERM)  # as a service manager does, besides
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "killed by signal 9; another takes its place" in err
    assert err.count("finishing what runs") == 1
    assert not any(map(lives, process.workers))


TOLD_BEFORE_IT_IS_READY = """
import os, signal, sys, time
from prismenv.server.workers import Workers

parent = os.getpid()
became = Workers(1, lambda *_: None, lambda _: None).work()
if isinstance(became, int):
    sys.exit(became)
os.kill(parent, signal.SIGTERM)
while signal.SIGTERM not in signal.sigpending():  # the parent hands it on
    time.sleep(0.01)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
became.ready([])
os._exit(3)
"""


def test_a_worker_that_still_begins_is_told_to_stop_once_it_is_ready() -> None:
    done = subprocess.run([sys.executable, "-c", TOLD_BEFORE_IT_IS_READY], timeout=SECONDS, check=False)
    assert done.returncode == 0


def test_workers_end_with_their_parent(shell: Any) -> None:
    with serving(shell, "--workers", 2, "--set", "interface.sessions=store") as (_, process):
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(lives, process.workers)))
