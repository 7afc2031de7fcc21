"""What the attacks of test_session_attacks.py do to an interpreter that is kept without a jail: they work there.

Not shown: those whose harm is to the machine (bombs of processes, threads and memory), of which test_harm.py has the
twins, and those that only break the harness they are in, which is their own harm in either place.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from prismenv.isolation.processes import HAS_PROC, use_of

pytestmark = pytest.mark.skipif(not HAS_PROC, reason="it looks at processes by /proc")
PLAIN = """
import sys
names = {}
for line in sys.stdin:
    exec(eval(line), names)
    print("done", flush=True)
"""


class Plain:
    """An interpreter that reads code from a pipe, and says `done`."""

    def __init__(self) -> None:
        command = [sys.executable, "-u", "-c", PLAIN]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, code: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{code!r}\n")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def plain() -> Iterator[Plain]:
    kept = Plain()
    yield kept
    kept.process.kill()
    kept.process.communicate()


def eventually(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 60
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


def test_there_a_forged_answer_is_believed(plain: Plain) -> None:
    plain.ask("print('done', flush=True)\nimport time\ntime.sleep(600)")
    assert plain.line() == "done"  # and the code is still running
    assert plain.process.poll() is None


def test_there_code_that_catches_the_interrupt_goes_on(plain: Plain) -> None:
    plain.ask(
        "import signal, time\nsignal.signal(signal.SIGINT, lambda *_: print('caught'))\n"
        "print('on')\nwhile True: time.sleep(1)"
    )
    assert plain.line() == "on"
    for _ in range(3):
        plain.process.send_signal(signal.SIGINT)
        assert plain.line() == "caught"
    assert plain.process.poll() is None


def test_there_a_process_outlives_its_call(plain: Plain) -> None:
    plain.ask("import os, time\nchild = os.fork()\nif not child:\n    os.setsid()\n    time.sleep(600)\nprint(child)")
    child = int(plain.line())
    assert plain.line() == "done"
    plain.process.kill()
    plain.process.wait()
    outlived = use_of(child) is not None
    os.kill(child, signal.SIGKILL)
    assert outlived


def test_there_a_thread_works_between_calls(plain: Plain) -> None:
    plain.ask("import threading\ndef work():\n    while True: pass\nthreading.Thread(target=work, daemon=True).start()")
    assert plain.line() == "done"
    before = use_of(plain.process.pid)
    assert before is not None

    def has_worked() -> bool:
        now = use_of(plain.process.pid)
        return now is not None and now.cpu_seconds - before.cpu_seconds > 0.2

    assert eventually(has_worked)


def test_there_output_has_no_end(plain: Plain) -> None:
    plain.ask("while True: print('x' * 1000)")
    assert sum(len(plain.line()) for _ in range(500)) == 500_000


def test_there_leaving_takes_the_interpreter_along_and_nobody_says_so(plain: Plain) -> None:
    plain.ask("import os\nos._exit(0)")
    assert plain.line() == ""
    assert plain.process.wait(60) == 0
