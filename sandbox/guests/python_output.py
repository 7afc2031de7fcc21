"""What is printed while one test runs, so that it can stand beside what became of the test."""

import sys
from collections.abc import Callable
from typing import Any

MOST_KEPT = 4000
SHOWN_CHARACTERS = 2000


class Flush:
    """Gets out what was printed, by what the streams were when this was made, whatever becomes of them."""

    def __init__(self) -> None:
        self._flushes = (sys.stdout.flush, sys.stderr.flush)

    def __call__(self) -> None:
        for flush in self._flushes:
            try:
                flush()
            except BaseException:  # the solution or the tests may have closed what is below
                continue


class Printed:
    """Listens to what standard output and standard errors write, below every buffer of theirs."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        for stream in (sys.stdout, sys.stderr):
            raw: Any = stream.buffer.raw  # type: ignore[attr-defined]  # of the process' own streams
            raw.write = self._heard(raw.write)

    def begin(self) -> None:
        """Forget what was printed so far."""
        self._parts.clear()
        self._size = 0

    def text(self) -> str:
        """What was printed since, its middle left out where it is long; empty for nothing."""
        text = b"".join(self._parts).decode("utf-8", "replace").strip("\n")
        left_out = self._size - sum(map(len, self._parts))
        if left_out or len(text) > SHOWN_CHARACTERS:
            text = f"{text[:SHOWN_CHARACTERS]}\n... (more was printed) ..."
        return text

    def _heard(self, write: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
        def heard(data: Any) -> int | None:
            done = write(data)
            if done:
                if self._size < MOST_KEPT:
                    self._parts.append(bytes(data[: min(done, MOST_KEPT - self._size)]))
                self._size += done
            return done

        return heard
