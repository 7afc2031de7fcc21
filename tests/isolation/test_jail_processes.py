"""What zygotes promise of processes: nothing outlives run, caller or parent, and a dead zygote costs only time."""

# ruff: noqa: ASYNC110, ASYNC240, PTH208 - other processes are watched: they set no event, and proc never waits
import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from prismenv.contracts.jail import Sandbox
from prismenv.isolation import zygote
from prismenv.isolation.cgroups import find_trees
from prismenv.isolation.kinds import FORMS
from prismenv.isolation.processes import descendants, use_of
from prismenv.words.limits import Limits
from prismenv.words.verdict import Verdict

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="zygotes need Linux")]

NewSandbox = Callable[..., Sandbox]
SLEEPER = "import time\ndef nap(): time.sleep(600)"
NAPPING = "def test_a(): nap()"
GOOD = ("def one(): return 1", "def test_a(): assert one() == 1")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def living() -> set[int]:
    return set(descendants(os.getpid()))


async def grown(before: set[int], more: int) -> set[int]:
    """The processes that came since `before`, once there are at least so many."""
    with anyio.fail_after(100):
        while len(living() - before) < more:
            await anyio.sleep(0.005)
    return living() - before


async def gone(pids: set[int]) -> bool:
    with anyio.move_on_after(60):
        while any(use_of(pid) is not None for pid in pids):
            await anyio.sleep(0.005)
    return all(use_of(pid) is None for pid in pids)


async def nothing_is_left_of(script: str, folder: Path, processes: int) -> bool:
    """Whether nothing stays of a program that is killed once it has so many processes, itself included."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    parent = await anyio.open_process([sys.executable, "-c", script], env=environment, stderr=None)
    with anyio.fail_after(100):
        while len(descendants(parent.pid)) < processes:
            await anyio.sleep(0.01)
    below = set(descendants(parent.pid)) - {parent.pid}
    parent.kill()
    await parent.wait()
    return await gone(below) and str(folder) not in Path("/proc/self/mounts").read_text(encoding="utf-8")


async def test_nothing_is_left_of_a_run_whose_caller_was_cancelled(form: str, new_sandbox: NewSandbox) -> None:
    async with new_sandbox(form) as sandbox:
        idle = living()
        async with anyio.create_task_group() as group:
            group.start_soon(sandbox.judge, SLEEPER, NAPPING)
            running = await grown(idle, 1)
            group.cancel_scope.cancel()
        assert not [pid for pid in running if use_of(pid) is not None]
        assert (await sandbox.judge(*GOOD)).outcome == "passed"


async def test_nothing_is_left_when_the_sandbox_is_closed(form: str, new_sandbox: NewSandbox) -> None:
    before, descriptors = living(), len(os.listdir("/proc/self/fd"))
    async with new_sandbox(form, 2) as sandbox:
        assert (await sandbox.judge(*GOOD)).outcome == "passed"
        ours = living() - before
        assert len(ours) >= 2
    assert not [pid for pid in ours if use_of(pid) is not None]
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # the loop's own may have come


async def test_a_zygote_that_was_killed_between_runs_costs_nothing_but_time(form: str, new_sandbox: NewSandbox) -> None:
    before = living()
    async with new_sandbox(form) as sandbox:
        for pid in living() - before:
            os.kill(pid, signal.SIGKILL)
        assert (await sandbox.judge(*GOOD)).outcome == "passed"


@pytest.mark.parametrize("form", ["full", "userns"])
async def test_a_prepared_child_that_was_killed_costs_nothing_but_time(form: str, new_sandbox: NewSandbox) -> None:
    before = living()
    async with new_sandbox(form) as sandbox:
        zygotes = living() - before
        for _ in range(3):
            assert (await sandbox.judge(*GOOD)).outcome == "passed"
            prepared = await grown(before | (zygotes & living()), 2)
            for pid in prepared:
                with suppress(ProcessLookupError):  # the last run's own, which was on its way out
                    os.kill(pid, signal.SIGKILL)
            assert await gone(prepared)
        assert (await sandbox.judge(*GOOD)).outcome == "passed"


async def test_a_child_that_was_prepared_for_less_room_does_not_serve_a_run_with_more(
    form: str, new_sandbox: NewSandbox
) -> None:
    solution = """
def fill(count):
    with open("file", "wb") as file:
        return file.write(bytes(count))
"""
    tests = "def test_a(): assert fill({0}) == {0}"
    async with new_sandbox(form) as sandbox:
        for mebibytes, outcome in ((1, "passed"), (8, "errored"), (8, "errored"), (40, "passed"), (1, "passed")):
            limits = Limits(file_bytes=(64 if mebibytes == 40 else 4) * 2**20)
            verdict = await sandbox.judge(solution, tests.format(mebibytes * 2**20), limits=limits)
            assert verdict.outcome == outcome, verdict.output


async def test_runs_that_are_cancelled_at_any_moment_are_not_mixed_up_with_the_next(
    form: str, new_sandbox: NewSandbox
) -> None:
    async with new_sandbox(form) as sandbox:
        for step in range(24):
            with anyio.move_on_after(step * 0.0005):
                await sandbox.judge("def one(): return 2", "def test_a(): assert one() == 1")
            assert (await sandbox.judge(*GOOD)).outcome == "passed"


async def test_a_zygote_that_was_killed_during_a_run_is_replaced_and_the_run_is_tried_again(
    form: str, new_sandbox: NewSandbox
) -> None:
    before = living()
    verdicts: list[Verdict] = []
    async with new_sandbox(form) as sandbox:
        zygotes = living() - before

        async def judge() -> None:
            verdicts.append(await sandbox.judge("import time\ndef nap(): time.sleep(1)", NAPPING))

        async with anyio.create_task_group() as group:
            group.start_soon(judge)
            await grown(before | zygotes, 1)
            for pid in zygotes:
                os.kill(pid, signal.SIGKILL)
    assert [verdict.outcome for verdict in verdicts] == ["passed"], verdicts[0].output


OVERSPENDING = """
import sys
from prismenv import BlockingSandbox, Limits, Sandbox
solution = '''
import os, time
def spend():
    time.sleep(1)
    for _ in range(3):
        if os.fork() == 0:
            held = b"x" * (40 * 2**20)
            time.sleep(1)
            os._exit(0)
    return [os.wait()[1] for _ in range(3)]
'''
tests = "def test_a(): assert spend()"
with BlockingSandbox(Sandbox(require="full", workers=1)) as sandbox:
    sandbox.judge("def spend(): return 1", tests)
    print("ready", flush=True)
    print(sandbox.judge(solution, tests, limits=Limits(memory_bytes=64 * 2**20, wall_seconds=60)).outcome)
    print(sandbox.judge("def spend(): return 1", tests).outcome)
"""


async def test_a_child_that_the_kernel_ended_for_memory_counts_though_nobody_looked_meanwhile(
    new_sandbox: NewSandbox,
) -> None:
    async with new_sandbox("full"):
        """It is to be had here."""
    process = await anyio.open_process([sys.executable, "-c", OVERSPENDING], stderr=None)
    async with process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        assert await lines.receive_until(b"\n", 100) == b"ready"
        await anyio.sleep(0.5)  # the run has begun and sleeps; where it has not, the limit is seen by a look
        process.send_signal(signal.SIGSTOP)
        await anyio.sleep(3)
        process.send_signal(signal.SIGCONT)
        assert await lines.receive_until(b"\n", 100) == b"out_of_memory"
        assert await lines.receive_until(b"\n", 100) == b"passed"


async def test_a_zygote_that_has_served_long_is_replaced_beside_the_runs(
    form: str, new_sandbox: NewSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygote, "USUAL_RUNS", 4)
    before, descriptors = living(), len(os.listdir("/proc/self/fd"))
    async with new_sandbox(form) as sandbox:
        first = living() - before
        with anyio.fail_after(100):
            while first & living():  # a verdict and a program, until both zygotes are others
                assert (await sandbox.judge(*GOOD)).outcome == "passed"
                assert (await sandbox.run("print(1)")).stdout == "1\n"
        assert len(living() - before) <= 3 * len(first)  # zygotes, prepared children, zygotes that are ready
    assert living() == before
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # the loop's own may have come


async def test_nothing_survives_a_parent_that_is_killed(form: str, new_sandbox: NewSandbox, tmp_path: Path) -> None:
    new_sandbox(form)
    script = f"""
import anyio
from prismenv.isolation.jailed import JailedSandbox
async def main():
    async with JailedSandbox(2, form={form!r}) as sandbox:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(sandbox.judge, {SLEEPER!r}, {NAPPING!r})
anyio.run(main)
"""
    assert await nothing_is_left_of(script, tmp_path, 5)  # itself, two zygotes, two runs


@pytest.mark.parametrize("form", ["full", "userns"])
async def test_no_prepared_child_survives_a_parent_that_is_killed_between_runs(
    form: str, new_sandbox: NewSandbox, tmp_path: Path
) -> None:
    new_sandbox(form)
    script = f"""
import anyio
from prismenv.isolation.jailed import JailedSandbox
async def main():
    async with JailedSandbox(1, form={form!r}) as sandbox:
        await sandbox.judge(*{GOOD!r})
        await anyio.sleep_forever()
anyio.run(main)
"""
    assert await nothing_is_left_of(script, tmp_path, 5)  # itself, two zygotes, two children without a run


async def test_hundreds_of_runs_leave_nothing_behind(
    new_sandbox: NewSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def footprint() -> dict[str, int]:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        return {"processes": len(living()), "descriptors": len(os.listdir("/proc/self/fd")),
                "mounts": mounts.count(str(tmp_path))}  # fmt: skip

    outside = living()
    async with new_sandbox("full") as sandbox:
        for _ in range(20):
            await sandbox.judge(*GOOD)
        await grown(outside, 4)  # two zygotes, each with a child that waits for a run
        gc.collect()  # what earlier tests left to it holds descriptors
        before = footprint()
        for _ in range(200):
            assert (await sandbox.judge(*GOOD)).outcome == "passed"
        await grown(outside, 4)
        assert footprint() == before


async def test_slots_leave_no_control_group_behind(new_sandbox: NewSandbox) -> None:
    async with new_sandbox("full", 2):
        folders = [folder for folder in find_trees().folders.values() if folder.exists()]
        during = {str(path) for folder in folders for path in folder.glob("slot-*")}
    after = {str(path) for folder in folders for path in folder.glob("slot-*")}
    assert len(during - after) >= 2
