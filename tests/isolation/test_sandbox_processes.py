"""Nothing of a run outlives it, whatever the code did and however the caller left."""

# ruff: noqa: ASYNC110, ASYNC240 - other processes are watched: they set no event, and their folders are local
import os
import sys
import time
from pathlib import Path

import anyio
import pytest

from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.processes import HAS_PROC, use_of
from prismenv.words.limits import Limits

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not HAS_PROC, reason="looks for processes in /proc")]

DAEMON = """
import os, signal, subprocess, sys
def leave(clean):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.chdir("/")
            pid = os.getpid()
            if clean:
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={},
                                         start_new_session=True, stdin=subprocess.DEVNULL)
                pid = child.pid
            os.write(writer, str(pid).encode())
            import time
            time.sleep(600)
        os._exit(0)
    os.wait()
    return int(os.read(reader, 100))
"""


async def gone(pid: int) -> bool:
    with anyio.move_on_after(60):
        while use_of(pid) is not None:
            await anyio.sleep(0.01)
    return use_of(pid) is None


@pytest.mark.parametrize("clean", [False, True], ids=["forked twice", "another program with an empty environment"])
async def test_a_daemon_that_left_session_and_environment_behind_is_killed(clean: bool) -> None:
    tests = f"def test_a():\n    pid = leave({clean})\n    print('pid', pid)\n    assert pid > 0"
    async with PortableSandbox(1) as sandbox:
        verdict = await sandbox.judge(DAEMON, tests)
    assert verdict.outcome == "passed", verdict.output
    assert await gone(int(verdict.output.split()[-1]))


async def test_children_that_hold_the_output_open_do_not_keep_the_verdict_waiting() -> None:
    solution = "import os, time\ndef one():\n    if os.fork() == 0:\n        time.sleep(600)\n    return 1"
    async with PortableSandbox(1) as sandbox:
        with anyio.fail_after(100):
            verdict = await sandbox.judge(solution, "def test_a(): assert one() == 1")
    assert verdict.outcome == "passed"


@pytest.mark.parametrize("how", ["judge", "run"])
async def test_cancelling_the_caller_kills_the_processes_and_removes_the_folder(how: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    program = (
        "import os, time\n"
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{os.fork()}} {{os.getcwd()}}\\n')\n"
        "time.sleep(600)\n"
    )
    async with PortableSandbox(1) as sandbox:
        async with anyio.create_task_group() as group:
            if how == "judge":
                group.start_soon(sandbox.judge, program, "def test_a(): pass")
            else:
                group.start_soon(lambda: sandbox.run(program))
            with anyio.fail_after(100):
                while not note.exists() or len(note.read_text().split()) < 3:
                    await anyio.sleep(0.01)
            pid, child, folder = note.read_text().split()[:3]
            group.cancel_scope.cancel()
        assert use_of(int(pid)) is None
        assert await gone(int(child)) or child == "0"
        assert not Path(folder).exists()


async def test_a_deadline_of_the_caller_ends_the_run_at_once() -> None:
    async with PortableSandbox(1) as sandbox:
        begun = time.monotonic()
        with anyio.move_on_after(0.3) as scope:
            await sandbox.judge("import time\ntime.sleep(600)", "def test_a(): pass")
    assert scope.cancelled_caught
    assert time.monotonic() - begun < 60


async def test_private_folders_are_removed_however_they_were_left() -> None:
    solution = """
import os
def fill():
    os.makedirs("locked/inner")
    open("locked/inner/file", "w").write("x")
    os.symlink("/etc", "link")
    os.chmod("locked/inner", 0)
    os.chmod("locked", 0)
    print(os.getcwd())
    for _ in range(1500):
        os.mkdir("deep")
        os.chdir("deep")
"""
    async with PortableSandbox(1) as sandbox:
        verdict = await sandbox.judge(solution, "def test_a(): fill()")
        folder = Path(verdict.output.split()[-1])
        assert verdict.outcome == "passed", verdict.output
        assert folder.name.startswith("run-")
        assert not folder.exists()
        assert folder.parent.exists()
    assert not folder.parent.exists()
    assert Path("/etc/passwd").exists()


async def test_descriptors_of_the_parent_do_not_reach_the_guest() -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        tests = "def test_a(): assert opened() <= {0, 1, 2}, opened()"
        solution = """
import os
def opened():
    found = set()
    for number in range(250):
        try: os.fstat(number)
        except OSError: continue
        found.add(number)
    return found
"""
        async with PortableSandbox(1) as sandbox:
            verdict = await sandbox.judge(solution, tests)
        assert verdict.outcome == "passed", verdict.output
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_guest_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    solution = f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    script = f"""
import anyio
from prismenv.isolation.portable import PortableSandbox
async def main():
    async with PortableSandbox(1) as sandbox:
        await sandbox.judge({solution!r}, "def test_a(): pass")
anyio.run(main)
"""
    parent = await anyio.open_process([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    with anyio.fail_after(100):
        while not note.exists() or not note.read_text():
            await anyio.sleep(0.02)
    parent.kill()
    await parent.wait()
    assert await gone(int(note.read_text()))


async def test_as_many_run_at_once_as_there_are_workers() -> None:
    solution = "import time\ndef nap(): time.sleep(0.4)"
    limits = Limits(wall_seconds=30)
    async with PortableSandbox(4) as sandbox, anyio.create_task_group() as group:
        begun = time.monotonic()
        done: list[float] = []

        async def one() -> None:
            verdict = await sandbox.judge(solution, "def test_a(): nap()", limits=limits)
            assert verdict.outcome == "passed"
            done.append(time.monotonic() - begun)

        for _ in range(8):
            group.start_soon(one)
    assert len(done) == 8
    assert sorted(done)[4] >= 0.8  # the fifth had to wait for one of the first four: two naps, one after the other
