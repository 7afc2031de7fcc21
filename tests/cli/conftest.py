"""The real command in a folder of its own, with an environment that says nothing of prismenv."""

import errno
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sysconfig
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sysconfig.get_path("scripts")) / "prismenv"
SECONDS = 180
PASSED, NOT_PASSED, USAGE, INFRASTRUCTURE = 0, 1, 2, 3

SOLUTION = "def double(number):\n    return number + number\n"
WRONG = "def double(number):\n    return number\n"
TESTS = """\
import unittest

class TestDouble(unittest.TestCase):
    def test_positive(self):
        self.assertEqual(double(2), 4)

    def test_zero(self):
        self.assertEqual(double(0), 0)
"""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would change how the command speaks."""
    ours = ("PRISMENV_", "_PRISMENV", "PYTHON", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "LC_", "LANG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **more}


@dataclass(frozen=True)
class Answer:
    """What a call came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Shell:
    """Calls the command in `folder`."""

    folder: Path
    command: Path = COMMAND
    environment: dict[str, str] = field(default_factory=clean_environment)

    def write(self, name: str, text: str) -> Path:
        """A file in the folder, its folders made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return path

    def __call__(self, *words: object, stdin: str | None = None, cwd: Path | None = None, **environment: str) -> Answer:
        """One call with pipes for all streams."""
        done = subprocess.run(
            [str(self.command), *map(str, words)],
            input=stdin if stdin is not None else "",
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            timeout=SECONDS,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *words: object, stdin: int = subprocess.DEVNULL, **environment: str) -> "subprocess.Popen[str]":
        """A call that is left running."""
        return subprocess.Popen(
            [str(self.command), *map(str, words)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=self.folder,
            env={**self.environment, **environment},
        )

    def on_terminal(self, *words: object, columns: int = 80, **environment: str) -> Answer:
        """One call whose streams are all one terminal; what it shows is `out`, escape sequences included."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [str(self.command), *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=self.folder,
            env={**self.environment, **environment},
            start_new_session=True,
        )
        os.close(theirs)
        shown = bytearray()
        try:
            while data := _read(ours):
                shown += data
        finally:
            os.close(ours)
        return Answer(process.wait(SECONDS), shown.decode("utf-8", "replace").replace("\r\n", "\n"), "")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError as error:  # Linux's way to say that the other end is closed
        if error.errno != errno.EIO:
            raise
        return b""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command in an empty folder."""
    return Shell(tmp_path)


@pytest.fixture
def judged(shell: Shell) -> Shell:
    """The command in a folder with a right solution, a wrong one and their tests."""
    shell.write("solution.py", SOLUTION)
    shell.write("wrong.py", WRONG)
    shell.write("tests.py", TESTS)
    return shell


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `prismenv init` makes it, to be copied."""
    shell = Shell(tmp_path_factory.mktemp("made"))
    answer = shell("init", "example")
    assert answer.code == 0, answer.err
    return shell.folder / "example"


@pytest.fixture
def workspace(shell: Shell, example: Path) -> Shell:
    """The command inside a new workspace."""
    folder = shell.folder / "workspace"
    shutil.copytree(example, folder)
    return Shell(folder)


@pytest.fixture
def case_line() -> Callable[..., str]:
    """One line of a batch."""

    def line(case: object, solution: str = SOLUTION, tests: str = TESTS, **more: object) -> str:
        return json.dumps({"id": case, "solution": solution, "tests": tests, **more}) + "\n"

    return line


@pytest.fixture
def peer() -> Callable[[str], Path]:
    """`peer(variable)`: a program of somebody else's that the variable names; without it the test is skipped."""

    def find(variable: str) -> Path:
        program = os.environ.get(variable)
        if not program or not Path(program).exists():
            pytest.skip(f"{variable} names no program that is there; scripts/get-peers installs it")
        return Path(program)

    return find
