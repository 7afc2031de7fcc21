"""Interrupts of a run: in order where the event loop answers, in place where something keeps it.

Theory of operation. Two things hear each signal. The event loop drains, aborts or cancels the run, as it is asked.
A handler of Python's runs at once, in the midst of whatever runs, and counts what the loop has not answered yet. Where
that is more than one, or the loop has not answered for three seconds (alarms tell), it ends the code that keeps
the loop by raising CodeStopped in it; see `prismenv/engine/blocked.py`. Code that goes on in spite of that ends with
the process, as by a kill: nodes that were finished are stored, and the run can be resumed.
"""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

import anyio

from prismenv.cli.output import print_error
from prismenv.cli.terminal import EXIT_INTERRUPTED
from prismenv.engine.blocked import blocked_code
from prismenv.engine.switch import StopSwitch
from prismenv.words.codestopped import CodeStopped
from prismenv.words.visible import visible

# So often an alarm finds that the event loop has not answered before what keeps it is ended: after three seconds where
# there is room. A process that gets no processor gets no alarms either, and a little time after each that it gets.
PATIENCE_ALARMS, ALARM_SECONDS = 6, 0.5
_SHOW_CURSOR = "\x1b[?25h"  # a bar hides it


@asynccontextmanager
async def stopped_by_signals(stop: StopSwitch) -> AsyncIterator[None]:
    """The first interrupt drains, the second aborts, a third cancels; a request to terminate aborts at once.

    Code that keeps the event loop is ended in place, a few seconds after the first or at the second. CodeStopped, or a
    group with it, where it was ended at a moment when there was no run yet.
    """
    answers = _Answers()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_watch_signals, stop, tasks.cancel_scope, answers)
        yield
        tasks.cancel_scope.cancel()


async def _watch_signals(
    stop: StopSwitch,
    everything: anyio.CancelScope,
    answers: "_Answers",
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received, answers.installed():
        task_status.started()
        async for number in received:
            answers.give()
            if stop.aborted:
                everything.cancel()
            elif number == signal.SIGTERM or stop.draining:
                stop.abort()
            else:
                stop.drain()
                print_error("finishing what runs; press Ctrl-C again to stop now")


class _Answers:
    """Counts signals that came and those that the event loop has answered."""

    def __init__(self) -> None:
        self._came = 0
        self._given = 0
        self._alarms = 0  # since there was something to be answered
        self._raised_for: str | None = None  # the code that was ended in place already

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Hear signals beside the event loop, whose own way to hear them goes by file descriptor and stays."""
        before = signal.signal(signal.SIGALRM, self._alarm)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._come)
        try:
            yield
        finally:  # the loop puts back its own two
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def give(self) -> None:
        """The event loop has heard one."""
        self._given += 1
        if self._given >= self._came:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _come(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what a handler is given
        self._came += 1
        self._alarms = 0
        signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS, ALARM_SECONDS)
        if self._came - self._given > 1:
            self._end_in_place(frame)

    def _alarm(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what a handler is given
        self._alarms += 1
        if self._given < self._came and self._alarms >= PATIENCE_ALARMS:
            self._alarms = 0
            self._end_in_place(frame)

    def _end_in_place(self, frame: FrameType | None) -> None:
        code = blocked_code(frame)
        if code is None:
            return  # the event loop's own affairs: it will hear
        if self._raised_for is None:
            self._raised_for = code
            raise CodeStopped(f"stopped on request in {code}, which did not return and kept the run from stopping")
        self._leave(code)

    def _leave(self, code: str) -> None:
        message = f"{code} cannot be stopped, so the process ends; `prismenv run --resume RUN` goes on with the run"
        cursor = _SHOW_CURSOR if os.isatty(2) else ""
        _to_standard_error(f"{cursor}error: {visible(message)}\n")
        os._exit(EXIT_INTERRUPTED)


def _to_standard_error(text: str) -> None:
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return  # nobody listens there
