"""Control groups for slots: total memory and number of tasks of a run, held by the kernel.

A slot's group is made once and reused by whoever leases the slot; its zygote lives in it, so a run is in it from its
first instruction and nothing is moved per run. Both versions are known: one tree with `memory` and `pids` delegated to
us (v2), or a mounted hierarchy for each controller (v1). Groups stand at the top of what we may write, unless a group
above this process has a memory limit: then below our own, so that nobody escapes what the host decided.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prismenv.words.errors import SandboxException

FOLDER = "prismenv"
NO_LIMIT_BYTES = 2**60
CONTROLLERS = ("memory", "pids")
EVENTS_BYTES = 1024


@dataclass(frozen=True, slots=True)
class GroupTrees:
    """Where groups are made, by controller; the same folder twice for v2. `problem`: why there is none."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    unified: bool = False
    problem: str = ""


def find_trees(proc: Path = Path("/proc/self")) -> GroupTrees:
    """Where groups for slots can be made. Only looks: the folder that they share is made with the first of them."""
    try:
        mounts = [line.split() for line in (proc / "mountinfo").read_text(encoding="utf-8").splitlines()]
        own = dict(_own_groups((proc / "cgroup").read_text(encoding="utf-8")))
        unified = _unified(mounts, own)
        return unified if unified is not None else _separate(mounts, own)
    except OSError as error:
        return GroupTrees(problem=f"control groups cannot be used: {error}")


def _own_groups(text: str) -> list[tuple[str, str]]:
    parts = [line.split(":", 2) for line in text.splitlines()]
    return [(name, path) for _, names, path in parts for name in names.split(",")]


def _unified(mounts: list[list[str]], own: Mapping[str, str]) -> GroupTrees | None:
    """The v2 tree, if memory is controlled there; None where it is not."""
    for fields in mounts:
        if fields[fields.index("-") + 1] != "cgroup2":
            continue
        top = Path(fields[4])
        if not set(CONTROLLERS) <= set((top / "cgroup.controllers").read_text(encoding="ascii").split()):
            continue
        below = _below_limit(top, own.get("", "/"), "memory.max")
        place = below or top
        if not os.access(place / "cgroup.subtree_control", os.W_OK):
            return GroupTrees(problem=f"{place} is not delegated to this user")
        return GroupTrees(dict.fromkeys(CONTROLLERS, place / FOLDER), unified=True)
    return None


def _delegate(folder: Path) -> None:
    control = folder / "cgroup.subtree_control"
    if not set(CONTROLLERS) <= set(control.read_text(encoding="ascii").split()):
        control.write_text(" ".join(f"+{name}" for name in CONTROLLERS), encoding="ascii")


def _separate(mounts: list[list[str]], own: Mapping[str, str]) -> GroupTrees:
    """The v1 hierarchies; pids may be missing: a user of its own has a limit on tasks as well."""
    folders = {}
    for fields in mounts:
        at = fields.index("-")
        if fields[at + 1] != "cgroup":
            continue
        for name in set(CONTROLLERS) & set(fields[at + 3].split(",")):
            place = _below_limit(Path(fields[4]), own.get(name, "/"), "memory.limit_in_bytes") or Path(fields[4])
            if os.access(place, os.W_OK):
                folders[name] = place / FOLDER
    if "memory" not in folders:
        return GroupTrees(problem="no memory controller is mounted, or none that is delegated")
    return GroupTrees(folders)


def _below_limit(top: Path, own: str, limit_file: str) -> Path | None:
    """Our own group, if it or one above it has a memory limit."""
    current = top / own.strip("/")
    while current != top:
        text = _read(current / limit_file)
        if text.isdecimal() and int(text) < NO_LIMIT_BYTES:
            return top / own.strip("/")
        current = current.parent
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SlotGroup:
    """The group of one slot. SandboxException when it cannot be made or written."""

    def __init__(self, trees: GroupTrees, slot: int) -> None:
        self._unified = trees.unified
        self._folders = {name: folder / f"slot-{slot}" for name, folder in trees.folders.items()}
        self._memory = self._folders["memory"]
        self._limit = -1
        self._tasks = -1
        self._kills = 0
        self._events = -1
        with _refused(f"slot {slot}"):
            for folder in dict.fromkeys(self._folders.values()):
                self._make(folder)

    def _make(self, folder: Path) -> None:
        folder.parent.mkdir(exist_ok=True)
        if self._unified:
            _delegate(folder.parent.parent)
            _delegate(folder.parent)
        folder.mkdir(exist_ok=True)

    def attach(self, pid: int) -> None:
        """Put a process into the group; its children will be in it."""
        with _refused(str(self._memory)):
            for folder in dict.fromkeys(self._folders.values()):
                _write(folder / "cgroup.procs", str(pid))

    def begin_run(self) -> None:
        """Count kills from here: those of an earlier run, or of another zygote of the slot, are not this run's."""
        self._kills = self.kills()

    def limit_tasks(self, tasks: int) -> None:
        """At most so many processes and threads together. Written only when it changes."""
        if "pids" in self._folders and tasks != self._tasks:
            with _refused(str(self._folders["pids"])):
                _write(self._folders["pids"] / "pids.max", str(tasks))
            self._tasks = tasks

    def limit_memory(self, memory_bytes: int) -> None:
        """At most so much memory, files in memory included, and no swap. Written only when it changes."""
        if memory_bytes == self._limit:
            return
        name = "memory.max" if self._unified else "memory.limit_in_bytes"
        with _refused(str(self._memory)):
            if not self._unified:  # the one with swap may never be the lower one
                with contextlib.suppress(OSError):
                    _write(self._memory / "memory.memsw.limit_in_bytes", "-1")
            _write(self._memory / name, str(memory_bytes))
        swap = ("memory.swap.max", 0) if self._unified else ("memory.memsw.limit_in_bytes", memory_bytes)
        with contextlib.suppress(OSError):  # a kernel that does not account for swap
            _write(self._memory / swap[0], str(swap[1]))
        self._limit = memory_bytes

    def kills(self) -> int:
        """How many processes the kernel has killed here for want of memory, ever."""
        if self._events < 0:
            name = "memory.events" if self._unified else "memory.oom_control"
            with _refused(str(self._memory)):
                self._events = os.open(self._memory / name, os.O_RDONLY | os.O_CLOEXEC)
        _, found, count = os.pread(self._events, EVENTS_BYTES, 0).partition(b"oom_kill ")
        return int(count.split()[0]) if found else 0

    def has_killed(self) -> bool:
        """Whether there were kills since the run began."""
        return self.kills() > self._kills

    def remove(self) -> None:
        """Remove the group; one that somebody is still in stays, for the next who leases the slot."""
        if self._events >= 0:
            os.close(self._events)
            self._events = -1
        for folder in dict.fromkeys(self._folders.values()):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _refused(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SandboxException(f"the control group of {what} cannot be used: {error}", subject=what) from error
