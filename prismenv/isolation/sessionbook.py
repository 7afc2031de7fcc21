"""The open sessions of one sandbox: how many there are, what they hold together, and which nobody uses any more."""

import contextlib
import threading
from typing import Protocol

from prismenv.contracts.clock import Clock
from prismenv.contracts.recipe import SessionSettings
from prismenv.words.errors import SandboxException

BASE_BYTES = 6 * 2**20  # what an idle session costs the machine beside what is counted: measured, and rounded up
SWEEP_SECONDS = 1.0


class Entry(Protocol):
    """A session as its book sees it."""

    @property
    def idle_since(self) -> float | None:
        """When it was last used, on the clock's scale; None: it is in use."""

    def end(self, reason: str) -> None:
        """End it, and wait until nothing is left; nothing when it has ended."""

    def end_if_idle_since(self, when: float, reason: str) -> None:
        """End it if it was not used since; nothing when it was, or is."""


class SessionBook:
    """Threads share it. A thread of its own ends idle sessions, from the first that is opened until `close`."""

    def __init__(self, settings: SessionSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._places = 0
        self._held: dict[Entry, int] = {}
        self._closed = threading.Event()
        self._sweeper: threading.Thread | None = None

    @property
    def open_sessions(self) -> int:
        """How many are open now."""
        return len(self._held)

    def now(self) -> float:
        """The time that idleness is told by."""
        return self._clock.monotonic()

    def take_place(self) -> None:
        """Make sure of a place for a session. SandboxException when there is none."""
        self.sweep()
        most, memory = self._settings.most, self._settings.memory_bytes
        with self._lock:
            if self._closed.is_set():
                raise SandboxException("the sandbox is closing", code="sessions_full", subject="sessions")
            if self._places >= most:
                message = f"{self._places} sessions are open, and there may be {most}"
            elif self._total() + BASE_BYTES > memory:
                message = f"the {len(self._held)} open sessions hold {self._total()} of {memory} bytes"
            else:
                self._places += 1
                return
        raise SandboxException(
            message, code="sessions_full", subject="sessions", hint="Close some, or raise sandbox.sessions."
        )

    def leave_place(self) -> None:
        """Give a place back."""
        with self._lock:
            self._places -= 1

    def enter(self, session: Entry) -> None:
        """A session that took a place is there. SandboxException when the sandbox is closing."""
        with self._lock:
            if self._closed.is_set():
                raise SandboxException("the sandbox is closing", code="sessions_full", subject="sessions")
            self._held[session] = BASE_BYTES
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep_on, name="session-sweeper", daemon=True)
                self._sweeper.start()

    def leave(self, session: Entry) -> None:
        """A session has ended; it gives its place back."""
        with self._lock:
            if self._held.pop(session, None) is not None:
                self._places -= 1

    def charge(self, session: Entry, held_bytes: int) -> bool:
        """A session holds so much beside its base: whether that makes it too much for all together."""
        with self._lock:
            if session in self._held:
                self._held[session] = BASE_BYTES + held_bytes
            return self._total() > self._settings.memory_bytes

    def sweep(self) -> None:
        """End those that nobody used for too long."""
        last = self._clock.monotonic() - self._settings.idle_seconds
        with self._lock:
            entries = list(self._held)
        for each in entries:
            since = each.idle_since
            if since is not None and since <= last:
                each.end_if_idle_since(last, f"nobody used it for {self._settings.idle_seconds:g} s")

    def close(self) -> None:
        """End all of them, and let no more in."""
        with self._lock:
            self._closed.set()
            entries, sweeper = list(self._held), self._sweeper
        for each in entries:
            each.end("the sandbox was closed")
        if sweeper is not None:
            sweeper.join()

    def _total(self) -> int:
        return sum(self._held.values())

    def _sweep_on(self) -> None:
        while not self._closed.wait(SWEEP_SECONDS):
            with contextlib.suppress(SandboxException):  # the next round may end it
                self.sweep()
