"""Arranges a zygote's memory so that a fork of it, and what a child does first, cost few page faults.

Tables of mapped files
    The kernel leaves out of a fork what a file can give again: a child then finds each stretch of the interpreter's own
    code by a fault, about seventy of them in a short run. It does copy the page tables of a mapping of which one page
    has become private. So one page of each is made private here, by writing to it what is there already, while nothing
    but this zygote's own code has ever run. Children see the same bytes as before.

    A fork copies every mapping as well, and its end takes each apart: a library has five of them. Three of these are
    neighbours that nobody writes to; under one protection the kernel makes one of them.

Holes
    What a start frees leaves room between what stays, on hundreds of pages. A child would put its first objects there
    and copy each of these pages for it. Filled up, they send it to fresh memory, where its objects stand together.

Counts of references
    Whoever uses an object counts its references, and so writes to it. Since Python 3.12 there are objects that nobody
    counts, because they never end: None and its like. What a zygote has when it begins to serve never ends either, in
    no child, so it is made such.
"""

import ctypes
import gc
import posix
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import CodeType, FrameType
from typing import Any

from zygote_kernel import protect

READ, WRITE, EXECUTE = 1, 2, 4
LEAST_BYTES = 2**16  # the kernel maps that much at one fault anyway
READ_BYTES = 2**16
POOL_BYTES = 2**14  # the allocator keeps objects of a size together in so much
HEAD_BYTES = 48  # of which its own notes take these
SIZES = range(48, 513, 16)
MOST_OF_A_SIZE = 20_000
LARGER_SIZES = (*range(2**16, 4096, -4096), *range(4096, 512, -64))
UNCOUNTED = 2**32 - 1  # the count of what is never counted, in Python 3.12 and 3.13
END_BYTES = 140_000  # how much at its end the C library has not handed out yet


def open_maps() -> int | None:
    """What lists this process' mappings, to be read when all are there; None where there is no /proc."""
    try:
        return posix.open("/proc/self/maps", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None


def keep_tables(maps: int) -> None:
    """Make one mapping of all that a file has read-only, and one page of it private; `maps` is of open_maps().

    It is closed. What a library maps as data becomes executable with its code: a run may map executable pages anyway.
    """
    for begin, size, runs in list(_read_only(_listed(maps))):
        if runs:
            with suppress(OSError):  # a kernel that forbids it: children have more mappings to copy
                protect(begin, size, READ | EXECUTE)
        if size >= LEAST_BYTES:
            _make_private(begin, size, READ | (EXECUTE if runs else 0))


def _listed(maps: int) -> list[bytes]:
    parts = []
    while part := posix.read(maps, READ_BYTES):
        parts.append(part)
    posix.close(maps)
    return b"".join(parts).splitlines()


def _read_only(lines: list[bytes]) -> Iterator[tuple[int, int, bool]]:
    """Stretches of a file that are mapped one after the other, as (address, bytes, whether there is code in them)."""
    stretch, runs = (0, 0, 0, b""), False
    for line in lines:
        span, flags, at, _, _, *path = line.split(None, 5)
        begin, end = (int(each, 16) for each in span.split(b"-"))
        if flags not in (b"r--p", b"r-xp") or not path or not path[0].startswith(b"/"):
            continue
        first, last, offset, file = stretch
        if (begin, int(at, 16), path[0]) == (last, offset + last - first, file):
            stretch, runs = (first, end, offset, file), runs or flags == b"r-xp"
            continue
        if last:
            yield first, last - first, runs
        stretch, runs = (begin, end, int(at, 16), path[0]), flags == b"r-xp"
    first, last, _, _ = stretch
    if last:
        yield first, last - first, runs


def _make_private(begin: int, size: int, protection: int) -> None:
    try:
        protect(begin, size, protection | WRITE)
    except OSError:  # a kernel that lets nobody write to code: children pay for their faults
        return
    first = ctypes.c_ubyte.from_address(begin)
    first.value = first.value
    protect(begin, size, protection)


def end_counting() -> None:
    """Let nobody count the references of what there is now; nothing where this Python counts those of everything.

    gc must not have frozen it yet. Frames are left out: they end.
    """
    number = ctypes.c_size_t.from_address
    if number(id(None)).value != UNCOUNTED:
        return
    level = gc.get_objects()
    while level:
        found = [each for each in level if sys.getrefcount(each) != UNCOUNTED and type(each) is not FrameType]
        inner: list[Any] = []
        for each in found:
            number(id(each)).value = UNCOUNTED
            if type(each) is CodeType:  # the collector does not look into it
                inner += (each.co_consts, each.co_names, each.co_name, each.co_qualname, each.co_filename)
        level = gc.get_referents(*found) + inner


def filled_holes() -> list[Any]:
    """Objects of every size that the interpreter's allocator serves, until each begins a new pool; to be kept.

    What is larger comes from the C library, whose holes are filled for good.
    """
    _fill_library()
    kept: list[Any] = []
    _fill(kept, object)
    _fill(kept, lambda: 0.5 * len(kept))
    for size in SIZES:
        _fill(kept, partial(bytes, size - sys.getsizeof(b"")))
    return kept


def _fill(kept: list[Any], make: Callable[[], Any]) -> None:
    for _ in range(MOST_OF_A_SIZE):
        kept.append(make())
        if id(kept[-1]) % POOL_BYTES == HEAD_BYTES:
            return


def _fill_library() -> None:
    library = ctypes.PyDLL(None)
    if not hasattr(library, "sbrk"):
        return
    library.malloc.restype = library.sbrk.restype = ctypes.c_size_t
    for size in map(ctypes.c_size_t, LARGER_SIZES):
        for _ in range(MOST_OF_A_SIZE):
            block = library.malloc(size)
            if block > library.sbrk(0) - END_BYTES:
                library.free(ctypes.c_size_t(block))
                break
