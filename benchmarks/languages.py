"""What a case costs in other languages, against the plain tool in the same run; a part of benchmarks/sandbox.py.

    python benchmarks/languages.py [KIND]

JavaScript: one program with one case, beside `node FILE` started plainly, turn by turn. C++: one program compiled once
and judged by 100 cases, beside the compiled program started plainly as often. Milliseconds, medians of all turns.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.toolchain import find_toolchain
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits

NODE = "console.log(1 + 1);"
CPP = "#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }\n"
CASES = 100
TURNS = 15


def milliseconds(seconds: list[float]) -> float:
    """The median."""
    return round(statistics.median(seconds) * 1000, 2)


def started(command: list[str], folder: Path, given: str = "") -> float:
    """Seconds of one plain start."""
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, input=given, text=True, check=True, capture_output=True)
    return time.perf_counter() - begun


async def judged(sandbox: Sandbox, program: str, tests: str, language: str) -> float:
    """Seconds of one verdict, which must be a pass."""
    begun = time.perf_counter()
    verdict = await sandbox.judge(program, tests, language=language, limits=Limits(wall_seconds=60, cpu_seconds=60))
    took = time.perf_counter() - begun
    if not verdict.success:
        raise SystemExit(f"{language}: {verdict.output}")
    return took


async def node(sandbox: Sandbox, folder: Path) -> dict[str, float]:
    """One case beside node's own start."""
    (folder / "program.js").write_text(NODE, encoding="utf-8")
    tool = find_toolchain(language_shelf().profile("javascript")).values["node"]
    tests = "cases:\n- stdout: '2'\n"
    await judged(sandbox, NODE, tests, "javascript")
    plain, jailed = [], []
    for _ in range(2 * TURNS):
        plain.append(await anyio.to_thread.run_sync(started, [tool, "program.js"], folder))
        jailed.append(await judged(sandbox, NODE, tests, "javascript"))
    found = {"plain_ms": milliseconds(plain), "one_case_ms": milliseconds(jailed)}
    return {**found, "over_plain_percent": round((found["one_case_ms"] / found["plain_ms"] - 1) * 100, 1)}


async def cpp(sandbox: Sandbox, folder: Path) -> dict[str, float]:
    """A hundred cases of what was compiled once, and what compiling took the first time."""
    (folder / "program.cpp").write_text(CPP, encoding="utf-8")
    tool = find_toolchain(language_shelf().profile("cpp")).values["compiler"]
    begun = time.perf_counter()
    command = [tool, "-std=c++17", "-O2", "-pipe", "-o", "program", "program.cpp"]
    await anyio.run_process(command, cwd=folder)
    compiled = time.perf_counter() - begun
    tests = json.dumps({"cases": [{"stdin": f"{each} 2", "stdout": str(each + 2)} for each in range(CASES)]})
    first = await judged(sandbox, CPP, tests, "cpp")
    plain, jailed = [], []
    for turn in range(TURNS):
        plain.append(await anyio.to_thread.run_sync(started, ["./program"], folder, f"{turn} 2"))
        jailed.append(await judged(sandbox, CPP, tests, "cpp") / CASES)
    return {
        "plain_compile_ms": round(compiled * 1000, 1),
        "first_verdict_ms": round(first * 1000, 1),
        "plain_start_ms": milliseconds(plain),
        "per_case_ms": milliseconds(jailed),
    }


def languages(opened: Callable[[], Sandbox]) -> dict[str, dict[str, float] | str]:
    """The figures of both, or why there are none."""

    async def main() -> dict[str, dict[str, float] | str]:
        found: dict[str, dict[str, float] | str] = {}
        with tempfile.TemporaryDirectory() as folder:
            async with opened() as sandbox:
                for name, work in (("javascript", node), ("cpp", cpp)):
                    try:
                        found[name] = await work(sandbox, Path(folder))
                    except ConfigurationException as error:
                        found[name] = str(error)
        return found

    return anyio.run(main)


if __name__ == "__main__":
    from sandbox import opened  # beside this file; it imports this one

    kind = sys.argv[1] if len(sys.argv) > 1 else "full"
    print(json.dumps(languages(lambda: opened(kind, 1)), indent=2))
