"""`prismenv llm serve` as a process: it says where it listens, serves a run, and ends in good order."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

USAGE = 2
SECONDS = 60
TOKEN = "token-of-the-service-0123456789"


@contextmanager
def serving(shell: Any, *words: object, **environment: str) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """The service on a free port: its address and its process, which is ended."""
    process = shell.start("llm", "serve", "--port", 0, "--json", *words, **environment)
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
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
    ],
)
def test_what_cannot_be_served_is_told_before_anything_listens(shell: Any, words: tuple[str, ...], says: str) -> None:
    answer = shell("llm", "serve", "--port", 0, *words)
    assert (answer.code, answer.out) == (USAGE, "")
    assert says in answer.err
