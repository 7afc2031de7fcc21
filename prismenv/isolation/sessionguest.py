"""What a session's process is to the parent, however it was started, and the portable kind of it."""

import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from prismenv.isolation.bundle import BOOT, boot
from prismenv.isolation.launch import Exit
from prismenv.isolation.processes import HAS_PROC, TaskUse, marked_processes, tasks_use
from prismenv.isolation.spawned import Launch, SpawnedGuest

SCHEDULED = 2  # of the kernel's clocks of a process: the CPU time that it was given


class SessionGuest(ABC):
    """One session's processes. `channel` is the parent's end of its socket, `streams` its output and its errors.

    `files` is a descriptor of the folder that it works in, `owner` the user that files there belong to (None: this
    one). `exit_descriptor` becomes readable at its end; None: there is none, ask `has_ended`.
    """

    channel: socket.socket
    exit_descriptor: int | None = None
    owner: int | None = None
    holds_files_in_memory = False

    def __init__(self) -> None:
        self.streams: list[int] = []
        self.files = -1
        self.used: TaskUse | None = None  # what it used when its last call ended
        self._pid = 0
        self._held = ExitStack()

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send its first process a signal; nothing when it has ended."""

    @abstractmethod
    def use(self) -> TaskUse | None:
        """What its processes use together; None when it has ended, or nobody can tell."""

    @abstractmethod
    def finish(self) -> Exit:
        """Kill what is left of it, wait for its end, and say how it ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every descriptor, and of the session if nobody has finished it."""

    def has_ended(self) -> bool:
        """Whether its first process has ended; only asked where there is no `exit_descriptor`."""
        return False

    def exceeded(self) -> bool:
        """Whether the kernel has killed something of it for want of memory since the call began."""
        return False

    @abstractmethod
    def begin_call(self) -> None:
        """From here on `exceeded` counts."""

    def pause(self) -> None:
        """Let nothing of it run."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        self.signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU time of its first process so far; 0.0 where that cannot be seen."""
        try:
            return time.clock_gettime((~self._pid << 3) | SCHEDULED)
        except OSError:
            return 0.0

    def file_bytes(self) -> int:
        """How much memory its files take; 0 where they are on a disk."""
        if not self.holds_files_in_memory or self.files < 0:
            return 0
        found = os.fstatvfs(self.files)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def let_go(self) -> None:
        """Close all that it holds."""
        self._held.close()
        self.streams, self.files = [], -1


class SpawnedSession(SessionGuest):
    """A fresh process as a session, of the portable kind. `folder` is entered, and left at its close.

    OSError when it cannot be started.
    """

    def __init__(self, launch: Launch, folder: AbstractContextManager[Path]) -> None:
        super().__init__()
        self._marker = launch.marker
        self._exit: Exit | None = None
        try:
            self._start(launch, folder)
        except BaseException:
            self.let_go()
            raise

    def _start(self, launch: Launch, folder: AbstractContextManager[Path]) -> None:
        lifeline, theirs = socket.socketpair()  # nothing is ever said there: the guest sees this process' end
        with theirs:
            self._held.enter_context(lifeline)
            place = self._held.enter_context(folder)
            self._guest = SpawnedGuest(_placed(launch, place, theirs.fileno()))
        self._held.callback(self._guest.close)
        self._pid, self.channel = self._guest.pid, self._guest.channel
        self.exit_descriptor, self.streams = self._guest.exit_descriptor, list(self._guest.streams)
        self.files = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._held.callback(os.close, self.files)

    def signal(self, number: int) -> None:
        if self._exit is None and not self._guest.has_ended():  # not reaped: nobody else can have its id
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, number)

    def has_ended(self) -> bool:
        return self._exit is not None or self._guest.has_ended()

    def use(self) -> TaskUse | None:
        if not HAS_PROC or self._exit is not None:
            return None
        with suppress(OSError):  # this process can open no more files: the next look may succeed
            return tasks_use([self._pid, *marked_processes(self._marker, self._pid)])
        return None

    def begin_call(self) -> None:
        return  # `exceeded` counts nothing here

    def pause(self) -> None:
        super().pause()
        with suppress(OSError):
            for each in marked_processes(self._marker, self._pid):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(each, signal.SIGKILL)

    def finish(self) -> Exit:
        if self._exit is None:
            self._exit = self._guest.finish()
        return self._exit

    def close(self) -> None:
        self.finish()
        self.let_go()


def _placed(launch: Launch, place: Path, lifeline: int) -> Launch:
    *start, first = launch.command
    environment = {**launch.environment, "HOME": str(place), "TMPDIR": str(place)}
    command = [*start, boot(lifeline) if first == BOOT else first]
    return replace(launch, command=command, environment=environment, folder=place, bridge=lifeline)
