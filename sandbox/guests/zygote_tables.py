"""Has every fork copy where the pages of the interpreter and its libraries are.

The kernel leaves out of a fork what a file can give again: a child then finds each stretch of the interpreter's own
code by a fault, about seventy of them in a short run. It does copy the page tables of a mapping of which one page has
become private. So one page of each is made private here, by writing to it what is there already, while nothing but
this zygote's own code has ever run. Children see the same bytes under the same protection as before.
"""

import ctypes
import posix

from zygote_kernel import protect

READ, WRITE, EXECUTE = 1, 2, 4
LEAST_BYTES = 2**16  # the kernel maps that much at one fault anyway
READ_BYTES = 2**16


def open_maps() -> int | None:
    """What lists this process' mappings, to be read when all are there; None where there is no /proc."""
    try:
        return posix.open("/proc/self/maps", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None


def keep_tables(maps: int) -> None:
    """Make one page of each mapping of a file private; `maps` is of open_maps() and is closed."""
    parts = []
    while part := posix.read(maps, READ_BYTES):
        parts.append(part)
    posix.close(maps)
    for line in b"".join(parts).splitlines():
        span, flags, _, _, _, *path = line.split(None, 5)
        begin, end = (int(each, 16) for each in span.split(b"-"))
        if path and path[0].startswith(b"/") and flags[:2] == b"r-" and end - begin >= LEAST_BYTES:
            _make_private(begin, end - begin, READ | (EXECUTE if flags[2:3] == b"x" else 0))


def _make_private(begin: int, size: int, protection: int) -> None:
    try:
        protect(begin, size, protection | WRITE)
    except OSError:  # a kernel that lets nobody write to code: children pay for their faults
        return
    first = ctypes.c_ubyte.from_address(begin)
    first.value = first.value
    protect(begin, size, protection)
