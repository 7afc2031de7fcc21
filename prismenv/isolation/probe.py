"""Small real checks of a sandbox: what doctor and health show is what was tried."""

import sys
from collections.abc import Awaitable, Callable

import anyio

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.language import LanguageProbe
from prismenv.isolation.processes import HAS_PROC
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits

SMALL = Limits(
    wall_seconds=20, cpu_seconds=10, memory_bytes=128 * 2**20, output_bytes=4096, file_bytes=4096, processes=4
)
HUNGRY = "data = bytearray(512 * 2**20)"
SLEEPER = "import time\ntime.sleep(60)"
FLOOD = "while True:\n    print('x' * 1000)"
WRITER = "open('big', 'wb').write(bytes(100_000))"
BOMB = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        time.sleep(20)
time.sleep(20)
"""


async def probe_sandbox(sandbox: Sandbox, language: LanguageProbe) -> dict[str, str]:
    """Name of each check to `ok` or to what went otherwise."""
    checks: dict[str, Callable[[], Awaitable[str | None]]] = {
        "program": lambda: _program(sandbox, language),
        "judge": lambda: _judge(sandbox),
        "memory_limit": lambda: _ends(sandbox, HUNGRY, SMALL, "out_of_memory"),
        "wall_limit": lambda: _ends(sandbox, SLEEPER, SMALL.model_copy(update={"wall_seconds": 0.2}), "timed_out"),
        "output_limit": lambda: _ends(sandbox, FLOOD, SMALL, "output_limit"),
        "file_limit": lambda: _file_limit(sandbox),
        "process_limit": lambda: _process_limit(sandbox),
        "session": lambda: _session(sandbox),
    }
    found: dict[str, str | None] = {}

    async def check(name: str) -> None:
        found[name] = await checks[name]()

    async with anyio.create_task_group() as group:
        for name in checks:
            group.start_soon(check, name)
    return {name: told for name in checks if (told := found[name]) is not None}


async def _session(sandbox: Sandbox) -> str | None:
    """Whether an open session keeps its names, also behind a call that had to be interrupted; None: it keeps none."""
    try:
        opened = await sandbox.open(limits=SMALL)
    except ConfigurationException:
        return None
    except SandboxException as error:
        return f"none can be opened: {error.message}"
    async with opened as session:
        await session.execute("kept = 20")
        stuck = await session.execute("while True: pass", wall_seconds=0.2)
        after = await session.execute("kept + 1")
    good = (stuck.outcome, after.result) == ("timed_out", "21")
    return "ok" if good else f"a call without end was {stuck.outcome}, and the next one gave {after.result}"


async def _program(sandbox: Sandbox, language: LanguageProbe) -> str:
    done = await sandbox.run(language.program, limits=SMALL)
    good = done.outcome == "exited" and done.stdout == language.output
    return "ok" if good else f"the probe program ended as {done.outcome}: {done.message or done.stderr or done.stdout}"


async def _judge(sandbox: Sandbox) -> str:
    tests = "def test_good():\n    assert f() == 1\n\ndef test_bad():\n    assert f() == 2"
    verdict = await sandbox.judge("def f():\n    return 1", tests, limits=SMALL)
    good = (verdict.tests_passed_num, verdict.tests_failed_num) == (1, 1)
    return "ok" if good else f"one test of two should pass, the verdict is {verdict.outcome}: {verdict.message}"


async def _ends(sandbox: Sandbox, program: str, limits: Limits, outcome: str) -> str:
    done = await sandbox.run(program, limits=limits)
    return "ok" if done.outcome == outcome else f"expected {outcome}, got {done.outcome}: {done.message}"


async def _file_limit(sandbox: Sandbox) -> str:
    done = await sandbox.run(WRITER, limits=SMALL)
    return "ok" if done.exit_code not in (0, None) or done.limits_hit else "a file grew beyond its limit"


async def _process_limit(sandbox: Sandbox) -> str:
    if not HAS_PROC:
        return f"processes are not counted on {sys.platform}: there is no /proc"
    done = await sandbox.run(BOMB, limits=SMALL)
    refused = "Error" in done.stderr  # where no process may be made there is nothing to count
    return (
        "ok"
        if refused or "processes" in done.limits_hit
        else f"expected the limit on processes to be hit, got {done.outcome}"
    )
