"""What a machine that has run out of something does to runs: a verdict that blames it, and then work as before."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.words.limits import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is scarce is made so by Linux")

GOOD = "def answer(line): return 1"
SUITE = """
send("parsed", ["one"])
send("loading")
ask("load")
send("collected", ["one"], [])
send("start", 0)
send("end", 0, "passed" if ask("one") == "1" else "failed", "", "", False, 0.001, False)
"""
SHARED = ("def one(): return 1", "def test_a(): assert one() == 1")
OPENED = """
import anyio, json, os, resource, subprocess, sys, tempfile
from pathlib import Path
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.portable import PortableSandbox
from prismenv.words.errors import SandboxException
form, folder, good, suite, shared = json.loads(sys.argv[1])
options = {"folder": Path(folder), "verdict": "split"}
def opened():
    return PortableSandbox(1, **options) if form == "portable" else JailedSandbox(1, form=form, **options)
async def outcomes(sandbox):
    split = await sandbox.judge(good, suite)
    return [split.outcome, (await sandbox.judge(*shared, verdict="shared")).outcome,
            (await sandbox.run("print(1)")).outcome]
"""
DESCRIPTORS = """
def held():
    return len(os.listdir("/proc/self/fd"))
async def main():
    async with opened() as sandbox:
        well = await outcomes(sandbox)
        before, hard = held(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        scarce = []
        for spare in range(0, 24, 2):
            resource.setrlimit(resource.RLIMIT_NOFILE, (before - 2 + spare, hard))
            try:
                scarce += await outcomes(sandbox)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        again = await outcomes(sandbox)
        print(json.dumps([well, sorted(set(scarce)), again, held() - before]))
anyio.run(main)
"""
DISK = """
place = Path(tempfile.mkdtemp())
place.chmod(0o755)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "small", place], check=True)
tempfile.tempdir = str(place)
def fill(name):
    made = []
    try:
        while True:
            made.append(place / f"{name}-{len(made)}")
            made[-1].mkdir()
    except OSError:
        return made[:-1]
async def main():
    async with opened() as sandbox:
        filler = fill("early")
        scarce = await outcomes(sandbox)
        for each in filler:
            each.rmdir()
        well = await outcomes(sandbox)
    for time in range(200):  # what a rule of Landlock held of a run's folder, the kernel lets go of in its own time
        fill(time)
        try:
            async with opened():
                refused = ""
        except SandboxException as error:
            refused = str(error)
            break
        await anyio.sleep(0.05)
    return [scarce, well, refused]
try:
    print(json.dumps(anyio.run(main)))
finally:
    subprocess.run(["umount", "--lazy", place], check=True)
"""


@pytest.fixture(params=["portable", *FORMS])
def script(request: pytest.FixtureRequest, new_sandbox: Callable[..., Sandbox], standins: Path) -> Callable[[str], Any]:
    """Runs a program with `opened` and `outcomes` at hand, in a process of its own; gives what it printed."""
    new_sandbox(request.param)

    def run(program: str) -> Any:
        given = json.dumps([request.param, str(standins), GOOD, SUITE, SHARED])
        command = [sys.executable, "-c", OPENED + program, given]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


WELL = ["passed", "passed", "exited"]
SCARCE = ["infrastructure_error"] * 3


def test_without_descriptors_it_is_nobodys_fault_but_the_machines(script: Callable[[str], Any]) -> None:
    well, scarce, again, leaked = script(DESCRIPTORS)
    assert well == again == WELL
    assert scarce == ["exited", "infrastructure_error", "passed"]
    assert leaked == 0


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="it takes root to have a disk of one's own")
def test_on_a_full_disk_it_is_nobodys_fault_but_the_machines(
    script: Callable[[str], Any], request: pytest.FixtureRequest
) -> None:
    scarce, well, refused = script(DISK)
    in_memory = request.node.callspec.params["script"] in ("full", "userns")  # their runs have no folder of the host's
    assert scarce == (WELL if in_memory else SCARCE)
    assert well == WELL
    assert "No space left" in refused


@pytest.mark.parametrize("form", ["full", "userns"])
def test_what_was_compiled_and_finds_no_room_is_compiled_again_when_there_is_some(
    form: str, new_sandbox: Callable[..., Sandbox], small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    disk = small_disk(1)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with BlockingSandbox(new_sandbox(form)) as sandbox:
        assert sandbox.run("int main() { return 3; }", language="c").exit_code == 3
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        scarce = sandbox.run("int main() { return 4; }", language="c")
        assert (scarce.outcome, "No space left" in scarce.message) == ("infrastructure_error", True), scarce
        filler.unlink()
        assert sandbox.run("int main() { return 4; }", language="c").exit_code == 4


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["userns" if problem_of("full") else "full"])  # who is next is decided by the parent
async def test_256_callers_are_served_in_turn(form: str, new_pairs: Callable[..., Sandbox]) -> None:
    order: list[int] = []
    async with new_pairs(form, 2) as sandbox, anyio.create_task_group() as group:

        async def one(number: int) -> None:
            assert (await sandbox.judge(GOOD, SUITE, limits=Limits(wall_seconds=60))).outcome == "passed"
            order.append(number)

        for number in range(256):
            group.start_soon(one, number)
    assert sorted(order) == list(range(256))
    assert all(abs(place - number) <= 8 for place, number in enumerate(order))


FORK = """
import os
try:
    pid = os.fork()
except OSError:
    pid = 1
"""


@pytest.mark.parametrize("form", ["portable", *FORMS])
@pytest.mark.parametrize("who", ["both go on", "the child ends", "the parent ends"])
def test_a_solution_that_forks_when_it_is_loaded_is_contained(
    form: str, who: str, warm_pairs: Callable[[str], BlockingSandbox]
) -> None:
    end = {"both go on": "", "the child ends": "if pid == 0: os._exit(0)\n", "the parent ends": "if pid: os._exit(0)\n"}
    sandbox = warm_pairs(form)
    split = sandbox.judge(FORK + end[who] + GOOD, SUITE, limits=Limits(wall_seconds=8))
    assert split.fault in ("none", "candidate"), split.output
    shared = sandbox.judge(FORK + end[who] + SHARED[0], SHARED[1], verdict="shared")
    assert shared.fault in ("none", "candidate"), shared.output
    if who == "the child ends":
        assert (split.outcome, shared.outcome) == ("passed", "passed")
    if who == "the parent ends":
        assert shared.outcome != "passed"
    assert sandbox.judge(GOOD, SUITE).outcome == "passed"
