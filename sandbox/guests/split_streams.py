"""Standard streams of the solution's process: what it prints goes to the judge, what it reads comes from there.

Warnings go the same way.
"""

import builtins
import io
import sys
import warnings
from typing import Any

MOST_HELD = 2**16


class _Printed(io.RawIOBase):
    """Takes what is written to one stream and keeps it until the next frame."""

    def __init__(self, printed: "Streams", stream: int) -> None:
        self._printed = printed
        self._stream = stream

    def write(self, data: Any) -> int:
        self._printed.add(self._stream, bytes(data))
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream


class Streams:
    """The streams of this process; all that was printed and not told yet, in its order."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self.parts: list[tuple[int, bytes]] = []
        self._size = 0
        self._texts = {name: self._text(stream) for name, stream in (("stdout", 1), ("stderr", 2))}
        self._input = Asked(link)
        self._replaced = (sys.stdin, sys.stdout, sys.stderr)  # to end them would cost more than to hold them

    def _text(self, stream: int) -> Any:
        raw: Any = _Printed(self, stream)
        return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)

    def connect(self) -> None:
        """Put the streams in place, and what asks and warns."""
        for name, text in self._texts.items():
            setattr(sys, name, text)
            setattr(sys, f"__{name}__", text)
        sys.stdin = sys.__stdin__ = self._input  # type: ignore[misc, assignment]
        builtins.input = self._ask
        warnings.showwarning = self._warn
        filters: Any = warnings.filters
        filters[:0] = [
            ("ignore", None, SyntaxWarning, None, 0),
            ("always", None, Warning, None, 0),
        ]  # the judge filters

    def _ask(self, prompt: object = "", /) -> str:
        return str(self._link.ask_input("input", str(prompt)))

    def _warn(self, message: Any, category: Any, _file: str, line: int, *_: Any) -> None:
        self._link.tell_warning(category, str(message), line)

    def add(self, stream: int, data: bytes) -> None:
        """More of it; told at once when it is much."""
        self.parts.append((stream, data))
        self._size += len(data)
        if self._size > MOST_HELD:
            self._link.tell_printed()

    def take(self) -> list[tuple[int, str]]:
        """What there is, as text by stream, each stretch of one stream together."""
        if not self.parts:
            return []
        parts, self.parts, self._size = self.parts, [], 0
        joined: list[tuple[int, list[bytes]]] = []
        for stream, data in parts:
            if not joined or joined[-1][0] != stream:
                joined.append((stream, []))
            joined[-1][1].append(data)
        return [(stream, b"".join(pieces).decode("utf-8", "replace")) for stream, pieces in joined]


class Asked(io.TextIOBase):
    """Standard input: every read is answered by the judge's standard input of that moment."""

    encoding = "utf-8"

    def __init__(self, link: Any) -> None:
        self._link = link

    def readable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def readline(self, size: int | None = -1) -> str:  # type: ignore[override]
        return str(self._link.ask_input("readline", "" if size is None or size < 0 else str(size)))

    def read(self, size: int | None = -1) -> str:
        return str(self._link.ask_input("read", "" if size is None or size < 0 else str(size)))

    @property
    def buffer(self) -> Any:
        """What is left of it as bytes."""
        return io.BytesIO(self.read().encode("utf-8"))
