"""Finds every process of a run, however it left its group, by the mark that its limits carry (Linux).

The guest sets RLIMIT_RTTIME, which means nothing to an ordinary process, to a number of its run. Limits are inherited
over fork and kept over exec, whatever becomes of session, parent, environment and descriptors; so a daemon that was
forked twice is found again. Elsewhere only the process group is known.
"""

import contextlib
import errno
import os
import signal
import sys
import time
from dataclasses import dataclass

MARK_BASE = 1 << 50
HAS_PROC = sys.platform == "linux" and os.path.exists("/proc/self/limits")  # noqa: PTH110 - asked once, no path object
ROUNDS = 200
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What one process has used so far."""

    cpu_seconds: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class TaskUse:
    """What several processes use together; `tasks` are their threads."""

    processes: int
    tasks: int
    cpu_seconds: float
    resident_bytes: int


def _read(path: str) -> bytes:
    """What a file of a process says, nothing when it has ended. OSError when this process can open no more files."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return b""
    try:
        return os.read(descriptor, 8192)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def use_of(pid: int) -> ProcessUse | None:
    """CPU time with that of reaped children, and resident memory; None when the process has ended."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) < 22 or fields[0] in (b"Z", b"X"):  # noqa: PLR2004 - the fields up to rss, see proc(5)
        return None
    return ProcessUse(sum(int(value) for value in fields[11:15]) / TICKS, int(fields[21]) * PAGE_BYTES)


def _is_marked(pid: int, mark: bytes) -> bool:
    for line in _read(f"/proc/{pid}/limits").splitlines():
        if line.startswith(b"Max realtime timeout"):
            return mark in line.split()
    return False


def marked_processes(marker: int, after: int) -> list[int]:
    """Living processes with this run's mark; `after` is the guest's own id, which all of its children come after.

    OSError when it cannot be looked for them.
    """
    if not HAS_PROC:
        return []
    newest = _read("/proc/loadavg").split()[-1:]
    wrapped = bool(newest) and int(newest[0]) < after
    mark = str(marker).encode()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names are all we need
    return [pid for pid in pids if (pid > after or wrapped) and _is_marked(pid, mark) and use_of(pid) is not None]


def descendants(pid: int) -> list[int]:
    """`pid` and all processes below it. Those of a namespace hang together: its first process adopts every orphan."""
    found = [pid]
    for parent in found:
        try:
            tasks = os.listdir(f"/proc/{parent}/task")  # noqa: PTH208 - names are all we need
        except OSError:
            continue
        for task in tasks:
            found.extend(map(int, _read(f"/proc/{parent}/task/{task}/children").split()))
    return found


def tasks_use(pids: list[int]) -> TaskUse | None:
    """What these processes use together; None when all of them have ended."""
    fields = [each for each in (_read(f"/proc/{pid}/stat").rpartition(b")")[2].split() for pid in pids) if _lives(each)]
    if not fields:
        return None
    cpu = sum(int(value) for each in fields for value in each[11:15]) / TICKS
    resident = sum(int(each[21]) for each in fields) * PAGE_BYTES
    return TaskUse(len(fields), sum(int(each[17]) for each in fields), cpu, resident)


def _lives(fields: list[bytes]) -> bool:
    return len(fields) >= 22 and fields[0] not in (b"Z", b"X")  # noqa: PLR2004 - the fields up to rss, see proc(5)


def tree_use(pid: int) -> TaskUse | None:
    """What `pid` and all processes below it use together; None when all of them have ended."""
    return tasks_use(descendants(pid))


def kill_run(guest: int, marker: int) -> bool:
    """Kill the guest's group and all that carries its mark; False when something still lives at the end."""
    for attempt in range(ROUNDS):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(guest, signal.SIGKILL)
        with contextlib.suppress(OSError):  # this process can open no more files: some are soon closed again
            alive = marked_processes(marker, guest)
            if not alive:
                return True
            for pid in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.0005 * min(attempt + 1, 20))
    return False
