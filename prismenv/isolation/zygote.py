"""The parent's side of a zygote: starts it, asks it for runs, and sees to it that nothing of it is left.

One thread at a time uses a zygote. Its words are in sandbox/guests/zygote.py: its own come over the control socket,
and the child that it has prepared takes its run from the socket of jobs. It is started by exec and reads its code
and configuration from a socket; its launcher makes it this process' own child, so that its end is told here.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from prismenv.isolation.bundle import chunk
from prismenv.isolation.cgroups import GroupTrees, SlotGroup
from prismenv.isolation.launch import Exit, HandedGuest
from prismenv.isolation.processes import ProcessUse, descendants, use_of
from prismenv.isolation.slots import Slot
from prismenv.words.errors import SandboxException
from prismenv.words.limits import Limits

START_SECONDS = 30.0
END_SECONDS = 20.0  # a fork bomb takes a busy machine a while to clear away
PACKET_BYTES = 4096
THREADS = 64  # tasks beyond the allowed number of processes: what threads may take
PAYLOAD_COPIES = 4  # how often a payload is in a child's memory before its own limit begins to count
MEMORY_SLACK_BYTES = 16 * 2**20  # so that an allocation fails inside, where it can be told, before the group kills
SPARE_STEP_BYTES = 2**20  # so that payloads of much the same size leave the group's limit as it is
MOST_GROWTH_BYTES = 24 * 2**20
USUAL_GROWTH_BYTES = MOST_GROWTH_BYTES // 2
USE = struct.Struct("=i4x5q104x32xq104x")  # a wait status, and of two `struct rusage` the times and the peaks
MOST_RUNS = 50_000
USUAL_RUNS = 40_000
ENDED = b"ended "
NUMBER = slice(8, 16)  # where the number of the run is in that packet


class ZygoteLostError(Exception):
    """The zygote is gone, and nothing of the run that was asked for has begun or can go on."""


@dataclass(frozen=True, slots=True)
class ZygoteDesign:
    """What every zygote of a sandbox is made of. `config` is what its main() reads, but for what is its own."""

    command: Sequence[str]
    environment: Mapping[str, str]
    code: bytes
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run: the guest that serves it, its limits, where it may write if it cannot have a folder of its own."""

    entry: str
    limits: Limits
    folder: Path
    payload_bytes: int
    streams_apart: bool = False


@dataclass(frozen=True, slots=True)
class ZygoteUse:
    """What the zygote said of a run's end."""

    status: int
    cpu_seconds: float
    peak_bytes: int
    own_bytes: int

    @classmethod
    def of(cls, told: bytes) -> Self:
        """From the bytes that Lookout in sandbox/guests/zygote_kernel.py tells."""
        status, seconds, micros, more_seconds, more_micros, peak, own = USE.unpack(told)
        code = os.waitstatus_to_exitcode(status)
        return cls(code, seconds + more_seconds + (micros + more_micros) / 1e6, peak * 1024, own * 1024)


class Zygote:
    """One zygote. `place` is an empty folder of its own to build its root on; `slot` None: it keeps this user."""

    def __init__(self, design: ZygoteDesign, place: Path, slot: Slot | None, trees: GroupTrees) -> None:
        self._design = design
        self._place = place
        self._slot = slot
        self._group = SlotGroup(trees, slot.number) if slot and trees.folders else None
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._jobs, self._their_jobs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._news = select.poll()
        self._news.register(self._control, select.POLLIN)
        self._control.settimeout(0)  # who waits asks `_news` first
        self._room = ""
        self._pid = 0
        self._pidfd = -1
        self._first_own_bytes = 0
        self._growth = 0
        self._runs = 0
        self._dead = False
        self._ended: list[str] = []  # what was said of a run's end when something else was asked
        self._last_use = b""

    @property
    def control(self) -> int:
        """The descriptor that becomes readable when the zygote has something to say."""
        return self._control.fileno()

    @property
    def pid(self) -> int:
        """Its id as this process sees it."""
        return self._pid

    @property
    def group(self) -> SlotGroup | None:
        """The control group that its runs are in; None where there is none."""
        return self._group

    @property
    def usable(self) -> bool:
        """False when it has died, has grown too much or has served too long: a new one has to take its place."""
        return not self._dead and self._runs < MOST_RUNS

    @property
    def outgrown(self) -> bool:
        """True when a new one should take its place before it has to."""
        return self._growth > USUAL_GROWTH_BYTES or self._runs >= USUAL_RUNS

    def start(self) -> None:
        """Start it and wait until it serves. SandboxException, with its own words, when it cannot."""
        try:
            self._exec()
            self._pid = int(self._expect("born", START_SECONDS)[0])
            self._pidfd = os.pidfd_open(self._pid)
            self._expect("ready", START_SECONDS)
            if self._group is not None:  # only now: its start may not take from what a run in the group is allowed
                self._group.attach(self._pid)
        except (OSError, ZygoteLostError) as error:
            self.close()
            raise SandboxException(f"a zygote cannot be started: {error}", subject="zygote") from error

    def ask(self, request: RunRequest, descriptors: Sequence[int]) -> int:
        """Ask for a run whose child holds `descriptors` as 0, 1, ..., and give its number. ZygoteLostError."""
        self._runs += 1
        limits = request.limits
        tasks = limits.processes + THREADS
        try:
            if self._group is not None:
                spare = MEMORY_SLACK_BYTES + PAYLOAD_COPIES * request.payload_bytes
                self._group.limit_memory(limits.memory_bytes + (spare // SPARE_STEP_BYTES + 1) * SPARE_STEP_BYTES)
                self._group.limit_tasks(tasks + 1)
                self._group.begin_run()
            self._expect_silence()
            self._make_room(f"{limits.file_bytes} {tasks} {request.folder}")
            socket.send_fds(self._jobs, [f"{self._runs} {request.entry}".encode("ascii")], descriptors)
        except (OSError, SandboxException, ZygoteLostError) as error:
            self._dead = True
            raise ZygoteLostError(f"the zygote does not answer: {error}") from error
        return self._runs

    def _expect_silence(self) -> None:
        """Between runs nothing is due: a zygote that says something has died, or the child that it had prepared has."""
        if self._news.poll(0):
            raise ZygoteLostError("the zygote spoke unasked")

    def _make_room(self, room: str) -> None:
        """Have its children prepared for `room`: told when it changes, or where each run has one of its own."""
        if room != self._room or self._design.config["form"] == "alone":
            self._control.send(b"room " + os.fsencode(room))
            self._expect("roomed", START_SECONDS)
            self._room = room

    def kill(self, number: int) -> None:
        """Have the run killed, whatever it does."""
        self._say(f"kill {number}")

    def where(self, number: int) -> int | None:
        """The id of the run's first process as this process sees it; None when it has ended."""
        self._say(f"where {number}")
        words, descriptors = self._hear(END_SECONDS)
        try:
            if words[:2] != ["here", str(number)] or not descriptors:
                self._ended = words
                return None
            text = Path(f"/proc/self/fdinfo/{descriptors[0]}").read_text(encoding="ascii")
            return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pid:")))
        finally:
            for each in descriptors:
                os.close(each)

    def end_of(self, number: int, seconds: float) -> ZygoteUse | None:
        """How the run ended; None when it has not within `seconds`. ZygoteLostError."""
        words, self._ended = self._ended, []
        if not words:
            try:
                words, _ = self._hear(seconds)
            except (TimeoutError, BlockingIOError):
                return None
        if words[0] == "broken":
            self._dead = True
            raise ZygoteLostError(" ".join(words[1:]))
        if words[:2] != ["ended", str(number)]:
            self._dead = True
            raise ZygoteLostError(f"the zygote said {words[:2]} when the end of run {number} was due")
        use = ZygoteUse.of(self._last_use)
        self._first_own_bytes = self._first_own_bytes or use.own_bytes
        self._growth = use.own_bytes - self._first_own_bytes
        self._dead = self._dead or self._growth > MOST_GROWTH_BYTES
        return use

    def close(self) -> None:
        """End it and all of its runs, and wait until they are gone."""
        self._dead = True
        for each in (self._control, self._theirs, self._jobs, self._their_jobs):
            each.close()
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            with contextlib.suppress(OSError):  # somebody else has waited for it
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._group is not None:
            self._group.remove()

    def _exec(self) -> None:
        uid = None if self._slot is None else self._slot.uid
        own = {"control": self._theirs.fileno(), "jobs": self._their_jobs.fileno(), "uid": uid}
        root = {**self._design.config["root"], "place": str(self._place)}
        config = {**self._design.config, **own, "root": root}
        # Not by a file, not even one in memory: a limit on the size of files would hold for it.
        given, code = socket.socketpair()
        with given, code, self._theirs, self._their_jobs:
            given.settimeout(START_SECONDS)
            launcher = subprocess.Popen(  # noqa: S603 - the command is the language profile's
                list(self._design.command),
                stdin=code.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[self._theirs.fileno(), self._their_jobs.fileno()],
                cwd="/",
                env=dict(self._design.environment),
                start_new_session=True,
            )
            code.close()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # how it left says more
                for part in (self._design.code, chunk(config)):
                    given.sendall(part)
        if launcher.wait(START_SECONDS):
            raise ZygoteLostError(self._last_words() or f"its launcher left with {launcher.returncode}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, ZygoteLostError):
            words, _ = self._hear(0.2)
            return " ".join(words[1:])
        return ""

    def _expect(self, word: str, seconds: float) -> list[str]:
        words, _ = self._hear(seconds)
        if words[0] != word:
            raise ZygoteLostError(" ".join(words[1:]) or words[0])
        return words[1:]

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # it is gone: whoever waits for its answer is told so
            self._control.send(text.encode("ascii"))

    def _hear(self, seconds: float) -> tuple[list[str], list[int]]:
        if self._control.fileno() < 0:
            raise ZygoteLostError("the zygote was ended")
        if seconds and not self._news.poll(seconds * 1000):
            raise TimeoutError("the zygote said nothing")
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 4)
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            self._dead = True
            raise ZygoteLostError("the zygote has died")
        if data.startswith(ENDED):
            self._last_use = data[-USE.size :]
            return ["ended", str(int.from_bytes(data[NUMBER], sys.byteorder))], descriptors
        return data.decode("ascii", "replace").split(), descriptors


class ZygoteGuest(HandedGuest):
    """One run in a zygote's child. ZygoteLostError when the zygote cannot begin it.

    `bridge` is the descriptor of its end of the socket to the other guest of its pair; None: it is no pair.
    """

    def __init__(self, zygote: Zygote, request: RunRequest, bridge: int | None = None) -> None:
        self._zygote = zygote
        self._lost = ""
        self._out_of_memory = False
        self._killed = self._asked_last = False
        self._use: ZygoteUse | None = None
        self._pid: int | None = None
        self._number = self._hand(partial(zygote.ask, request), bridge, streams_apart=request.streams_apart)
        self.exit_descriptor = zygote.control

    def has_ended(self) -> bool:
        return self._take_end(0.0)

    def uses(self) -> list[ProcessUse]:
        with contextlib.suppress(OSError, ZygoteLostError):  # the next look may succeed
            if self._pid is None:
                self._pid = self._zygote.where(self._number)
            if self._pid is not None:
                return [use for use in map(use_of, descendants(self._pid)) if use is not None]
        return []

    def exceeded(self) -> str | None:
        group = self._zygote.group
        if not (self._out_of_memory or self._asked_last):
            self._out_of_memory = group is not None and group.has_killed()
        return "memory_bytes" if self._out_of_memory else None

    def kill(self) -> None:
        self._zygote.kill(self._number)
        self._killed = True

    def finish(self) -> Exit:
        if not self._take_end(0.0):
            if not self._killed:
                self.kill()
            if not self._take_end(END_SECONDS):
                self._lost = "the zygote did not end a run in time"
                self._zygote.close()
        use, killed_for = self._use, self.exceeded()
        self._asked_last = True  # nothing of the run is left that could still be killed
        if use is not None and use.status != -signal.SIGKILL:
            return Exit(use.status, use.cpu_seconds, use.peak_bytes)
        if use is not None:
            return Exit(use.status, use.cpu_seconds, use.peak_bytes, killed_for)
        if killed_for:  # the zygote itself was chosen: it shares the group, and the fault is not its own
            return Exit(-signal.SIGKILL, killed_for=killed_for)
        return Exit(None, message=self._lost)

    def close(self) -> None:
        if self._use is None and not self._lost:
            self.finish()
        self._let_go()

    def _take_end(self, seconds: float) -> bool:
        """True when the run is over, one way or the other."""
        if self._use is None and not self._lost:
            try:
                self._use = self._zygote.end_of(self._number, seconds)
            except (ZygoteLostError, OSError) as error:
                self._lost = str(error)
        return self._use is not None or bool(self._lost)
