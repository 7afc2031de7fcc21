"""What one guest is to its supervisor, however it was started: the words that both kinds of isolation share."""

import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prismenv.isolation.processes import ProcessUse


@dataclass(slots=True)
class Ending:
    """How it ended. `stopped_by` names the limit that ended it, or `start`, `protocol`, `stop`, `lost`.

    None is by itself. `status` is the exit code, negative for a signal; None when the guest could not be started.
    `of_partner`: of a pair, it was the guest of the solution alone that went over the limit.
    """

    status: int | None = None
    stopped_by: str | None = None
    message: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    of_partner: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """How a guest's process ended, when nothing of its run is left. `status` None: nobody knows any more.

    `killed_for` is the limit that the kernel ended it for, None when that is not known.
    """

    status: int | None
    cpu_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    killed_for: str | None = None
    message: str = ""


class Conversation(ABC):
    """What the guest tells while it runs. Times are of time.monotonic(); None: not yet, or not now.

    `lost`: it told that the other guest of its pair has gone.
    """

    begun_at: float | None = None
    test_begun_at: float | None = None
    finished: bool = False
    lost: bool = False

    @abstractmethod
    def hear(self, data: bytes, now: float) -> None:
        """Take bytes from the guest. ProtocolException when they are not what it may say now."""


class StopSignal:
    """Lets another thread end a launch."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.reader = self._writer = os.eventfd(0, os.EFD_CLOEXEC)
        else:
            self.reader, self._writer = os.pipe()

    def set(self) -> None:
        """End the launch, now or when it begins."""
        os.write(self._writer, (1).to_bytes(8, sys.byteorder))

    def close(self) -> None:
        """Let go of it, after the launch has returned."""
        os.close(self.reader)
        if self._writer != self.reader:
            os.close(self._writer)


class Guest(ABC):
    """One started guest. `channel` is the parent's end of its socket, `streams` its output (or output and errors).

    `exit_descriptor` is readable when it may have ended; None: it has to be asked again and again.
    """

    channel: socket.socket
    streams: Sequence[int]
    exit_descriptor: int | None

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether it has ended by itself; never blocks."""

    @abstractmethod
    def uses(self) -> list[ProcessUse]:
        """What each living process of the run uses now; empty where that cannot be seen."""

    def exceeded(self) -> str | None:
        """The limit that the kernel has already ended a part of the run for; None: none that is known."""
        return None

    @abstractmethod
    def kill(self) -> None:
        """Begin to kill what is left of the run, without waiting for its end."""

    @abstractmethod
    def finish(self) -> Exit:
        """Kill what is left of the run, wait for its end, and say how it ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every descriptor, and of the run if nobody has finished it."""


class HandedGuest(Guest):
    """A guest that a process which is there already starts, and that is handed its descriptors."""

    def _hand(self, ask: Callable[[list[int]], int], bridge: int | None, *, streams_apart: bool) -> int:
        """Make its channel and its streams, and ask for a run that holds the other ends; gives what was answered.

        `bridge` is the descriptor of its end of the socket to the other guest of its pair; None: it is no pair. Where
        asking fails, nothing is left open.
        """
        self.streams = streams = []
        self.channel, theirs = socket.socketpair()
        given: list[int] = []
        try:
            for _ in range(2 if streams_apart else 1):
                reader, writer = os.pipe()
                streams.append(reader)
                given.append(writer)
            shared = [] if bridge is None else [bridge]
            return ask([theirs.fileno(), given[0], given[-1], *shared])
        except BaseException:
            self._let_go()
            raise
        finally:
            theirs.close()
            for each in given:
                os.close(each)

    def _let_go(self) -> None:
        self.channel.close()
        for each in self.streams:
            os.close(each)
