"""The guest of the portable kind: a fresh process in a session of its own, found again by its mark."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prismenv.isolation.launch import Exit, Guest
from prismenv.isolation.processes import HAS_PROC, ProcessUse, kill_run, marked_processes, use_of


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start. `marker` is the number that the limits of its processes will carry.

    `bridge` is the descriptor of the socket to the other guest of its pair, which it keeps under that number; None: it
    is no pair.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    marker: int
    streams_apart: bool = False
    bridge: int | None = None


class SpawnedGuest(Guest):
    """Starts the launch; OSError when it cannot be started. The run is killed before the guest is reaped, while nobody

    else can have its id.
    """

    def __init__(self, launch: Launch) -> None:
        self._marker = launch.marker
        self.channel, theirs = socket.socketpair()
        try:
            self._process = self._start(launch, theirs)
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        opened = (self._process.stdout, self._process.stderr)
        self.streams = [stream.fileno() for stream in opened if stream is not None]
        self.exit_descriptor = self._pidfd()

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self._process.pid

    def has_ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def uses(self) -> list[ProcessUse]:
        if not HAS_PROC:
            return []
        with contextlib.suppress(OSError):  # this process can open no more files: the next look may succeed
            pids = [self._process.pid, *marked_processes(self._marker, self._process.pid)]
            return [use for use in map(use_of, pids) if use is not None]
        return []

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended: finish() finds the rest
            os.killpg(self._process.pid, signal.SIGKILL)

    def finish(self) -> Exit:
        all_dead = kill_run(self._process.pid, self._marker)
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # something else in this process waits for every child: how it ended is lost
            self._process.returncode = -1
            return Exit(None, message="another part of this process took the guest's exit status")
        self._process.returncode = code = os.waitstatus_to_exitcode(status)
        message = "" if all_dead else "processes of the run could not be killed"
        return Exit(code, usage.ru_utime + usage.ru_stime, self._peak_memory(usage), message=message)

    def close(self) -> None:
        if self._process.returncode is None:
            self.finish()
        self.channel.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self.exit_descriptor is not None:
            os.close(self.exit_descriptor)

    @staticmethod
    def _start(launch: Launch, theirs: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the command is the language profile's
            list(launch.command),
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if launch.streams_apart else subprocess.STDOUT,
            bufsize=0,
            cwd=launch.folder,
            env=dict(launch.environment),
            start_new_session=True,
            pass_fds=[] if launch.bridge is None else [launch.bridge],
        )

    def _pidfd(self) -> int | None:
        opener = getattr(os, "pidfd_open", None)
        if opener is None:
            return None
        try:
            return int(opener(self._process.pid))
        except OSError:
            return None

    @staticmethod
    def _peak_memory(usage: resource.struct_rusage) -> int | None:
        # What a child reports as its peak begins with the size that its parent had when it was started.
        inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return usage.ru_maxrss * (1024 if HAS_PROC else 1) if usage.ru_maxrss > inherited else None
