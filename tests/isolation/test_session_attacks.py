"""Sessions against code that means harm: what it does ends with it, is told in a class, and reaches nobody else.

What such code does to an interpreter without a jail is shown in test_session_twins.py.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from prismenv.isolation.blocking import BlockingSandbox, BlockingSession
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.processes import descendants, use_of
from prismenv.words.coderesult import CodeResult
from prismenv.words.limits import Limits

ALL = ["portable", *FORMS]
JAILED = list(FORMS)
SMALL = Limits(wall_seconds=20, cpu_seconds=10, memory_bytes=96 * 2**20, output_bytes=50_000, processes=8)
CRASHED = frozenset({"crashed"})
ANY_END = frozenset({"crashed", "exited", "timed_out", "out_of_memory", "process_limit", "raised", "output_limit"})

# The code finds the harness that runs it, and its Session.
HARNESS = """
import sys
frame, harness = sys._getframe(), None
while frame is not None:
    found = frame.f_locals.get("self")
    if type(found).__name__ == "Session":
        harness = found
    frame = frame.f_back
"""


@dataclass(frozen=True)
class Attack:
    """Code, the outcomes that hold it, whether its session is over then (None: either), and where it can be tried."""

    name: str
    code: str
    outcomes: frozenset[str]
    ended: bool | None = None
    forms: tuple[str, ...] = tuple(ALL)
    wall_seconds: float | None = None


ATTACKS = [
    Attack("fork bomb", "import os\nwhile True: os.fork()", ANY_END, forms=("full", "userns", "alone")),
    Attack(
        "fork bomb that catches all errors",
        "import os\nwhile True:\n    try: os.fork()\n    except BaseException: pass",
        ANY_END - {"raised"},
        True,
        ("full", "userns"),
        2.0,
    ),
    Attack(
        "thread bomb",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        ANY_END,
    ),
    Attack("memory, bit by bit", "kept = []\nwhile True: kept.append(bytearray(2**20))", ANY_END),
    Attack(
        "memory of many processes",
        "import os, time\nfor _ in range(6):\n    if not os.fork():\n        kept = bytearray(b'x' * (70 * 2**20))\n"
        "        time.sleep(60)\ntime.sleep(60)",
        frozenset({"out_of_memory"}),
        True,
        ("full", "userns"),
    ),
    Attack(
        "output from a thread, for ever",
        "import threading, time\ndef flood():\n    while True: print('x' * 5000, flush=True)\n"
        "threading.Thread(target=flood, daemon=True).start()\ntime.sleep(60)",
        frozenset({"output_limit"}),
        False,
    ),
    Attack(
        "output to a descriptor", "import os\nwhile True: os.write(2, b'x' * 4096)", frozenset({"output_limit"}), False
    ),
    Attack("closes everything", "import os\nos.closerange(0, 4096)", frozenset({"crashed", "exited"}), True),
    Attack(
        "writes everywhere",
        "import os\nfor each in range(3, 1024):\n    try: os.write(each, b'\\xff' * 4096)\n    except OSError: pass",
        CRASHED,
        True,
    ),
    # The parent may have taken the first answer before the second one is there: then that breaks the next call.
    Attack(
        "answers twice",
        HARNESS + "harness._say('done', 1, 'finished', repr('forged'), None)",
        frozenset({"crashed", "finished"}),
    ),
    Attack(
        "answers another call", HARNESS + "harness._say('done', 9, 'finished', None, None)", CRASHED, True
    ),
    Attack("answers with another word", HARNESS + "harness._say('ready')", CRASHED, True),
    Attack("answers in another shape", HARNESS + "harness._say('done', 1, 'passed', [1], [])", CRASHED, True),
    Attack(
        "announces a frame of 4 GB",
        HARNESS + "import os\nos.write(harness._channel, b'\\xff\\xff\\xff\\xff' + b'x' * 4096)",
        CRASHED,
        True,
    ),
    Attack(
        "says a deep value",
        HARNESS + "import os\nbody = harness._nonce.encode() + b'[' * 200000\n"
        "os.write(harness._channel, len(body).to_bytes(4, 'big') + body)",
        CRASHED,
        True,
    ),
    Attack("takes the harness for its own", HARNESS + "harness._say = None", frozenset({"exited", "crashed"}), True),
    Attack("a result without end", "class R:\n    def __repr__(self):\n        while True: pass\nR()",
           frozenset({"timed_out"}), False, wall_seconds=0.5),
    Attack("a huge result", "'x' * (30 * 2**20)", frozenset({"finished"}), False),
    Attack("ends itself", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\nimport ctypes\nctypes.string_at(0)",
           CRASHED, True),
    Attack("crashes", "import ctypes\nctypes.string_at(0)", CRASHED, True),
    Attack("stops itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass",
           frozenset({"timed_out"}), wall_seconds=0.5),
    Attack("blocks the interrupt",
           "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: time.sleep(1)",
           frozenset({"timed_out"}), True, wall_seconds=0.3),
    Attack("catches the interrupt again and again",
           "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass",
           frozenset({"timed_out"}), True, wall_seconds=0.3),
    Attack("a profiler that fails later", "import sys\nsys.setprofile(lambda *_: 1 / 0)", ANY_END | {"finished"}),
    Attack("endless recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()", ANY_END),
    Attack("a lying module", "import traceback as t\nt.format_exception = 0\n0 / 0", frozenset({"raised"}), False),
]  # fmt: skip


def cases() -> list[object]:
    return [pytest.param(attack, form, id=f"{attack.name}-{form}") for attack in ATTACKS for form in attack.forms]


@pytest.mark.parametrize(("attack", "form"), cases())
def test_an_attack_in_a_session_is_held(
    attack: Attack, form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    box = warm_sandbox(form)
    with box.open(limits=SMALL) as session, box.open(limits=SMALL) as neighbour:
        neighbour.execute("kept = 1")
        done = session.execute(attack.code, wall_seconds=attack.wall_seconds)
        assert done.outcome in attack.outcomes, done
        assert attack.ended in (None, done.session_ended), done
        assert (session.ended is not None) == done.session_ended
        assert len(done.stdout) + len(done.stderr) <= SMALL.output_bytes
        assert len(done.result or "") <= 200_100
        assert neighbour.execute("kept").result == "1"
        if not done.session_ended:
            assert_usable_or_ended(session)
    with box.open(limits=SMALL) as after:
        assert after.execute("6 * 7").result == "42"


def assert_usable_or_ended(session: BlockingSession) -> None:
    done = session.execute("'still ' + 'here'", wall_seconds=5)
    flooded = done.outcome == "output_limit"  # by a thread of the call before
    assert done.session_ended or flooded or done.result == "'still here'", done


@pytest.mark.parametrize("form", ["full", "userns"])
def test_a_process_that_a_call_leaves_behind_ends_with_it(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    daemon = "import os, time\nchild = os.fork()\nif not child:\n    os.setsid()\n    time.sleep(600)\nchild"
    with warm_sandbox(form).open(limits=SMALL) as session:
        assert session.execute(daemon).outcome == "finished"
        looked = session.execute("try:\n    os.kill(child, 0)\nexcept ProcessLookupError:\n    print('gone')")
        assert looked.stdout == "gone\n"


@pytest.mark.parametrize("form", ["full", "userns"])
def test_a_process_that_the_harness_does_not_end_ends_the_session(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    patch = HARNESS + "type(harness).serve.__globals__['end_children'] = lambda: None\n"
    code = patch + "import os, time\nif not os.fork():\n    time.sleep(600)"
    with warm_sandbox(form).open(limits=SMALL) as session:
        done = session.execute(code)
        assert (done.outcome, done.session_ended) == ("process_limit", True)


@pytest.mark.parametrize("form", ALL)
def test_what_the_code_does_to_builtins_is_its_own_affair(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    with warm_sandbox(form).open(limits=SMALL) as session:
        done = session.execute("import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)")
        assert done.session_ended or session.execute("1 + 1").result == "2"


@pytest.mark.parametrize("form", JAILED)
def test_a_session_has_no_more_rights_than_a_run(form: str, warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    code = """
import os, socket
held = []
def refused(what, act):
    try:
        act()
    except OSError:
        held.append(what)
refused("host", lambda: open("/etc/passwd"))
refused("network", lambda: socket.socket())
refused("write", lambda: open("/usr/lib/x", "w"))
refused("parent", lambda: os.kill(os.getppid() or 2**22, 9))
refused("link", lambda: open("/proc/1/environ"))
def is_open(descriptor):
    try:
        return bool(os.fstat(descriptor))
    except OSError:
        return False
held, dict(os.environ), sum(map(is_open, range(4096)))
"""
    with warm_sandbox(form).open(limits=SMALL) as session:
        done = session.execute(code)
        assert done.result is not None, done
        assert done.result.startswith("(['host', 'network', 'write', 'parent', 'link'], {"), done
        assert done.result.endswith("}, 4)"), done  # three streams and the channel
        assert "PATH" not in done.result


KEEPER = """
import os, sys, time
from prismenv import BlockingSandbox
from prismenv.isolation.processes import descendants
with BlockingSandbox({sandbox}) as box:
    session = box.open()
    idle = box.open()
    session.execute("1")
    print(*descendants(os.getpid()), flush=True)
    session.execute("print('on')\\nwhile True: pass", wall_seconds=300, cpu_seconds=300)
"""


@pytest.mark.parametrize("form", ALL)
def test_nothing_survives_a_parent_that_is_killed(form: str, tmp_path: Path) -> None:
    if form in FORMS and problem_of(form):
        pytest.skip(f"{form}: {problem_of(form)}")
    made = "PortableSandbox(1)" if form == "portable" else f"JailedSandbox(1, form={form!r})"
    sandbox = (
        f"__import__('prismenv.isolation.{'portable' if form == 'portable' else 'jailed'}', fromlist=['*']).{made}"
    )
    code = KEEPER.format(sandbox=sandbox)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        started = [int(word) for word in parent.stdout.readline().split()]
        assert len(started) > 2
        time.sleep(0.2)  # into the call; before it would do as well
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    ends = time.monotonic() + 60
    while alive := [pid for pid in started if use_of(pid) is not None]:
        assert time.monotonic() < ends, alive
        time.sleep(0.02)


def test_the_list_of_forms_has_what_is_tried_here() -> None:
    assert set(ALL) == {"portable", *FORMS}
    assert descendants(os.getpid())[0] == os.getpid()


def test_a_result_is_a_record_that_can_be_sent(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    with warm_sandbox("portable").open() as session:
        done = session.execute("print('\\ud800'.encode('utf-8', 'surrogatepass'))\nraise ValueError('\\ud800\\0')")
    assert CodeResult.model_validate_json(done.model_dump_json()) == done
