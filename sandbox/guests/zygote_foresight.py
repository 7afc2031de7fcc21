"""Finds out which pages of memory a run writes to, so that a child that waits for its run can have them already.

A child shares its memory with its zygote, page by page, until it writes to one: that page is then copied, and the run
waits for it, several hundred times. Which pages these are is much the same in every run, for most of them belong to the
harness. So one child plays the rehearsed run as a child would, stops at its end, and its page map says which pages have
become its own. Children that are prepared ahead ask the kernel for all of them in one call, before there is a run.

What a run reads and writes is the same with it and without it. Where a kernel does not know the call, or shows no page
maps, there is none, and a run has its pages copied one by one.
"""

import array
import ctypes
import posix
from _signal import SIGKILL  # type: ignore[import-not-found]  # no stubs; signal itself imports enum
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket, socketpair
from collections.abc import Callable, Iterator

from zygote_kernel import Kernel, once

PAGE_BYTES = 4096
ENTRY_BYTES = 8  # of a page map, for each page
EXCLUSIVE, PRESENT = 1 << 56, 1 << 63
OF_FILE = 1 << 61  # a page of a file's, or of shared memory
MOST_RANGES = 1024  # that one call takes
THIS_PROCESS = -10000  # PIDFD_SELF_THREAD
POPULATE_WRITE = 23
READ_BYTES = 2**16
Scene = Callable[[], Callable[[], None]]  # sets it, and gives what plays it


class DressRehearsalError(Exception):
    """The child that was looked at did not come to the end of its run."""


class Range(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("begin", ctypes.c_void_p), ("size", ctypes.c_size_t))


class Foresight:
    """Opened while there is a /proc; study() closes it."""

    def __init__(self) -> None:
        try:
            self._proc = posix.open("/proc", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError:
            self._proc = -1

    def study(self, kernel: Kernel, scene: Scene) -> Callable[[], bool] | None:
        """Have a child set and play a scene, which ends by posix._exit; gives the call that copies its pages ahead.

        None where that cannot be known. DressRehearsalError.
        """
        if self._proc < 0:
            return None
        try:
            pages = self._written(scene)
        except PermissionError:  # of a /proc that shows no page maps
            return None
        finally:
            posix.close(self._proc)
            self._proc = -1
        ranges = list(_ranges(pages))[:MOST_RANGES]
        if not ranges:
            return None
        vector = (Range * len(ranges))(*ranges)
        copy_one, copy_all = (
            kernel.calling("process_madvise", THIS_PROCESS, vector, count, POPULATE_WRITE, 0)
            for count in (1, len(ranges))
        )
        return (lambda: once(copy_all)) if once(copy_one) else None  # a run does without what was not to be had

    def _written(self, scene: Scene) -> list[int]:
        """The pages that a child has of its own at the end of the play, and did not have at its beginning."""
        spans = list(self._spans())
        ours, theirs = socketpair()
        pid = posix.fork()
        if pid == 0:
            self._perform(theirs, ours, scene)
        theirs.close()
        try:
            pagemap = _received(ours)
            before = _entries(pagemap, spans)
            ours.send(b"go")
            if ours.recv(1) != b"e":
                raise DressRehearsalError("a child did not come to the end of a run that was rehearsed")
            after = _entries(pagemap, spans)  # and only now is anything made of them: what this process writes to
            return sorted(_owned(after, spans) - _owned(before, spans))  # is the child's own as well
        finally:
            posix.kill(pid, SIGKILL)
            posix.waitpid(pid, 0)
            ours.close()

    def _perform(self, report: socket, other: socket, scene: Scene) -> None:
        leave = posix._exit  # noqa: SLF001 - its public name

        def stand_still(_: int) -> None:
            report.send(b"e")
            report.recv(1)
            leave(0)

        try:
            other.close()
            play = scene()
            posix.setsid()
            pagemap = posix.open("self/pagemap", posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=self._proc)
            report.sendmsg([b"b"], [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [pagemap]))])
            report.recv(2)
            posix._exit = stand_still  # type: ignore[assignment]  # noqa: SLF001 - as above
            play()
        finally:
            leave(1)

    def _spans(self) -> Iterator[tuple[int, int]]:
        """The private memory that may be written to, as (first page, number of pages)."""
        maps = posix.open("self/maps", posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=self._proc)
        parts = []
        while part := posix.read(maps, READ_BYTES):
            parts.append(part)
        posix.close(maps)
        for line in b"".join(parts).splitlines():
            span, flags, *_ = line.split(None, 2)
            begin, end = (int(each, 16) // PAGE_BYTES for each in span.split(b"-"))
            if flags == b"rw-p":
                yield begin, end - begin


def _received(report: socket) -> int:
    found = array.array("i")
    _, ancillary, _, _ = report.recvmsg(1, CMSG_LEN(found.itemsize))
    for _, _, payload in ancillary:
        found.frombytes(payload)
    if not found:
        raise PermissionError("no page map")
    return found[0]


def _entries(pagemap: int, spans: list[tuple[int, int]]) -> list[bytes]:
    return [posix.pread(pagemap, count * ENTRY_BYTES, first * ENTRY_BYTES) for first, count in spans]


def _owned(read: list[bytes], spans: list[tuple[int, int]]) -> set[int]:
    """The numbers of the pages that nobody else has."""
    owned = set()
    for (first, _), entries in zip(spans, read, strict=True):
        for number, entry in enumerate(array.array("Q", entries), first):
            if entry & PRESENT and entry & EXCLUSIVE and not entry & OF_FILE:
                owned.add(number)
    return owned


def _ranges(pages: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbours together, as (address, bytes)."""
    begin = end = -1
    for page in pages:
        if page != end:
            if begin >= 0:
                yield begin * PAGE_BYTES, (end - begin) * PAGE_BYTES
            begin = page
        end = page + 1
    if begin >= 0:
        yield begin * PAGE_BYTES, (end - begin) * PAGE_BYTES
