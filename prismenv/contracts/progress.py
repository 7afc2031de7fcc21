"""How far a call is: told by an author's code, heard by whoever waits for the call and asked to hear."""

import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

MAX_MESSAGE = 1_000  # characters; what is longer is cut


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """`progress` grows from report to report. `total` None: nobody knows how far it goes. `message` None: none."""

    progress: float
    total: float | None = None
    message: str | None = None


# Called in whatever thread the author's code runs in. None: nobody listens.
progress_listener: ContextVar[Callable[[ProgressReport], None] | None] = ContextVar("prismenv_progress", default=None)


class Progress:
    """What an environment's code tells while a call of it runs."""

    def report_progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Say how far the call that runs is. Nothing happens where nobody listens. ValueError for no finite number."""
        if not math.isfinite(progress) or not (total is None or math.isfinite(total)):
            raise ValueError(f"progress must be finite numbers, found {progress!r} of {total!r}")
        listener = progress_listener.get()
        if listener is not None:
            listener(ProgressReport(float(progress), total, None if message is None else str(message)[:MAX_MESSAGE]))
