"""A pair of guests is watched as one run: whoever dies, hangs, floods or cheats, both end, and the right one is blamed.

The guests here are stand-ins (standins/): the judge runs the given tests with the harness' own words at hand, so a test
says exactly what is told to the parent and when.
"""

# ruff: noqa: ASYNC110, PTH208 - other processes are watched: they set no event, and proc never waits
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kinds import FORMS
from prismenv.isolation.processes import HAS_PROC, descendants, use_of
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.verdict import Verdict

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not HAS_PROC, reason="looks for processes in /proc")]

STANDINS = Path(__file__).parent / "standins"
ALL = ["portable", *FORMS]
GOOD = "def answer(line): return 1"
OPENING = """
import os, time
send("parsed", ["one", "two"])
send("loading")
ask("load")
send("collected", ["one", "two"], [])
def end(number, outcome, decided=False, detail=""):
    send("end", number, outcome, "", detail, False, 0.001, decided)
for number in [0, 1]:
    if number not in payload["skip"]:
        send("start", number)
"""
SUITE = f"{OPENING}        end(number, 'passed' if ask(str(number)) == '1' else 'failed')\n"
HUNGRY = """
import os, time
data = bytearray(b"x") * 2**26
if os.fork() == 0:
    data[::4096] = bytes(2**14)
time.sleep(600)
"""
FORGERY = "'a frame that nobody asked for'"
REWRITTEN = "'argument_rewritten'"
Judge = Callable[..., Verdict]


@pytest.fixture(params=ALL)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def judge(form: str, warm_pairs: Callable[[str], BlockingSandbox]) -> Judge:
    def judge_it(solution: str, tests: str = SUITE, limits: Mapping[str, Any] | None = None) -> Verdict:
        return warm_pairs(form).judge(solution, tests, limits=Limits(**{"wall_seconds": 60, **(limits or {})}))

    return judge_it


def test_a_pair_gives_a_verdict_that_says_that_it_was_one(judge: Judge) -> None:
    verdict = judge(GOOD)
    assert (verdict.outcome, verdict.verdict_mode, verdict.tests_passed_num) == ("passed", "split", 2), verdict.output
    assert verdict.cpu_seconds > 0
    assert judge("def answer(line): return 2").outcome == "failed"


def test_the_solutions_process_is_given_nothing_of_the_tests(judge: Judge) -> None:
    tests = f"{OPENING}        end(number, 'failed', detail=repr(payload) + ask(str(number)))\n"
    verdict = judge("def answer(line): return sorted(payload), 'par' + 'sed' in repr(payload)", tests)
    assert "'audit': False" in verdict.output
    keys = ["entry", "files", "limits", "marker", "modules", "nonce", "parts", "solution"]
    assert f"({keys}, False)" in verdict.output


def test_each_of_a_pair_holds_its_streams_its_channel_and_the_bridge_alone(judge: Judge) -> None:
    look = """
def opened():
    found = []
    for number in range(250):
        try: os.fstat(number)
        except OSError: continue
        found.append(number)
    return found
"""
    tests = f"import os{look}{OPENING}        end(number, 'failed', detail=repr(opened()) + ask(str(number)))\n"
    verdict = judge(f"import os{look}\ndef answer(line): return opened()", tests)
    assert "[0, 1, 2, 3][0, 1, 2, 3]" in verdict.output


@pytest.mark.parametrize(
    ("solution", "limits", "outcome", "hit"),
    [
        ("import os; os._exit(3)", {}, "crashed", None),
        ("import os\ndef answer(line): os._exit(0)", {}, "crashed", None),
        ("import os\ndef answer(line): os.abort()", {}, "crashed", None),
        ("1 / 0", {}, "crashed", None),
        ("import os, time\nos.close(3)\ntime.sleep(600)", {}, "crashed", None),
        ("import time; time.sleep(600)", {"wall_seconds": 2}, "timed_out", "wall_seconds"),
        ("import time\ndef answer(line): time.sleep(600)", {"wall_seconds": 2}, "timed_out", "wall_seconds"),
        ("while True: pass", {"cpu_seconds": 0.3}, "timed_out", "cpu_seconds"),
        ("print('x' * 200_000, flush=True)\nimport time; time.sleep(600)", {"output_bytes": 100_000}, "output_limit",
         "output_bytes"),
        ("while True: print('x' * 1000)", {}, "output_limit", "output_bytes"),
    ],
)  # fmt: skip
def test_what_a_solution_does_to_its_own_process_is_its_own_fault(
    judge: Judge, solution: str, limits: dict[str, Any], outcome: str, hit: str | None
) -> None:
    verdict = judge(solution, limits=limits)
    assert (verdict.outcome, verdict.fault) == (outcome, "candidate"), verdict.output
    assert verdict.limits_hit == ((hit,) if hit else ())


def test_the_processes_of_a_solution_may_use_so_much_memory_together(judge: Judge, form: str) -> None:
    if form == "alone":
        pytest.skip("a run has no processes of its own there")
    verdict = judge(HUNGRY, limits={"memory_bytes": 2**26 + 2**24})
    assert (verdict.outcome, verdict.limits_hit) == ("out_of_memory", ("memory_bytes",)), verdict.output


def test_how_the_solutions_process_ended_is_told(judge: Judge) -> None:
    verdict = judge("import os\ndef answer(line): os._exit(9)")
    assert "its process left with exit code 9" in verdict.message
    assert [case.outcome for case in verdict.cases] == ["errored", "errored"]
    gone = judge("import os, time\nos.close(3)\ntime.sleep(600)")
    assert "closed its connection" in gone.message


@pytest.mark.parametrize(
    "solution",
    [
        "tell('done')",
        "tell('ready')",
        "import os\nfor number in range(4, 1024):\n    try: os.write(number, b'x')\n    except OSError: pass",
        "def answer(line):\n    tell('end', 0, 'passed', '', '', False, 0.1, False)\n    return 1",
    ],
)
def test_whatever_a_solution_says_to_the_parent_is_a_forgery(judge: Judge, solution: str) -> None:
    text = solution if "def answer" in solution else f"{solution}\n{GOOD}"
    verdict = judge(text)
    assert (verdict.outcome, verdict.fault) == ("forgery_attempt", "candidate"), verdict.output


def test_a_judge_that_does_not_notice_that_it_is_alone_is_ended(judge: Judge) -> None:
    tests = f"{OPENING}        ask(str(number))\n        time.sleep(600)\n"
    threads = "import os, threading\ndef answer(line):\n    threading.Timer(0.05, os._exit, [7]).start()\n    return 1"
    verdict = judge(threads, tests)
    assert (verdict.outcome, verdict.limits_hit) == ("crashed", ()), verdict.output
    assert "exit code 7" in verdict.message


@pytest.mark.parametrize(
    ("tests", "limits", "outcome", "fault"),
    [
        ("import os; os._exit(0)", {}, "invalid_tests", "tests"),
        ("import time; time.sleep(600)", {"wall_seconds": 0.3}, "invalid_tests", "tests"),
        ("send('parsed', ['one']); import os; os._exit(0)", {}, "infrastructure_error", "infrastructure"),
        (f"{OPENING}        os._exit(0)", {}, "crashed", "candidate"),
        (f"{OPENING}        os.abort()", {}, "crashed", "candidate"),
        (f"{OPENING}        time.sleep(600)", {"wall_seconds": 2}, "timed_out", "candidate"),
        (f"{OPENING}        while True: pass", {"cpu_seconds": 0.3}, "timed_out", "candidate"),
        (f"{OPENING}        print('x' * 2**20, flush=True)", {"output_bytes": 1024}, "output_limit", "candidate"),
        (f"{OPENING}        send('nonsense')", {}, "forgery_attempt", "candidate"),
        (f"{OPENING}        send('forgery', {FORGERY}); break", {}, "forgery_attempt", "candidate"),
        (f"{OPENING}        send('flooded'); break", {}, "output_limit", "candidate"),
        (f"{OPENING}        send('unsplit', 'it patches open'); break", {}, "invalid_tests", "tests"),
        ("send('unsplit', 'it patches open')", {}, "invalid_tests", "tests"),
        (f"{OPENING}        end(number, [{REWRITTEN}, 'passed'][number])", {}, "argument_rewritten", "candidate"),
        (f"{OPENING}        end(number, [{REWRITTEN}, 'failed'][number])", {}, "failed", "candidate"),
    ],
)  # fmt: skip
def test_a_run_that_ends_in_the_judge_is_the_candidates_once_its_code_could_run(
    judge: Judge, tests: str, limits: dict[str, Any], outcome: str, fault: str
) -> None:
    verdict = judge(GOOD, tests, limits)
    assert (verdict.outcome, verdict.fault) == (outcome, fault), verdict.output
    if "unsplit" in tests:
        assert "it patches open; such a suite takes `verdict: shared`" in verdict.message
    if outcome == "output_limit":
        assert verdict.limits_hit == ("output_bytes",)


def test_what_both_print_counts_together_and_is_told(judge: Judge) -> None:
    tests = f"print('j' * 700, flush=True)\n{SUITE}"
    solution = f"print('s' * 700, flush=True)\n{GOOD}"
    verdict = judge(solution, tests, {"output_bytes": 2000})
    assert verdict.outcome == "passed"
    assert "j" * 700 in verdict.output
    assert "s" * 700 in verdict.output
    assert judge(solution, tests, {"output_bytes": 1024}).outcome == "output_limit"


def test_who_decided_a_case_is_recorded(judge: Judge) -> None:
    verdict = judge(GOOD, f"{OPENING}        end(number, 'passed', decided=number == 1)\n")
    assert [case.decided_by for case in verdict.cases] == ["tests", "solution"]


def test_a_test_that_exceeds_its_own_limit_gives_way_to_a_fresh_pair(judge: Judge) -> None:
    solution = "import time\ndef answer(line):\n    if line == '0': time.sleep(600)\n    return 1"
    verdict = judge(solution, limits={"test_wall_seconds": 2})
    assert [case.outcome for case in verdict.cases] == ["timed_out", "passed"]
    assert verdict.limits_hit == ("test_wall_seconds",)


def test_megabytes_of_solution_and_tests_reach_their_guests(judge: Judge) -> None:
    filler = "# a line of text\n" * 300_000
    assert judge(filler + GOOD, filler + SUITE).outcome == "passed"


def test_the_mode_that_is_asked_for_is_the_one_that_is_used(
    form: str, warm_pairs: Callable[[str], BlockingSandbox]
) -> None:
    box = warm_pairs(form)
    shared = box.judge("def one(): return 1", "def test_a(): assert one() == 1", verdict="shared")
    assert (shared.outcome, shared.verdict_mode) == ("passed", "shared")
    split = box.judge(GOOD, SUITE, verdict="split")
    assert (split.outcome, split.verdict_mode) == ("passed", "split")
    assert shared.harness_hash != split.harness_hash
    assert box.run("print(6 * 7)").stdout == "42\n"


async def test_a_language_without_a_split_verdict_says_so(
    new_sandbox: Callable[..., Sandbox], standins: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sandbox"
    shutil.copytree(standins, folder)
    profile = folder / "languages" / "python.yaml"
    language = yaml.safe_load(profile.read_text(encoding="utf-8"))
    del language["guest"]["split"]
    profile.write_text(yaml.safe_dump(language), encoding="utf-8")
    async with new_sandbox("portable", 1, folder=folder, verdict="split") as sandbox:
        with pytest.raises(ConfigurationException, match="no split verdict"):
            await sandbox.judge(GOOD, SUITE)


SLEEPER = "import time\ndef answer(line): time.sleep(600)"


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


async def test_nothing_is_left_of_a_pair_whose_caller_was_cancelled(
    form: str, new_pairs: Callable[..., Sandbox]
) -> None:
    async with new_pairs(form) as sandbox:
        idle = living()
        async with anyio.create_task_group() as group:
            group.start_soon(sandbox.judge, SLEEPER, SUITE)
            running = await grown(idle, 2)
            group.cancel_scope.cancel()
        assert not [pid for pid in running if use_of(pid) is not None]
        assert (await sandbox.judge(GOOD, SUITE)).outcome == "passed"


@pytest.mark.parametrize("which", [0, 1])
async def test_a_zygote_of_either_side_that_dies_during_a_run_costs_only_another_try(
    which: int, new_pairs: Callable[..., Sandbox]
) -> None:
    before = living()
    verdicts: list[Verdict] = []
    async with new_pairs("full") as sandbox:
        zygotes = sorted(living() - before)

        async def judge() -> None:
            verdicts.append(await sandbox.judge("import time\ntime.sleep(0.5)\n" + GOOD, SUITE))

        async with anyio.create_task_group() as group:
            group.start_soon(judge)
            await grown(before | set(zygotes), 2)
            os.kill(zygotes[which], signal.SIGKILL)
    assert [verdict.outcome for verdict in verdicts] == ["passed"], verdicts[0].output


async def test_no_pair_survives_a_parent_that_is_killed(
    form: str, new_pairs: Callable[..., Sandbox], standins: Path, tmp_path: Path
) -> None:
    new_pairs(form)
    module, options = ("portable", "") if form == "portable" else ("jailed", f", form={form!r}")
    script = f"""
import anyio
from pathlib import Path
from prismenv.isolation.{module} import {module.title()}Sandbox
async def main():
    async with {module.title()}Sandbox(2{options}, verdict="split", folder=Path({str(standins)!r})) as sandbox:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(sandbox.judge, {SLEEPER!r}, {SUITE!r})
anyio.run(main)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = await anyio.open_process([sys.executable, "-c", script], env=environment, stderr=None)
    wanted = 1 + 4 * (1 if form == "portable" else 2)  # itself, two pairs of zygotes, two pairs of runs
    with anyio.fail_after(100):
        while len(descendants(parent.pid)) < wanted:
            await anyio.sleep(0.01)
        await anyio.sleep(0.2)
    below = set(descendants(parent.pid)) - {parent.pid}
    parent.kill()
    await parent.wait()
    assert await gone(below)
    assert str(tmp_path) not in await anyio.Path("/proc/self/mounts").read_text(encoding="utf-8")


async def test_many_pairs_leave_nothing_behind(
    form: str, new_pairs: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def footprint() -> dict[str, int]:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        # Only mounts below this sandbox's folder: whoever else works on this machine comes and goes with theirs.
        return {"processes": len(living()), "descriptors": len(os.listdir("/proc/self/fd")),
                "mounts": mounts.count(str(tmp_path))}  # fmt: skip

    crash = "import os\ndef answer(line): os._exit(1)"
    outside, idle = living(), {"portable": 0, "alone": 2}.get(form, 4)  # two zygotes, each with a child that waits
    async with new_pairs(form) as sandbox:
        for solution in [GOOD, crash] * 3:
            await sandbox.judge(solution, SUITE)
        await grown(outside, idle)
        gc.collect()  # what earlier tests left to it holds descriptors
        before = footprint()
        for turn in range(20 if form == "portable" else 100):
            verdict = await sandbox.judge(crash if turn % 5 == 0 else GOOD, SUITE)
            assert verdict.outcome == ("crashed" if turn % 5 == 0 else "passed"), verdict.output
        await grown(outside, idle)
        assert footprint() == before
