"""What one judgement costs in each kind of isolation, against `subprocess.run([python, file])`, measured in one run.

    python benchmarks/sandbox.py [--runs N] [--growth N] [--kinds full,userns] [--verdicts split,shared]

The solution has 15 lines, the suite 5 tests. Prints one JSON document: CPU milliseconds per judged run with the
parent's share, median latency of runs that follow each other at once, and of runs that come 20 ms after the one before,
to a sandbox that is idle and has prepared for them (`idle_latency_ms`), runs per second with a worker for each
processor, how evenly 256 callers are served, start of an idle pool, what a call and ten megabytes cost from a suite to
a solution in another process, memory of zygotes and of runs, and what has grown after many runs.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from languages import languages  # beside this file

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.cgroups import find_trees
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.language import base_interpreter
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.processes import descendants
from prismenv.words.limits import Limits
from prismenv.words.verdict import VerdictMode

SOLUTION = '''
def roman(number):
    """The number as a roman numeral."""
    if not 0 < number < 4000:
        raise ValueError("out of range")
    table = [
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
        (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    ]
    parts = []
    for value, letters in table:
        count, number = divmod(number, value)
        parts.append(letters * count)
    return "".join(parts)
'''
TESTS = """
import unittest

class TestRoman(unittest.TestCase):
    def test_units(self):
        self.assertEqual([roman(n) for n in (1, 3, 4, 9)], ["I", "III", "IV", "IX"])
    def test_tens(self):
        self.assertEqual(roman(44), "XLIV")
    def test_year(self):
        self.assertEqual(roman(1994), "MCMXCIV")
    def test_largest(self):
        self.assertEqual(roman(3999), "MMMCMXCIX")
    def test_range(self):
        with self.assertRaises(ValueError):
            roman(0)

if __name__ == "__main__":
    unittest.main()
"""
FUNCTIONS = """
def test_units():
    assert [roman(n) for n in (1, 3, 4, 9)] == ["I", "III", "IV", "IX"]
def test_tens():
    assert roman(44) == "XLIV"
def test_year():
    assert roman(1994) == "MCMXCIV"
def test_largest():
    assert roman(3999) == "MMMCMXCIX"
def test_range():
    try:
        roman(0)
    except ValueError:
        return
    raise AssertionError
"""
ACROSS_SOLUTION = """
def add(first, second): return first + second
def same(value): return value
"""
ACROSS = """
import time
def took(work, times):
    begun = time.perf_counter()
    for _ in range(times): work()
    return (time.perf_counter() - begun) / times
def test_across():
    numbers = list(range(1_300_000))
    for _ in range(3):
        print("call_us", took(lambda: add(2, 3), 2000) * 1e6)
    print("ten_megabytes_there_and_back_seconds", took(lambda: same(numbers), 1))
"""
IDLE_SECONDS = 0.02  # in which the next run has been prepared
TICKS = os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    """CPU time of this process and of all children that it has waited for."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def cpu_seconds() -> float:
    """The same, and that of living children with what they have waited for: zygotes and their runs."""
    total = own_cpu_seconds()
    for pid in descendants(os.getpid())[1:]:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        total += sum(int(value) for value in fields[11:15]) / TICKS
    return total


def opened(kind: str, workers: int, mode: VerdictMode = "split") -> Sandbox:
    """A sandbox of a form of isolation."""
    for form in FORMS:
        if form == kind:
            return JailedSandbox(workers, form=form, verdict=mode)
    return PortableSandbox(workers, verdict=mode)


async def judge(sandbox: Sandbox, tests: str) -> float:
    """One judgement; seconds that it took."""
    begun = time.perf_counter()
    verdict = await sandbox.judge(SOLUTION, tests)
    assert verdict.tests_passed_num == 5, verdict.output
    return time.perf_counter() - begun


def one_by_one(kind: str, mode: VerdictMode, tests: str, runs: int) -> dict[str, float]:
    """CPU per run and latency, one run after the other; latency with pauses between them as well."""

    async def main() -> dict[str, float]:
        begun = time.perf_counter()
        async with opened(kind, 1, mode) as sandbox:
            start = time.perf_counter() - begun
            for _ in range(3):
                await judge(sandbox, tests)
            cpu, own = cpu_seconds(), time.process_time()
            took = [await judge(sandbox, tests) for _ in range(runs)]
            cpu, own = cpu_seconds() - cpu, time.process_time() - own
            idle = []
            for _ in range(runs):
                await anyio.sleep(IDLE_SECONDS)
                idle.append(await judge(sandbox, tests))
        return {
            "cpu_ms_per_run": round(cpu / runs * 1000, 2),
            "of_that_parent_ms": round(own / runs * 1000, 2),
            "median_latency_ms": round(statistics.median(took) * 1000, 2),
            "idle_latency_ms": round(statistics.median(idle) * 1000, 2),
            "start_seconds": round(start, 3),
        }

    return anyio.run(main)


def at_once(kind: str, mode: VerdictMode, workers: int, callers: int, runs: int) -> dict[str, float]:
    """Throughput with that many callers, and what the one that waited longest got beside the one in the middle."""

    async def main() -> dict[str, float]:
        left = iter(range(runs))
        waits: list[float] = []

        async def caller(sandbox: Sandbox) -> None:
            for _ in left:
                took = await judge(sandbox, TESTS)
                waits.append(took)

        async with opened(kind, workers, mode) as sandbox:
            await judge(sandbox, TESTS)
            cpu, begun = cpu_seconds(), time.perf_counter()
            async with anyio.create_task_group() as group:
                for _ in range(callers):
                    group.start_soon(caller, sandbox)
            cpu, wall = cpu_seconds() - cpu, time.perf_counter() - begun
        return {
            "runs_per_second": round(runs / wall, 1),
            "cpu_ms_per_run": round(cpu / runs * 1000, 2),
            "longest_wait_by_median": round(max(waits) / statistics.median(waits), 2),
        }

    return anyio.run(main)


def across(kind: str) -> dict[str, float]:
    """What a suite pays to reach the solution's process, by its own clock: the median of what it says."""

    async def main() -> str:
        async with opened(kind, 1) as sandbox:
            verdict = await sandbox.judge(ACROSS_SOLUTION, ACROSS, limits=Limits(wall_seconds=60, cpu_seconds=60))
        assert verdict.success, verdict.output
        return verdict.output

    said = [line.split() for line in anyio.run(main).splitlines() if "_" in line]
    names = dict.fromkeys(name for name, _ in said)
    return {name: round(statistics.median(float(value) for key, value in said if key == name), 3) for name in names}


def plain(python: str, runs: int) -> dict[str, float]:
    """The plain way: one file, one process, its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.py")
        path.write_text(SOLUTION + TESTS, encoding="utf-8")
        cpu, took = own_cpu_seconds(), []
        for _ in range(runs):
            begun = time.perf_counter()
            subprocess.run([python, str(path)], check=True, capture_output=True)
            took.append(time.perf_counter() - begun)
        cpu = own_cpu_seconds() - cpu
    return {
        "cpu_ms_per_run": round(cpu / runs * 1000, 2),
        "median_latency_ms": round(statistics.median(took) * 1000, 2),
    }


def kilobytes(pid: int, name: str) -> int:
    """A figure of /proc/PID/smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(name))


def footprint() -> dict[str, int]:
    """What could grow: counted on the whole machine where that is where it would."""
    own = os.getpid()
    groups = [folder for folder in find_trees().folders.values() if folder.exists()]
    return {
        "processes": len(descendants(own)),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "mounts": len(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()),
        "control_groups": sum(1 for folder in groups for _ in folder.glob("slot-*")),
        "temporary_files": sum(1 for path in Path(tempfile.gettempdir()).glob("prismenv-*") for _ in path.rglob("*")),
        "own_resident_kib": kilobytes(own, "Rss:"),
        "zygote_resident_kib": sum(kilobytes(pid, "Rss:") for pid in descendants(own)[1:]),
    }


def growth(kind: str, workers: int, runs: int) -> dict[str, Any]:
    """The footprint before and after many runs, and the memory of a zygote and of a run."""

    async def main() -> dict[str, Any]:
        async with opened(kind, workers) as sandbox, anyio.create_task_group() as group:
            for _ in range(200):
                await judge(sandbox, TESTS)
            zygotes = descendants(os.getpid())[1:]
            before = footprint()
            left = iter(range(runs))

            async def caller() -> None:
                for _ in left:
                    await judge(sandbox, TESTS)

            async with anyio.create_task_group() as inner:
                for _ in range(workers):
                    inner.start_soon(caller)
            after = footprint()
            memory = {
                "zygote_pss_kib": [kilobytes(pid, "Pss:") for pid in zygotes if Path(f"/proc/{pid}").exists()],  # noqa: ASYNC240 - a benchmark waits for nothing else
                "zygote_rss_kib": [kilobytes(pid, "Rss:") for pid in zygotes if Path(f"/proc/{pid}").exists()],  # noqa: ASYNC240 - a benchmark waits for nothing else
            }
            group.start_soon(sandbox.judge, "import time\ntime.sleep(0.5)", "def test_a(): pass")
            await anyio.sleep(0.3)
            runs_now = set(descendants(os.getpid())[1:]) - set(zygotes)
            memory["run_private_kib"] = [kilobytes(pid, "Private_Dirty:") for pid in runs_now]
        return {"runs": runs, "before": before, "after": after, **memory}

    return anyio.run(main)


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """How many times less CPU each way takes than the subprocess, which was measured before and after all of them."""
    base = (figures["subprocess_run"]["cpu_ms_per_run"] + figures["subprocess_run_again"]["cpu_ms_per_run"]) / 2
    return {
        f"{kind} {name}": round(base / figure["cpu_ms_per_run"], 2)
        for kind, ways in figures["kinds"].items()
        for name, figure in ways.items()
        if "cpu_ms_per_run" in figure
    }


def measured(work: Callable[[], Any]) -> Any:
    """What `work` gives, said on standard error as it comes."""
    found = work()
    print(json.dumps(found), file=sys.stderr)
    return found


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    there = [*(form for form in FORMS if not problem_of(form)), "portable"]
    parser.add_argument("--runs", type=int, default=200, help="judged runs of each measurement")
    parser.add_argument("--growth", type=int, default=2000, help="judged runs between the two looks at what has grown")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=there, help=f"of {', '.join(there)}")
    parser.add_argument("--verdicts", type=lambda text: text.split(","), default=["split", "shared"])
    return parser.parse_args()


def ways(kind: str, mode: VerdictMode, runs: int, workers: int) -> dict[str, dict[str, float]]:
    """All measurements of one kind of isolation and of verdict."""
    few = runs if kind != "portable" else max(20, runs // 5)
    return {
        f"{mode} unittest": measured(lambda: one_by_one(kind, mode, TESTS, few)),
        f"{mode} functions": measured(lambda: one_by_one(kind, mode, FUNCTIONS, few)),
        f"{mode} {workers}_workers": measured(lambda: at_once(kind, mode, workers, workers, 2 * few)),
        f"{mode} 256_callers": measured(lambda: at_once(kind, mode, workers, 256, max(2 * few, 512))),
    }


def main() -> None:
    """Measure and print."""
    asked = parsed()
    workers = os.cpu_count() or 1
    figures: dict[str, Any] = {
        "machine": {"processors": workers, "python": platform.python_version(), "kernel": platform.release()},
        "load_before": os.getloadavg(),
        "subprocess_run": measured(lambda: plain(base_interpreter(), max(20, asked.runs // 5))),
        "kinds": {
            kind: {name: way for mode in asked.verdicts for name, way in ways(kind, mode, asked.runs, workers).items()}
            for kind in asked.kinds
        },
        "subprocess_run_again": measured(lambda: plain(base_interpreter(), max(20, asked.runs // 5))),
    }
    figures["times_less_cpu_than_subprocess_run"] = ratios(figures)
    figures["languages"] = measured(lambda: languages(lambda: opened(asked.kinds[0], 1)))
    figures["across_the_split"] = measured(lambda: across(asked.kinds[0]))
    if asked.kinds[0] != "portable":
        figures["growth"] = measured(lambda: growth(asked.kinds[0], workers, asked.growth))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
