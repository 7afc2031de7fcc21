"""Open sessions in containers of a real engine: names and files stay, harm is held, nothing is left at their end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from prismenv import BlockingSandbox, Limits, SandboxException
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.recipe import SessionSettings
from prismenv.isolation.docker import DockerSandbox
from prismenv.isolation.sessionkeeper import SessionKeeper

SECONDS = 60
Containers = Callable[..., set[str]]
Until = Callable[[Callable[[], bool]], None]
# One in four: the guest is that of other kinds, which try all of them.
ATTACKS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "attacks" / "sessions.yaml").read_text(encoding="utf-8")
)[::4]


IGNORES = "import time\nwhile True:\n    try: time.sleep(1)\n    except BaseException: pass"


def test_names_stay_errors_are_told_and_two_sessions_share_nothing(docker_box: BlockingSandbox) -> None:
    with docker_box.open() as session, docker_box.open() as other:
        assert session.execute("import math\nx = 20\nx + 1").result == "21"
        assert session.execute("print('out')\nx * math.floor(2.5)").model_dump(include={"result", "stdout"}) == {
            "result": "40",
            "stdout": "out\n",
        }
        failed = session.execute("y = 1\n1 / 0")
        assert failed.error is not None
        assert (failed.outcome, failed.error.name) == ("raised", "ZeroDivisionError")
        assert 'File "<call 3>", line 2' in failed.error.traceback
        assert session.execute("y").result == "1"
        assert other.execute("x").outcome == "raised"


def test_files_go_in_and_come_out(docker_box: BlockingSandbox) -> None:
    with docker_box.open() as session, docker_box.open() as other:
        session.put_files({"data/in.txt": "given"})
        written = session.execute(
            "import os\nopen('data/in.txt', 'a').write(' and more')\nos.symlink('/etc/hostname', 'link')"
        )
        assert written.outcome == "finished", written
        found = session.get_files()
        assert (found.files, found.skipped) == ({"data/in.txt": b"given and more"}, {"link": "it is no regular file"})
        assert other.get_files().files == {}


@pytest.mark.parametrize(
    ("code", "limits", "outcome", "ended"),
    [
        ("while True: pass", {"wall_seconds": 0.5}, "timed_out", False),
        ("while True: pass", {"cpu_seconds": 0.5}, "timed_out", False),
        ("while True: print('x' * 1000)", {"output_bytes": 2000}, "output_limit", False),
        ("import os; os._exit(3)", {}, "exited", True),
        ("import os; os.abort()", {}, "crashed", True),
        ("bytearray(10**10)", {}, "out_of_memory", False),
    ],
)
def test_a_call_ends_as_the_contract_says(
    docker_box: BlockingSandbox, code: str, limits: dict[str, Any], outcome: str, ended: bool
) -> None:
    with docker_box.open() as session:
        session.execute("kept = 7")
        done = session.execute(code, **limits)
        assert (done.outcome, done.session_ended) == (outcome, ended), done
        if ended:
            with pytest.raises(SandboxException, match="the session has ended"):
                session.execute("kept")
        else:
            assert session.execute("kept").result == "7"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each["name"])
def test_an_attack_in_a_session_is_held(
    docker_box: BlockingSandbox,
    attack: dict[str, Any],
    hold_in_session: Callable[[BlockingSandbox, dict[str, Any]], None],
) -> None:
    hold_in_session(docker_box, attack)


LEAVES = "import os, time\nchild = os.fork()\nif not child:\n    os.setsid()\n    time.sleep(600)\n"
LOOKS = "try:\n    os.kill(child, 0)\nexcept ProcessLookupError:\n    print('gone')"


def test_a_process_that_a_call_leaves_behind_ends_with_it(docker_box: BlockingSandbox, finds_harness: str) -> None:
    patch = finds_harness + "type(harness).serve.__globals__['end_children'] = lambda: None\n"
    with docker_box.open() as session:
        assert session.execute(LEAVES).outcome == "finished"
        assert session.execute(LOOKS).stdout == "gone\n"
        # Where the code sees to it that the harness ends nothing, the container's first process does.
        assert session.execute(patch + LEAVES).outcome == "finished"
        assert session.execute("os.waitpid(child, 0)[1]").result == "9"


def test_nothing_runs_between_calls(docker_box: BlockingSandbox) -> None:
    code = "import threading\ncount = 0\ndef on():\n    global count\n    while True: count += 1\n"
    with docker_box.open() as session:
        session.execute(f"{code}threading.Thread(target=on, daemon=True).start()")
        first = session.execute("before = count\nprint(count)").stdout
        time.sleep(0.3)
        assert session.execute("count == before or count - before < 10**6").result == "True", first


def test_a_session_has_no_more_rights_than_a_run(docker_box: BlockingSandbox) -> None:
    code = """import os, socket
held = []
for what, act in {
    "network": lambda: socket.socket(),
    "write": lambda: open("/usr/lib/x", "w"),
    "first": lambda: open("/proc/1/environ"),
    "mount": lambda: os.listdir("/proc/1/root"),
}.items():
    try:
        act()
    except OSError:
        held.append(what)
held, os.getuid(), sorted(os.environ)
"""
    with docker_box.open() as session:
        expected = "(['network', 'write', 'first', 'mount'], 65534, ['HOME', 'PYTHONHASHSEED', 'TMPDIR'])"
        assert session.execute(code).result == expected


def test_a_container_that_is_killed_in_a_call_is_nobodys_fault_and_ends_its_session(
    docker_box: BlockingSandbox, engine: Path, containers: Containers, until: Until
) -> None:
    others = containers()
    with docker_box.open() as session:
        (mine,) = containers() - others
        with anyio.from_thread.start_blocking_portal() as portal:
            future = portal.start_task_soon(anyio.to_thread.run_sync, session.execute, "while True: pass")
            time.sleep(0.2)  # into the call; before it would do as well
            subprocess.run(["docker", "-H", f"unix://{engine}", "kill", mine], check=True, capture_output=True)
            done = future.result(SECONDS)
        assert (done.outcome, done.session_ended) == ("infrastructure_error", True), done
    until(lambda: containers() == others)


@pytest.mark.anyio
async def test_there_are_no_more_than_allowed_and_their_containers_end_with_them(
    new_docker: Callable[..., DockerSandbox], containers: Containers
) -> None:
    before = containers()
    keeper = SessionKeeper(SessionSettings(most=2), SystemClock())
    async with new_docker(sessions=keeper) as sandbox:
        workers = containers()
        first, second = await sandbox.open(), await sandbox.open()
        with pytest.raises(SandboxException, match="2 sessions are open"):
            await sandbox.open()
        await first.close()
        third = await sandbox.open()
        for _ in range(50):  # one that is cancelled before it ignores anything heeds it
            if third.ended is None:
                with anyio.move_on_after(0.5):
                    await third.execute(IGNORES)
        assert third.ended is not None
        assert (await second.execute("1")).result == "1"
        assert len(containers() - workers) == 1
    assert containers() <= before


PARENT = """
import sys
from prismenv import BlockingSandbox, Sandbox
docker = {"image": sys.argv[1], "socket": sys.argv[2]}
with BlockingSandbox(Sandbox(isolation="docker", workers=1, docker=docker)) as box:
    session = box.open()
    print(session.execute("1 + 1").result, flush=True)
    session.execute("while True: pass", wall_seconds=600, cpu_seconds=600)
"""


def test_a_session_ends_with_a_parent_that_is_killed(
    engine: Path, image: str, containers: Containers, until: Until
) -> None:
    before = containers()
    words = [sys.executable, "-c", PARENT, image, str(engine)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "2\n"
        assert len(containers() - before) == 3
        os.kill(parent.pid, signal.SIGKILL)
    until(lambda: containers() <= before)


def test_files_and_memory_of_a_session_are_limited_to_what_was_asked(docker_box: BlockingSandbox) -> None:
    with docker_box.open(limits=Limits(file_bytes=2**20)) as session:
        code = "for n in range(8):\n    with open(str(n), 'wb') as file: file.write(bytes(10**6))"
        done = session.execute(code)
        assert done.error is not None
        assert done.error.name == "OSError"
        with pytest.raises(SandboxException, match="'more' cannot be written"):
            session.put_files({"more": b"x" * 2**20})
