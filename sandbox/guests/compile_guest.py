"""Compiles: writes the source, runs the compiler as a child of its own, and hands over what it made.

What it made goes into the file that the parent gave as descriptor 3, for the folder is gone with the run: for each file
the length of its name in four bytes, its name, its length in eight bytes, its content. The compiler never has that
descriptor. Exit codes are the compiler's, 128 and its number for a signal.
"""

import errno
import fcntl
import posix
from collections.abc import Callable
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

from guest_process import limit_data, limit_memory, limit_process, open_channel, write_file

HANDED = 3
UNSTARTED, UNHANDED = 70, 73
FORMAT, REGULAR = 0o170000, 0o100000
COPY_BYTES = 1 << 16


def main(payload: dict[str, Any], _load: Callable[[str], ModuleType]) -> None:
    """Never returns: the process ends as the compiler did."""
    send = open_channel(payload["nonce"])
    fcntl.fcntl(HANDED, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    folder = posix.getcwd()
    try:
        for name, text in payload["files"].items():
            write_file(name, text.encode("utf-8", payload["errors"]))
        limit_process(payload["limits"], payload["marker"])
        limit = limit_memory if payload["address_space"] else limit_data
        limit(payload["limits"]["memory_bytes"])
        send("ready")
        child = posix.fork()
    except OSError as error:
        send("unstarted", f"{type(error).__name__}: {error}")
        posix._exit(UNSTARTED)  # noqa: SLF001 - its public name
    if child == 0:
        environment = {"HOME": folder, "TMPDIR": folder, **payload["environment"]}
        become(payload["command"], environment)
    code = posix.waitstatus_to_exitcode(posix.waitpid(child, 0)[1])
    if code == 0:
        code = hand_over(folder, payload["output"], send)
    posix._exit(code if code >= 0 else 128 - code)  # noqa: SLF001 - as above


def become(command: list[str], environment: dict[str, str]) -> None:
    """Never returns: the process becomes the compiler."""
    try:
        posix.execve(command[0], command, environment)
    finally:
        posix._exit(UNSTARTED)  # noqa: SLF001 - as above


def hand_over(folder: str, patterns: list[str], send: Callable[..., None]) -> int:
    """Copy the files that the patterns name into the parent's file; the exit code.

    Where the host has no room for them, that is told: it is no fault of the source.
    """
    try:
        for name in sorted(posix.listdir(folder)):
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                copy(name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            send("unstarted", f"what was compiled cannot be kept: {error.strerror}")
        return UNHANDED
    return 0


def copy(name: str) -> None:
    """One file, if it is one: what a compiler was made to leave there may be anything."""
    source = posix.open(name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    found = posix.fstat(source)
    if found.st_mode & FORMAT != REGULAR:
        return
    called = name.encode("utf-8", "surrogateescape")
    put(len(called).to_bytes(4, "big") + called + found.st_size.to_bytes(8, "big"))
    left = found.st_size
    while left:
        part = posix.read(source, min(left, COPY_BYTES))
        put(part or bytes(min(left, COPY_BYTES)))  # it cannot become shorter: nothing else runs any more
        left -= len(part) or min(left, COPY_BYTES)
    posix.close(source)


def put(data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[posix.write(HANDED, data) :]
