"""Several processes behind one address.

Theory of operation. The parent listens and forks; every worker accepts from the one socket, so that a connection which
nobody took yet is lost with no worker. The parent runs no event loop and no thread, which is what makes the fork safe;
it waits for signals alone. `work` returns in each worker, which then goes on as any process that serves, and in the
parent once all workers have ended. A worker that ends by itself is replaced; one that never was ready ends all.

Workers have process groups of their own, so that Ctrl-C reaches the parent alone. It tells them to stop by SIGTERM, to
stop now by SIGINT, and then by SIGKILL; further SIGTERMs say nothing new, since a service manager may send one to each
process by itself. One that still begins, which SIGTERM would kill, is given it once it is ready. They hold the reading
end of a pipe that the parent never writes to: it ends with the parent, however that ends, and then they stop.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)  # in this order, each stronger than the one before
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
_TICK_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 30.0  # before a worker that keeps ending is started again
_SETTLED_SECONDS = 10.0  # one that lived for so long ended for a reason of its own


@dataclass(frozen=True, slots=True)
class Worker:
    """This process is a worker: `parent` can be read once the parent has ended. SIGTERM waits until it is ready."""

    parent: int
    _ready: int

    def ready(self, told: Any) -> None:
        """It serves, and takes SIGTERM; `told` is what the parent is given to say, as JSON."""
        with suppress(BrokenPipeError):  # the parent asks the first ones only
            os.write(self._ready, json.dumps(told).encode() + b"\n")
        os.close(self._ready)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


@dataclass(slots=True)
class Workers:
    """`count` workers. `announce` is given what they said and their process ids, `complain` what there is to tell."""

    count: int
    announce: Callable[[Any, Sequence[int]], None]
    complain: Callable[[str], None]
    _pids: dict[int, float] = field(default_factory=dict)  # since when
    _stops: int = 0  # how often the workers were told to stop
    _quick: int = 0  # deaths in a row soon after the start
    _worst: int = 0

    def work(self) -> Worker | int:
        """In a worker itself; in the parent its exit code once all have ended."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        lifeline, held = os.pipe()
        told: Any = None
        for _ in range(self.count):
            reading = self._start(lifeline, held, before)
            if isinstance(reading, Worker):
                return reading
            told = self._readiness(reading)
            os.close(reading)
            if told is None:
                if not self._stops:
                    self._stop()
                break
        else:
            self.announce(told, list(self._pids))
        while self._pids or not self._stops:
            self._wait(None if self._stops or len(self._pids) == self.count else self._pause())
            if not self._stops and len(self._pids) < self.count:
                reading = self._start(lifeline, held, before)
                if isinstance(reading, Worker):
                    return reading
                os.close(reading)
        os.close(held)
        os.close(lifeline)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self._worst

    def _start(self, lifeline: int, held: int, mask: set[Any]) -> Worker | int:
        """In the worker itself; in the parent where it can be read that the worker is ready."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.close(reading)
            os.close(held)
            self._pids.clear()
            signal.pthread_sigmask(signal.SIG_SETMASK, {*mask, signal.SIGTERM})
            return Worker(lifeline, writing)
        os.close(writing)
        self._pids[pid] = time.monotonic()
        return reading

    def _readiness(self, reading: int) -> Any:
        """What the worker says when it is ready; None where it ended before, or all were told to stop."""
        said = b""
        while not said.endswith(b"\n"):
            if select.select([reading], [], [], _TICK_SECONDS)[0]:
                piece = os.read(reading, 2**16)
                if not piece:
                    return None
                said += piece
            elif signal.sigtimedwait((signal.SIGINT, signal.SIGTERM), 0) is not None:
                self._told()
                return None
        return json.loads(said)

    def _pause(self) -> float:
        return min(0.25 * float(2 ** min(self._quick, 10)), LONGEST_WAIT_SECONDS)

    def _wait(self, seconds: float | None) -> None:
        """For a signal, or so long (None: for ever)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            self._reap()  # also what ended before anybody waited for it
            if not self._pids and self._stops:
                return
            left = 3600.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return
            found = signal.sigtimedwait(_SIGNALS, left)
            if found is not None and found.si_signo != signal.SIGCHLD:
                self._told()
                deadline = None
            elif found is not None:
                self._reap()
                if deadline is None and not self._stops:
                    return

    def _reap(self) -> None:
        for pid in list(self._pids):
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                continue
            lived = time.monotonic() - self._pids.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._stops and code == -signal.SIGTERM:
                continue  # one that serves handles it: this one had stopped, and was told by somebody else besides
            if self._stops:
                self._worst = max(self._worst, code if code >= 0 else 128 - code)
            else:
                self._quick = 0 if lived > _SETTLED_SECONDS else self._quick + 1
                how = f"was killed by signal {-code}" if code < 0 else f"ended with the exit code {code}"
                self.complain(f"a worker {how}; another takes its place")

    def _told(self) -> None:
        if not self._stops:
            self.complain("taking nothing new, and finishing what runs; once more to stop now")
        self._stop()

    def _stop(self) -> None:
        number = _STOPS[min(self._stops, len(_STOPS) - 1)]
        self._stops += 1
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
