"""`prismenv sandbox serve` as a process: others judge and run recipes by it, and it ends in good order."""

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

USAGE, INFRASTRUCTURE = 2, 3
SECONDS = 60
TOKEN = "token-of-the-service-0123456789"
SOLUTION = "def double(number):\n    return number + number\n"
WRONG = "def double(number):\n    return number\n"
TESTS = "def test_positive():\n    assert double(2) == 4\n"


@contextmanager
def serving(shell: Any, *words: object, **environment: str) -> "Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]":
    """The service on a free port: what it says of itself, and its process, which is ended."""
    process = shell.start("sandbox", "serve", "--port", 0, "--json", *words, **environment)
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield json.loads(line), process
    finally:
        process.kill()
        process.communicate()


def test_others_judge_and_run_by_it_and_it_ends_when_told(shell: Any, tmp_path: Path) -> None:
    cases = [{"id": n, "solution": (SOLUTION, WRONG)[n % 2], "tests": TESTS} for n in range(6)]
    (tmp_path / "solution.py").write_text(SOLUTION)
    (tmp_path / "tests.py").write_text(TESTS)
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    with serving(shell, "--token-variable", "TOKEN", TOKEN=TOKEN) as (told, process):
        url = told["url"]
        where = ("--sandbox-url", url, "--sandbox-token-variable", "SECRET")
        one = shell("judge", tmp_path / "solution.py", tmp_path / "tests.py", "--json", *where, SECRET=TOKEN)
        assert (one.code, one.json["outcome"], one.json["isolation"]) == (0, "passed", told["isolation"]), one.err
        batch = shell("judge", "--batch", tmp_path / "cases.jsonl", "--json", *where, SECRET=TOKEN)
        assert [line["outcome"] for line in batch.lines] == ["passed", "failed"] * 3
        sets = (f"sandbox.url={url}", "sandbox.token.variable=SECRET")
        cells = ("search.concepts=[loops]", "search.difficulties=[easy]")
        changes = [word for change in (*sets, *cells) for word in ("--set", change)]
        ran = shell("run", "quickstart", "--json", *changes, SECRET=TOKEN)
        assert ran.code == 0, ran.err
        assert (ran.lines[-1]["status"], ran.lines[-1]["progress"]["pass_rate"]) == ("finished", 1.0)
        wrong = shell("judge", tmp_path / "solution.py", tmp_path / "tests.py", *where, SECRET="x" * 20)
        assert (wrong.code, "does not know the one that it was given" in wrong.err) == (USAGE, True)
        page = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=SECONDS).text
        assert 'prismenv_sandbox_runs_total{call="judge",outcome="failed"}' in page
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "finishing what runs" in err
    gone = shell("judge", tmp_path / "solution.py", tmp_path / "tests.py", *where, SECRET=TOKEN)
    assert (gone.code, "no answer" in gone.err) == (INFRASTRUCTURE, True)
    assert TOKEN not in "".join([out, err, *(each.out + each.err for each in (one, batch, ran, wrong, gone))])


@pytest.mark.skipif(sys.platform != "linux", reason="there are jails on Linux alone")
@pytest.mark.parametrize(("words", "told"), [((), True), (("--set", "sandbox.isolation=portable"), False)])
def test_whoever_serves_without_a_jail_is_told_unless_it_was_asked_for(
    shell: Any, tmp_path: Path, words: tuple[str, ...], told: bool
) -> None:
    short = tmp_path / "short"  # of files that may be open: no jail begins
    short.write_text(f'#!/bin/sh\nulimit -n 64\nexec {shell.command} "$@"\n')
    short.chmod(0o755)
    with serving(dataclasses.replace(shell, command=short), *words) as (answer, process):
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=SECONDS)[1]
    assert answer["isolation"] == "portable"
    assert ("without a jail" in err) is told


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "0.0.0.0"), "no token is asked for"),
        (("--set", "sandbox.url=http://127.0.0.1:1"), "what is served is a sandbox of this machine"),
        (("--token-variable", "NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE is not set"),
        (("--queue", "soon"), "--queue must be a time"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(shell: Any, words: tuple[str, ...], says: str) -> None:
    answer = shell("sandbox", "serve", "--port", 0, *words)
    assert (answer.code, says in answer.err) == (USAGE, True), answer.err
