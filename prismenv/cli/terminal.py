"""What may reach a terminal, and the codes that the command line ends with.

Nothing that takes time is imported here, so that `--help` stays quick.
"""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from prismenv.words.visible import visible

EXIT_USAGE, EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 3, 130, 141


def complain(message: str) -> None:
    """An error, on standard error."""
    with suppress(OSError):  # nobody listens there either
        sys.stderr.write(f"error: {visible(message)}\n")


def open_closed_streams() -> None:
    """Put the null device in the place of a standard stream that the caller closed (`>&-`).

    Else the next file that is opened, such as the store, would get its number and be written to by whoever prints.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def forgive_encodings() -> None:
    """Let standard output and error write out what their encoding cannot say, such as `\\xe9`, and never fail of it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _VisibleText(io.TextIOBase):
    """Passes on what is written, made visible."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        self._out.write(visible(text))
        return len(text)


def data_output() -> TextIO:
    """Standard output for a file's contents: UTF-8 and exactly as written, unless a terminal is to show it."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        return sys.stdout
    return _VisibleText(sys.stdout)  # type: ignore[return-value]
