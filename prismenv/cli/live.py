"""Live progress of a run: a bar on a terminal, plain lines elsewhere, JSON lines for machines."""

import json
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from prismenv.cli.drawing import Screen, console
from prismenv.cli.output import print_error
from prismenv.words.events import Event

PLAIN_SECONDS = 2.0  # at most one plain line in this time
SHORT, MINUTE, HOUR = 9.95, 60, 3600  # seconds
BAR_COLUMNS = 20
FAILURES = "; failures: "
MARKS = {"budget_reached": "budget reached", "run_interrupted": "interrupted", "phase_ended": "phase ended"}


def duration(seconds: float | None) -> str:
    """Seconds for people, such as `0.8s`, `12s`, `2m05s` or `1h03m`; `?` for None."""
    if seconds is None:
        return "?"
    if seconds < SHORT:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02d}s"
    return f"{whole // HOUR}h{whole % HOUR // MINUTE:02d}m"


def describe(progress: dict[str, Any], later_seconds: float = 0.0) -> str:
    """One line of a snapshot taken `later_seconds` ago: pass rate, elapsed and remaining time, failures by kind."""
    rate, left = progress["pass_rate"], progress["remaining_seconds"]
    parts = ["pass rate " + ("?" if rate is None else f"{rate:.0%}")]
    parts.append(f"{duration(progress['elapsed_seconds'] + later_seconds)} elapsed")
    if left is not None:
        parts.append(f"{duration(max(left - later_seconds, 0.0))} left")
    if progress["failures"]:
        kinds = (f"{kind.replace('_', ' ')} {count}" for kind, count in progress["failures"].items())
        return "; ".join(parts) + FAILURES + ", ".join(kinds)
    return "; ".join(parts)


def marked(event: Event) -> str:
    """The line of an event that gets one."""
    if event.type == "phase_ended":
        solved, measured, nodes = (event.data[key] for key in ("solved", "measured", "nodes"))
        return f"phase {event.data['phase']} ended: {nodes} nodes, {solved} of {measured} solved"
    return f"{MARKS[event.type]}: {event.data.get('note', '')}"


class Watcher(ABC):
    """Shows the events of one run; a context manager, so that a bar is always taken down."""

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Take one event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class _Facts(ProgressColumn):
    """What `describe` says, the clock going on between two snapshots.

    Failures go below where one line has no room for all; a line is cut where the terminal ends.
    """

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def render(self, task: Task) -> Text:
        progress = task.fields.get("progress")
        if progress is None:
            return Text("starting")
        text = describe(progress, time.monotonic() - task.fields["taken_at"])
        counts = 2 * len(str(progress["total"] or progress["done"])) + len("/")
        room = max(self._screen.width - BAR_COLUMNS - counts - len("  "), 0)
        before, failures, kinds = text.partition(FAILURES)
        lines = [Text(line) for line in ([before, failures[2:] + kinds] if failures and len(text) > room else [text])]
        for line in lines:
            line.truncate(room, overflow="ellipsis")
        return Text("\n").join(lines)


class BarWatcher(Watcher):
    """A bar that moves, on standard error."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar = Progress(
            BarColumn(bar_width=BAR_COLUMNS),
            MofNCompleteColumn(),
            _Facts(screen),
            console=screen,
            redirect_stdout=sys.stdout.isatty(),  # what a plugin prints to a pipe is not the bar's
        )
        self._task: TaskID = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        if event.type in MARKS:
            self._screen.say(marked(event))
        progress = event.data.get("progress")
        if progress is not None:
            self._bar.update(
                self._task,
                completed=progress["done"],
                total=progress["total"],
                progress=progress,
                taken_at=time.monotonic(),
            )


class PlainWatcher(Watcher):
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        if event.type in MARKS:
            print_error(marked(event))
        progress = event.data.get("progress")
        if progress is None or event.type == "run_finished":
            return
        done = progress["total"] is not None and progress["done"] >= progress["total"]
        if not done and event.at - self._last < PLAIN_SECONDS:
            return
        self._last = event.at
        of = "" if progress["total"] is None else f"/{progress['total']}"
        print_error(f"{progress['done']}{of} nodes; {describe(progress)}")


class JsonWatcher(Watcher):
    """Each event as one JSON line on standard output; what plugins print meanwhile goes to standard error."""

    def __enter__(self) -> Self:
        self._out = sys.stdout
        sys.stdout = sys.stderr
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._out

    def __call__(self, event: Event) -> None:
        line = {"event": event.type, "run_id": event.run_id, "at": event.at, **event.data}
        self._out.write(json.dumps(line, default=str) + "\n")
        self._out.flush()


class QuietWatcher(Watcher):
    """Shows nothing."""

    def __call__(self, event: Event) -> None:  # noqa: ARG002 - the contract's parameter
        return


def open_watcher(*, as_json: bool, quiet: bool) -> Watcher:
    """The watcher that fits: JSON lines when asked for, a bar on a terminal, plain lines elsewhere."""
    if as_json:
        return JsonWatcher()
    if quiet:
        return QuietWatcher()
    screen = console(stderr=True)
    return BarWatcher(screen) if screen.is_interactive else PlainWatcher()
