"""One call of a session, watched from its request to its answer, in a thread of the parent.

Theory of operation
    Between calls a session is stopped: nothing in it runs, whatever threads its code has begun. A call lets it go on,
    sends the request, and waits for the answer, for output, for the end of the process, for the caller's stop, for the
    next deadline. Every 50 ms it looks at what all processes of the session use. Code that takes too long or prints too
    much is interrupted as by Ctrl-C, and if there is no answer a second later it is killed; code that takes too much
    memory or too many processes, or says what it may not say, is killed at once, and the session with it. The answer
    comes when all that was printed is in the pipes, so they are read once more and that is the output of the call.

    What is said on the channel can be the code's own invention, as can everything it prints. It is cut into frames and
    read as JSON, under limits of size; it has to carry the session's word and the number of the call.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prismenv.isolation.bundle import chunk
from prismenv.isolation.frames import FrameDecoder
from prismenv.isolation.launch import Exit
from prismenv.isolation.processes import TaskUse
from prismenv.isolation.sessionguest import SessionGuest
from prismenv.isolation.watched import READ_BYTES, Printed
from prismenv.isolation.zygote import THREADS
from prismenv.words.errors import ProtocolException
from prismenv.words.limits import Limits

TICK_SECONDS = 0.05
GRACE_SECONDS = 1.0  # how long interrupted code may take to heed it
READY_SECONDS = 60.0
BLIND_WAIT_SECONDS = 0.02
MOST_READS = 128  # of a pipe that nobody writes to any more
READ, WRITE = select.POLLIN, select.POLLOUT
SHAPE: Sequence[tuple[type, ...]] = ((int,), (str,), (str, type(None)), (list, type(None)))
ERROR_SHAPE: Sequence[tuple[type, ...]] = ((str,), (str,), (str, type(None)), (int, type(None)))
TOLD_OUTCOMES = frozenset({"finished", "raised", "exited", "interrupted"})


@dataclass(slots=True)
class CallEnd:
    """How a call ended. `told` is the answer: outcome, value, error; None: there was none.

    `reason` is why the parent ended it: a limit, `stop`, `protocol`, `all_memory`; None: it did not. `exit` is how the
    process ended, None while it lives. `broken` says what kept the sandbox from working; empty: nothing.
    """

    told: list[Any] | None = None
    reason: str | None = None
    exit: Exit | None = None
    out_of_memory: bool = False
    message: str = ""
    broken: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    output_cut: bool = False
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0


class SessionCall:
    """Watches one call. `held` is told what the session uses, and says whether all sessions now hold too much."""

    def __init__(self, guest: SessionGuest, nonce: str, limits: Limits, held: Callable[[TaskUse | None], bool]) -> None:
        self._guest = guest
        self._limits = limits
        self._held = held
        self._decoder = FrameDecoder(nonce)
        self._end = CallEnd()
        self._printed = Printed(limits.output_bytes)
        self._parts: dict[int, list[bytes]] = {stream: [] for stream in guest.streams}
        self._poll = select.poll()
        self._watched: set[int] = set()
        self._killed = False
        self._grace_ends: float | None = None
        self._exited = False
        self._number = 0

    def start(self, chunks: Sequence[bytes]) -> CallEnd:
        """Wait until the session is ready for its first call; `chunks` are still to be sent."""
        return self._watch([memoryview(each) for each in chunks], None, READY_SECONDS, "ready")

    def run(self, number: int, code: str, stop: int) -> CallEnd:
        """Have `code` run; `stop` is a descriptor that becomes readable when it shall be interrupted."""
        self._number = number
        body = chunk((number, f"<call {number}>", code))
        return self._watch([memoryview(body)], stop, self._limits.wall_seconds, "done")

    def _watch(self, unsent: list[memoryview], stop: int | None, seconds: float, word: str) -> CallEnd:
        guest, end = self._guest, self._end
        self._word, self._unsent, self._stop = word, unsent, stop
        guest.channel.settimeout(0)
        for stream in self._parts:
            os.set_blocking(stream, False)
        for descriptor in (guest.channel.fileno(), *self._parts, stop, guest.exit_descriptor):
            if descriptor is not None:
                self._poll.register(descriptor, READ)
                self._watched.add(descriptor)
        guest.begin_call()
        self._begun_at = time.monotonic()
        self._cpu_before = guest.cpu_seconds()
        self._used_before = guest.used.cpu_seconds if guest.used is not None else 0.0
        self._ends_at, self._next_tick = self._begun_at + seconds, self._begun_at + TICK_SECONDS
        guest.resume()
        self._send()
        while end.told is None and not self._exited:
            self._wait()
        end.wall_seconds = time.monotonic() - self._begun_at
        if not self._exited:
            end.cpu_seconds = max(0.0, guest.cpu_seconds() - self._cpu_before)
        self._finish()
        return end

    def _off(self, descriptor: int) -> None:
        if descriptor in self._watched:
            self._watched.discard(descriptor)
            self._poll.unregister(descriptor)

    def _wait(self) -> None:
        now = time.monotonic()
        until = min(self._ends_at if self._grace_ends is None else self._grace_ends, self._next_tick)
        seconds = max(0.0, until - now)
        if self._guest.exit_descriptor is None:
            seconds = min(seconds, BLIND_WAIT_SECONDS)
        channel = self._guest.channel.fileno()
        for descriptor, mask in self._poll.poll(seconds * 1000):
            if descriptor == channel:
                self._talk(mask)
            elif descriptor in self._parts:
                self._read(descriptor)
            elif descriptor == self._stop:
                self._off(descriptor)
                self._interrupt("stop")
            else:
                self._exited = True
        if self._guest.exit_descriptor is None:
            self._exited = self._guest.has_ended()
        if self._end.told is None and not self._exited:
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        """Deadlines, and every so often what it uses."""
        if self._printed.flooded:
            self._interrupt("output_bytes")
        if self._grace_ends is not None and now >= self._grace_ends:
            self._kill(self._end.reason or "protocol", "it closed its channel")
        elif now >= self._ends_at:
            self._interrupt("wall_seconds")
        if now >= self._next_tick and not self._killed:
            self._next_tick = now + TICK_SECONDS
            self._look_at_use()

    def _look_at_use(self) -> None:
        use, limits = self._guest.use(), self._limits
        if use is None:
            return
        if use.processes > limits.processes or use.tasks > limits.processes + THREADS:
            self._kill("processes")
        elif use.resident_bytes > limits.memory_bytes or self._guest.exceeded():
            self._kill("memory_bytes")
        elif self._held(use):
            self._kill("all_memory")
        elif use.cpu_seconds - self._used_before > limits.cpu_seconds:
            self._interrupt("cpu_seconds")

    def _interrupt(self, reason: str) -> None:
        """Ask the code to end; only the first reason counts."""
        if self._end.reason is None:
            self._end.reason = reason
            self._grace_ends = time.monotonic() + GRACE_SECONDS
            self._guest.signal(signal.SIGINT)

    def _kill(self, reason: str, message: str = "") -> None:
        if not self._killed:
            self._killed = True
            self._end.reason, self._end.message = reason, message
            self._grace_ends = self._ends_at = float("inf")
            self._guest.signal(signal.SIGKILL)

    def _send(self) -> None:
        """Send as much as goes; whatever is left when it can be sent again."""
        channel = self._guest.channel
        while self._unsent:
            try:
                sent = channel.send(self._unsent[0])
            except BlockingIOError:
                self._poll.modify(channel.fileno(), READ | WRITE)
                return
            except OSError:
                self._unsent.clear()  # it has died: its exit says how
                return
            self._unsent[0] = self._unsent[0][sent:]
            if not self._unsent[0]:
                del self._unsent[0]
        if channel.fileno() in self._watched:
            self._poll.modify(channel.fileno(), READ)

    def _talk(self, mask: int) -> None:
        if mask & WRITE:
            self._send()
        if not mask & ~WRITE:
            return
        try:
            data = self._guest.channel.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._off(self._guest.channel.fileno())
            if self._grace_ends is None:  # it may just have ended, which is told next
                self._grace_ends = time.monotonic() + GRACE_SECONDS
            return
        try:
            for frame in self._decoder.feed(data):
                self._hear(frame)
        except ProtocolException as error:
            self._end.told = None
            self._kill("protocol", error.message)

    def _hear(self, frame: list[Any]) -> None:
        if self._end.told is not None:
            raise ProtocolException("it answered one call twice")
        if frame[0] != self._word:
            raise ProtocolException(f"it said {frame[0][:40]!r}, expected {self._word!r}")
        self._end.told = checked_answer(frame[1:], self._number) if self._word == "done" else []

    def _read(self, stream: int) -> bool:
        try:
            data = os.read(stream, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._off(stream)
            return False
        self._parts[stream].append(self._printed.cut(data))
        return True

    def _drain(self) -> None:
        """Take what was printed before the answer. It is stopped or dead: there is no more than pipes can hold."""
        for stream in self._parts:
            for _ in range(MOST_READS):
                if not self._read(stream):
                    break

    def _finish(self) -> None:
        guest, end = self._guest, self._end
        if not self._exited and end.told is not None:
            guest.pause()
            self._drain()
            guest.used = use = guest.use()
            if self._decoder.holds_part or self._has_more_to_say():
                self._refuse("protocol", "it said something after its answer")
            elif use is not None and use.processes > 1:
                self._refuse("processes", "processes of it would not end with the call")
            elif self._held(use):
                self._refuse("all_memory")
        else:
            self._drain()
        if self._exited or self._killed:
            end.out_of_memory = guest.exceeded()
            end.exit = guest.finish()
            end.cpu_seconds = max(end.cpu_seconds, end.exit.cpu_seconds - self._cpu_before)
            self._drain()
        end.output_cut = self._printed.flooded
        if end.output_cut and end.reason is None:  # it was told too late to interrupt it, and counts all the same
            end.reason = "output_bytes"
        end.stdout, end.stderr = (b"".join(self._parts[stream]) for stream in guest.streams)

    def _refuse(self, reason: str, message: str = "") -> None:
        self._end.told = None
        self._kill(reason, message)

    def _has_more_to_say(self) -> bool:
        try:
            return bool(self._guest.channel.recv(1, socket.MSG_PEEK))
        except OSError:
            return False


def checked_answer(fields: list[Any], number: int) -> list[Any]:
    """Outcome, value and error (name, message, traceback, exit code) of an answer to call `number`.

    ProtocolException for anything else.
    """
    if not _fits(fields, SHAPE) or fields[0] != number or fields[1] not in TOLD_OUTCOMES:
        raise ProtocolException("its answer is not one to this call")
    _, outcome, result, error = fields
    if (error is None) != (outcome == "finished") or (error is not None and not _fits(error, ERROR_SHAPE)):
        raise ProtocolException("its answer tells of an error in another way than it may")
    return [outcome, result, error]


def _fits(values: list[Any], shape: Sequence[tuple[type, ...]]) -> bool:
    return len(values) == len(shape) and all(type(each) in kinds for each, kinds in zip(values, shape, strict=True))
