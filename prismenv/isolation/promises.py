"""What a sandbox promises against harm, each promise tried from inside: a small attack whose failure is the proof."""

import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.processes import HAS_PROC
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation

SMALL = Limits(
    wall_seconds=20, cpu_seconds=10, memory_bytes=128 * 2**20, output_bytes=4096, file_bytes=2**20, processes=4
)
MOST_TASKS = 128
HELD, BROKEN = "held", "broken"
# Each program prints `broken` when it could do what it must not, `held` when it was refused.
TRIED = """
try:
    {attempt}
except (OSError, ValueError, KeyError) as error:
    print("held", error)
else:
    print("broken" if done else "held")
"""
FORKS = """
import os, time
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        made += 1
except OSError:
    pass
print("broken" if made > {most} else "held", made)
"""
DAEMON = """
import os, sys, time
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", "{mark}"])
        os._exit(0)
except OSError:
    print("held, it can have no children")
else:
    os.wait()
    time.sleep(0.1)
"""
FILES = """
try:
    for number in range(8):
        open(f"file{number}", "wb").write(bytes(2**20 - 1))
except OSError:
    print("held")
else:
    print("broken")
"""
CHILD = """
import subprocess, sys
try:
    print("held" if subprocess.run([sys.executable, "-c", ""]).returncode == 0 else "broken")
except OSError:
    print("broken")
"""
# What is missing and how to get it, by promise: it says so for whatever kind it is missing in.
REMEDIES = {
    "host_files": "a run can read this user's files",
    "host_writes": "a run can write wherever this user can",
    "network": "a run can open connections",
    "other_processes": "a run can see and signal this user's processes",
    "forks": "a run can make processes faster than they are counted",
    "outliving": "a process can outlive its run",
    "memory": "memory is not held",
    "total_files": "only the size of each file is limited, not that of all",
    "children": "a run can have no processes of its own",
    "own_user": "runs have this user's id",
}
BETTER: dict[Isolation, str] = {
    "portable": "run on Linux, where unprivileged isolation needs nothing but user namespaces or Landlock",
    "unprivileged": "full isolation has it (root, with a memory control group)",
    "docker": "full isolation has it (root, with a memory control group)",
    "full": "this is a fault of the sandbox; please report it",
}
NAMESPACES_HAVE_IT = "allow user namespaces to this user"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What attempts aim at: a folder of the host that this user may write, a port that somebody listens on."""

    folder: Path
    port: int


async def keep_promises(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """Name of each promise to `ok`, or to what is missing and how to get it. `folder`: an empty one of the host's."""
    found = {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        around = Surroundings(folder, server.getsockname()[1])
        for name, check in CHECKS.items():
            found[name] = "ok" if await check(sandbox, around) else _missing(name, sandbox.isolation)
    return found


def _missing(name: str, kind: Isolation) -> str:
    remedy = NAMESPACES_HAVE_IT if kind == "unprivileged" and name in ("total_files", "children") else BETTER[kind]
    return f"missing: {REMEDIES[name]}; {remedy}"


def _held(done: Execution) -> bool:
    return done.outcome in ("crashed", "out_of_memory") or done.stdout.startswith(HELD)


async def _tried(sandbox: Sandbox, attempt: str) -> bool:
    return _held(await sandbox.run(TRIED.format(attempt=attempt), limits=SMALL))


async def _host_files(sandbox: Sandbox, around: Surroundings) -> bool:
    secret = around.folder / "secret"
    secret.write_text("secret", encoding="utf-8")
    return await _tried(sandbox, f"done = open({str(secret)!r}).read() == 'secret'")


async def _host_writes(sandbox: Sandbox, around: Surroundings) -> bool:
    target = around.folder / "written"
    held = await _tried(sandbox, f"done = open({str(target)!r}, 'w').write('x') == 1")
    return held and not any(path.name == target.name for path in _inside(around.folder))


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def _network(sandbox: Sandbox, around: Surroundings) -> bool:
    attempt = f"import socket; done = bool(socket.create_connection(('127.0.0.1', {around.port}), timeout=2))"
    return await _tried(sandbox, attempt)


async def _other_processes(sandbox: Sandbox, _: Surroundings) -> bool:
    return await _tried(sandbox, f"import os; os.kill({os.getpid()}, 0); done = os.getpid() != {os.getpid()}")


async def _forks(sandbox: Sandbox, _: Surroundings) -> bool:
    return _held(await sandbox.run(FORKS.format(most=MOST_TASKS), limits=SMALL))


async def _outliving(sandbox: Sandbox, _: Surroundings) -> bool:
    mark = uuid.uuid4().hex
    await sandbox.run(DAEMON.format(mark=mark), limits=SMALL)
    return HAS_PROC and not _is_running(mark)


def _is_running(mark: str) -> bool:
    return any(mark.encode() in _command_line(path) for path in Path("/proc").glob("[0-9]*"))


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


async def _memory(sandbox: Sandbox, _: Surroundings) -> bool:
    done = await sandbox.run("data = bytearray(b'x' * (4 * 2**30))\nprint('broken')", limits=SMALL)
    return done.outcome == "out_of_memory"


async def _total_files(sandbox: Sandbox, _: Surroundings) -> bool:
    return _held(await sandbox.run(FILES, limits=SMALL))


async def _children(sandbox: Sandbox, _: Surroundings) -> bool:
    return _held(await sandbox.run(CHILD, limits=SMALL))


async def _own_user(sandbox: Sandbox, _: Surroundings) -> bool:
    if sandbox.isolation == "unprivileged":
        return False  # inside of a user namespace it looks like another one, and is not
    done = await sandbox.run("import os; print(os.getuid())", limits=SMALL)
    return done.stdout.strip() != str(os.getuid())


CHECKS: dict[str, Callable[[Sandbox, Surroundings], Awaitable[bool]]] = {
    "host_files": _host_files,
    "host_writes": _host_writes,
    "network": _network,
    "other_processes": _other_processes,
    "forks": _forks,
    "outliving": _outliving,
    "memory": _memory,
    "total_files": _total_files,
    "children": _children,
    "own_user": _own_user,
}
