"""Watches the guests of one run from the first frame to the last byte, in a thread of the parent.

Theory of operation
    A run has one guest, or a pair of them: the first one talks, the second one holds the solution and tells only that
    it is ready. The thread sends each its payload and then only waits: for frames, for output, for an end, for the
    caller's stop, for the next deadline. Wall time runs from the first guest's `ready` frame, so that a busy machine's
    slow start is nobody's fault. In the first 20 ms after it the thread listens for ends only: most runs are over by
    then, and all that they said is read at once. Every 50 ms it looks at what all processes of the run use: CPU time to
    the hundredth, all of them together; resident memory and their number, each guest alone. Whatever ends the wait, the
    whole run is killed before anything is told. Nothing is waited for after that: what the pipes hold is read, and they
    are closed.

    The guests of a pair notice each other's end by the socket between them. Where the second one has gone, the first
    says so and leaves, and the run ended as the second one did; a first one that does not notice is given a second.
"""

import select
import signal
import time
from collections.abc import Callable, Sequence

from prismenv.isolation.launch import Ending, Exit, StopSignal
from prismenv.isolation.watched import Printed, Watched
from prismenv.words.limits import Limits

TICK_SECONDS = 0.05
QUIET_SECONDS = 0.02
START_SECONDS = 60.0
LOST_SECONDS = 1.0  # how long one of a pair may take to notice that the other has gone
LEAVING_SECONDS = 0.005  # how long it may take to leave by itself when the run is over: cheaper than killing it
BLIND_WAIT_SECONDS = 0.02  # how long a wait lasts at most where the end of a process cannot be waited for
READ, WRITE = select.POLLIN, select.POLLOUT


class Supervisor:
    """Watches one guest or a pair under `limits`; run() blocks its thread until nothing of them is left."""

    def __init__(self, guests: Sequence[Watched], limits: Limits, stop: StopSignal) -> None:
        self._guests = guests
        self._main = guests[0]
        self._partner = guests[1] if len(guests) > 1 else None
        self._limits = limits
        self._stop = stop
        self._ending = Ending()
        self._printed = Printed(limits.output_bytes)
        self._seen_memory = 0
        self._alone_since: float | None = None
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._blind = any(each.guest.exit_descriptor is None for each in guests)
        self._started_at = time.monotonic()
        self._next_tick = self._started_at + TICK_SECONDS

    def run(self) -> Ending:
        """Watch, kill, reap."""
        try:
            self._listen()
        finally:
            self._finish()
        return self._ending

    def _listen(self) -> None:
        """Until there is a reason to end it."""
        for each in self._guests:
            each.begin()
        self._on(self._stop.reader, READ, self._stopped)
        for each in self._guests:
            if each.guest.exit_descriptor is not None:
                self._on(each.guest.exit_descriptor, READ, self._watching_end(each))
        talks = self._main.guest.channel.fileno()
        if not self._blind and not any(each.waits_to_send for each in self._guests):
            self._on(talks, READ, self._talking(self._main))
            while self._main.conversation.begun_at is None and not self._over():
                self._wait()
            self._off(talks)
            self._wait_quietly()
        for each in self._guests:
            mask = READ | WRITE if each.waits_to_send else READ
            self._on(each.guest.channel.fileno(), mask, self._talking(each))
            for stream in each.guest.streams:
                self._on(stream, READ, self._reading(each, stream))
        while not self._over():
            self._wait()

    def _on(self, descriptor: int, mask: int, handler: Callable[[int], None]) -> None:
        self._poll.register(descriptor, mask)
        self._handlers[descriptor] = handler

    def _off(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _wait_quietly(self) -> None:
        until = time.monotonic() + QUIET_SECONDS
        while not self._over() and (left := until - time.monotonic()) > 0:
            self._wait(left)

    def _wait(self, longest: float = TICK_SECONDS) -> None:
        now = time.monotonic()
        most = max(0.0, min(self._deadline()[0] - now, self._next_tick - now, longest))
        if self._blind:
            most = min(most, BLIND_WAIT_SECONDS)
        for descriptor, mask in self._poll.poll(most * 1000):
            self._handlers[descriptor](mask)
        if self._blind:
            self._look_at_all()

    def _stopped(self, _: int) -> None:
        self._ending.stopped_by = "stop"

    def _watching_end(self, watched: Watched) -> Callable[[int], None]:
        def ended(_: int) -> None:
            if watched.look() and watched.guest.exit_descriptor is not None:
                self._off(watched.guest.exit_descriptor)

        return ended

    def _talking(self, watched: Watched) -> Callable[[int], None]:
        channel = watched.guest.channel.fileno()

        def talk(mask: int) -> None:
            if mask & WRITE:
                watched.send()
                if not watched.waits_to_send:
                    self._poll.modify(channel, READ)
            if mask & ~WRITE and not watched.hear():
                self._off(channel)

        return talk

    def _reading(self, watched: Watched, stream: int) -> Callable[[int], None]:
        def read(_: int) -> None:
            if not watched.read(stream, self._printed):
                self._off(stream)

        return read

    def _look_at_all(self) -> None:
        for each in self._guests:
            each.look()

    def _deadline(self) -> tuple[float, str]:
        limits, conversation = self._limits, self._main.conversation
        if conversation.begun_at is None:
            first = self._started_at + START_SECONDS, "start"
        else:
            first = conversation.begun_at + limits.wall_seconds, "wall_seconds"
            if conversation.test_begun_at is not None and limits.test_wall_seconds is not None:
                first = min(first, (conversation.test_begun_at + limits.test_wall_seconds, "test_wall_seconds"))
        if self._alone_since is not None:
            first = min(first, (self._alone_since + LOST_SECONDS, "lost"))
        return first

    def _over(self) -> bool:
        if self._ending.stopped_by is None:
            self._ending.stopped_by = self._broken()
        if self._main.exited or self._main.conversation.finished or self._ending.stopped_by is not None:
            return True
        now = time.monotonic()
        if self._partner is not None and self._partner.exited and self._alone_since is None:
            self._alone_since = now
        at, name = self._deadline()
        if now >= at:
            self._ending.stopped_by = name
        elif now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._ending.stopped_by = self._overuse()
        return self._ending.stopped_by is not None

    def _broken(self) -> str | None:
        """What was told or printed that ends a run."""
        for each in self._guests:
            if each.violation:
                self._ending.message = each.violation
                return "protocol"
        return "output_bytes" if self._printed.flooded else None

    def _overuse(self) -> str | None:
        if self._main.conversation.begun_at is None:
            return None
        limits = self._limits
        used = [each.guest.uses() for each in self._guests]
        self._look_at_all()  # asking for uses may have taken the news
        if any(len(uses) > limits.processes for uses in used):
            return "processes"
        if sum(use.cpu_seconds for uses in used for use in uses) > limits.cpu_seconds:
            return "cpu_seconds"
        resident = [sum(use.resident_bytes for use in uses) for uses in used]
        self._seen_memory = max(self._seen_memory, resident[-1])
        return self._first_of(["memory_bytes" if each > limits.memory_bytes else None for each in resident])

    def _first_of(self, over: Sequence[str | None]) -> str | None:
        """A limit that a guest is over, or that the kernel has ended a part of its run for; the main guest's first."""
        found = [limit or each.guest.exceeded() for limit, each in zip(over, self._guests, strict=True)]
        self._ending.of_partner = self._partner is not None and found[0] is None and found[-1] is not None
        return found[0] or found[-1]

    def _finish(self) -> None:
        if self._partner is not None and self._ending.stopped_by is None:
            self._let_leave(self._partner)
        for each in self._guests:
            if not each.exited:
                each.guest.kill()
        exits = [each.guest.finish() for each in self._guests]
        now = time.monotonic()
        for each in self._guests:
            each.drain(self._printed)
        if self._ending.stopped_by is None:  # what happened since the last look counts as if one had seen it
            self._ending.stopped_by = self._broken() or self._first_of([None] * len(self._guests))
        self._tell(exits, now)

    def _let_leave(self, partner: Watched) -> None:
        """Wait a little for the second guest to end by itself: it has nothing to do once the first has ended."""
        self._main.drain(self._printed)
        lost = self._main.conversation.lost
        until = time.monotonic() + (LOST_SECONDS if lost else LEAVING_SECONDS)
        poll = select.poll()
        poll.register(self._stop.reader, READ)
        if partner.guest.exit_descriptor is not None:
            poll.register(partner.guest.exit_descriptor, READ)
        while not partner.look() and (left := until - time.monotonic()) > 0:
            ready = poll.poll((min(left, BLIND_WAIT_SECONDS) if self._blind else left) * 1000)
            if self._stop.reader in [descriptor for descriptor, _ in ready]:
                self._ending.stopped_by = "stop"
                return
        if lost and not partner.exited:
            self._ending.stopped_by = "lost"
            self._ending.message = "it closed its connection to the tests and went on"

    def _tell(self, exits: Sequence[Exit], now: float) -> None:
        ending, conversation = self._ending, self._main.conversation
        lost = self._partner is not None and (conversation.lost or ending.stopped_by == "lost")
        decisive = exits[-1] if lost else exits[0]
        if lost and ending.stopped_by == "lost" and self._partner is not None and self._partner.exited:
            ending.stopped_by = None  # the first one did not notice in time how the second one ended
        ending.status = None if any(each.status is None for each in exits) else decisive.status
        ending.message = " ".join(each.message for each in exits if each.message) or ending.message
        if self._partner is not None and lost and self._partner.conversation.begun_at is None:
            ending.status, ending.message = None, "the guest of the solution ended before it was ready"
        if ending.status is None:
            return
        ending.wall_seconds = max(0.0, now - (conversation.begun_at or self._started_at))
        ending.cpu_seconds = sum(each.cpu_seconds for each in exits)
        ending.peak_memory_bytes = max(self._seen_memory, exits[-1].peak_memory_bytes or 0) or None
        by_itself = ending.stopped_by is None and (lost or not conversation.finished)
        if by_itself and ending.status in (-signal.SIGKILL, -signal.SIGXCPU):
            ending.stopped_by = decisive.killed_for or self._killed_for()
        ending.stdout = b"".join(each.output(0) for each in self._guests)
        ending.stderr = b"".join(each.output(1) for each in self._guests)

    def _killed_for(self) -> str | None:
        """The limit that the kernel, not this thread, ended a guest for; None when it was somebody else."""
        if self._ending.cpu_seconds >= self._limits.cpu_seconds:
            return "cpu_seconds"
        if (self._ending.peak_memory_bytes or 0) >= self._limits.memory_bytes * 0.9:
            return "memory_bytes"
        return None
