"""The parent's side of zygotes whose children stay (sandbox/guests/session_zygote.py), and of their children."""

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from prismenv.isolation.cgroups import SlotGroup
from prismenv.isolation.launch import Exit
from prismenv.isolation.processes import TaskUse, tree_use
from prismenv.isolation.sessionguest import SessionGuest
from prismenv.isolation.worker import Holdings
from prismenv.isolation.zygote import (
    END_SECONDS,
    MEMORY_SLACK_BYTES,
    PACKET_BYTES,
    START_SECONDS,
    THREADS,
    RunRequest,
    Zygote,
    ZygoteLostError,
)
from prismenv.words.errors import SandboxException

MOST_OF_ONE = 400  # a zygote holds two descriptors for each, and may have 1024


class SessionZygote(Zygote):
    """A zygote that many threads may ask at once. `open_sessions` is counted by whoever leases it."""

    open_sessions = 0

    @property
    def lost(self) -> bool:
        """Whether it serves no more."""
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        return self._dead or bool(ended.poll(0))

    def fork(self, request: RunRequest, uid: int | None, tasks: int, descriptors: list[int]) -> None:
        """Ask for a session whose child holds the first three of `descriptors`; the last is its report.

        ZygoteLostError when it cannot be asked.
        """
        numbers = f"{-1 if uid is None else uid} {request.limits.file_bytes} {tasks}"
        message = f"open {request.entry} {numbers} {request.folder}"
        try:
            socket.send_fds(self._control, [os.fsencode(message)], descriptors)
        except OSError as error:
            self._dead = True
            raise ZygoteLostError(f"the zygote of sessions does not answer: {error}") from error


class SessionZygotes:
    """As many zygotes as the open sessions need; each is started when it is first needed. Threads share it."""

    def __init__(self, make: Callable[[], SessionZygote]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._all: list[SessionZygote] = []

    def lease(self) -> SessionZygote:
        """One with room, to be given back. SandboxException when none can be started."""
        with self._lock:
            for each in [each for each in self._all if each.lost and not each.open_sessions]:
                self._all.remove(each)
                each.close()
            for each in self._all:
                if not each.lost and each.open_sessions < MOST_OF_ONE:
                    each.open_sessions += 1
                    return each
            zygote = self._make()
            zygote.start()
            self._all.append(zygote)
            zygote.open_sessions += 1
            return zygote

    def give_back(self, zygote: SessionZygote) -> None:
        """A session of it has ended."""
        with self._lock:
            zygote.open_sessions -= 1

    def close(self) -> None:
        """End all of them, and so every session."""
        with self._lock:
            zygotes, self._all = self._all, []
        for each in zygotes:
            each.close()


class JailedSession(SessionGuest):
    """One session in a child of a zygote. SandboxException when it cannot be begun.

    `holdings` are released at its close, and `folder` is left: where it works, if it cannot have one of its own.
    """

    def __init__(
        self, zygotes: SessionZygotes, request: RunRequest, holdings: Holdings, folder: ExitStack | None = None
    ) -> None:
        super().__init__()
        self._zygotes = zygotes
        self._holdings = holdings
        self._outside = folder
        self.holds_files_in_memory = folder is None
        self._group: SlotGroup | None = None
        self._exit: Exit | None = None
        self._zygote: SessionZygote | None = None
        try:
            self._start(request)
        except (OSError, ZygoteLostError) as error:
            self.close()
            raise SandboxException(f"a session cannot be started: {error}", subject="session") from error
        except BaseException:
            self.close()
            raise

    def signal(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it has ended
            signal.pidfd_send_signal(self._pidfd(), number)

    def use(self) -> TaskUse | None:
        try:
            return tree_use(self._pid)
        except OSError:  # this process can open no more files: the next look may succeed
            return None

    def exceeded(self) -> bool:
        return self._group is not None and self._group.has_killed()

    def begin_call(self) -> None:
        if self._group is not None:
            self._group.begin_run()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def finish(self) -> Exit:
        if self._exit is None:
            self.kill()
            self._exit = self._told_exit()
        return self._exit

    def close(self) -> None:
        if self.exit_descriptor is not None:
            self.finish()
            os.close(self.exit_descriptor)
            self.exit_descriptor = None
        self.let_go()
        if self._zygote is not None:
            self._zygotes.give_back(self._zygote)
            self._zygote = None
        if self._group is not None:
            self._group.remove()
            self._group = None
        self._holdings.release()
        self._holdings = Holdings()
        if self._outside is not None:
            self._outside.close()

    def _start(self, request: RunRequest) -> None:
        with ExitStack() as given:  # the child's ends of everything
            self.channel, theirs = socket.socketpair()
            self._held.enter_context(self.channel)
            given.enter_context(theirs)
            self._report, reported = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._held.enter_context(self._report)
            given.enter_context(reported)
            streams = []
            for _ in range(2):
                reader, writer = os.pipe()
                self._held.callback(os.close, reader)
                given.callback(os.close, writer)
                self.streams.append(reader)
                streams.append(writer)
            self._begin(request, [theirs.fileno(), *streams, reported.fileno()])
        self._limit(request)
        self._folder()

    def _begin(self, request: RunRequest, descriptors: list[int]) -> None:
        slot, tasks = self._holdings.slot, request.limits.processes + THREADS
        self._zygote = self._zygotes.lease()
        # Without a user of its own the kernel counts the tasks of all sessions together: the parent counts this one's.
        most = tasks if slot is not None else tasks + MOST_OF_ONE
        self._zygote.fork(request, None if slot is None else slot.uid, most, descriptors)
        words, received = self._hear(START_SECONDS)
        if words[:1] != ["born"] or len(received) != 1:
            raise ZygoteLostError(" ".join(words[1:]) or "the zygote of sessions has died")
        self.exit_descriptor = received[0]
        text = Path(f"/proc/self/fdinfo/{received[0]}").read_text(encoding="ascii")
        self._pid = int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pid:")))
        self.owner = None if slot is None else slot.uid

    def _limit(self, request: RunRequest) -> None:
        """Put the child, which waits for its payload and does nothing else, into its control group."""
        slot, trees = self._holdings.slot, self._holdings.trees
        if slot is None or not trees.folders:
            return
        self._group = group = SlotGroup(trees, slot.number)
        group.limit_memory(request.limits.memory_bytes + MEMORY_SLACK_BYTES)
        group.limit_tasks(request.limits.processes + THREADS + 1)
        group.attach(self._pid)

    def _folder(self) -> None:
        """Take the descriptor of the private folder, which the child sent before it heard of any code."""
        self.channel.settimeout(START_SECONDS)
        data, received, _, _ = socket.recv_fds(self.channel, 1, 1)
        self.files = received[0] if received else -1
        if received:
            self._held.callback(os.close, self.files)
        if not data or self.files < 0:
            words, _ = self._hear(END_SECONDS)
            raise ZygoteLostError(" ".join(words[1:]) or "it ended before it was ready")

    def _told_exit(self) -> Exit:
        try:
            words, _ = self._hear(END_SECONDS)
        except OSError:
            return Exit(None, message="the zygote did not end a session in time")
        if words[:1] != ["ended"]:
            return Exit(None, message=" ".join(words[1:]) or "the zygote of sessions has died")
        return Exit(int(words[1]), float(words[2]) + float(words[3]), int(words[4]) * 1024)

    def _hear(self, seconds: float) -> tuple[list[str], list[int]]:
        self._report.settimeout(seconds)
        try:
            data, received, _, _ = socket.recv_fds(self._report, PACKET_BYTES, 2)
        except ConnectionError:
            data, received = b"", []
        return data.decode("ascii", "replace").split(), received

    def _pidfd(self) -> int:
        if self.exit_descriptor is None:
            raise ProcessLookupError
        return self.exit_descriptor
