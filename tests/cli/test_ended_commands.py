"""Commands that are asked to end, or killed: what they made for their time is removed, at the latest by the next."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SECONDS = 120
SLEEPER = "import time\ntime.sleep(600)\ndef f(): return 1\n"
TESTS = "def test_f(): assert f() == 1\n"


def boxes(place: Path) -> list[Path]:
    return sorted(place.glob("prismenv-box-*"))


def judging(place: Path) -> "subprocess.Popen[str]":
    """A judgement that is in the midst of its run."""
    (place / "solution.py").write_text(SLEEPER, encoding="utf-8")
    (place / "tests.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "prismenv", "judge", "solution.py", "tests.py", "--wall-seconds", "600"]
    environment = {**os.environ, "TMPDIR": str(place)}
    deadline, before = time.monotonic() + SECONDS, set(boxes(place))
    process = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True)
    while not any(list(each.glob("r*-*")) for each in set(boxes(place)) - before):  # where a zygote, or a run, lives
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)  # into the run; before it would do as well
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_asked_to_end_removes_what_it_made(tmp_path: Path, number: signal.Signals) -> None:
    process = judging(tmp_path)
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert boxes(tmp_path) == []


def test_what_a_killed_command_leaves_the_next_one_removes_and_no_folder_that_is_in_use(tmp_path: Path) -> None:
    killed = judging(tmp_path)
    killed.kill()
    killed.communicate(timeout=SECONDS)
    (left,) = boxes(tmp_path)
    living = judging(tmp_path)
    mine = [each for each in boxes(tmp_path) if each != left]
    long_ago = time.time() - 3600
    for each in boxes(tmp_path):
        os.utime(each, (long_ago, long_ago))
    (tmp_path / "quick.py").write_text("def f(): return 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "prismenv", "judge", "quick.py", "tests.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert boxes(tmp_path) == mine
    living.send_signal(signal.SIGTERM)
    living.communicate(timeout=SECONDS)
    assert boxes(tmp_path) == []
