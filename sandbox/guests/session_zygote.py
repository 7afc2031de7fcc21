"""A zygote whose children stay: sessions, many at once, each an interpreter that is kept between calls.

Theory of operation
    It starts and jails as every zygote does (zygote.py), but does not wait for a child. A packet asks for a session,
    `open ENTRY UID FILE_BYTES TASKS FOLDER` (UID -1: the zygote's own), and carries the descriptors that the child will
    have as 0, 1, 2, and one more, the session's report. On the report it says `born` with a pidfd of the child, and at
    its end `ended STATUS USER SYSTEM PEAK`, or `broken TEXT`. The parent signals the child itself, by the pidfd. The
    other end of a report is the parent's claim on the session: when it goes the session is killed, and when the control
    socket goes all of them are.

    The child says one byte on its channel before it hears of anything, with a descriptor of its private folder: by that
    the parent writes and reads files there, so that no word of the code is ever asked for them.
"""

import array
import posix
from _signal import SIGKILL, pidfd_send_signal  # type: ignore[import-not-found]  # no stubs; signal itself imports enum
from _socket import SCM_RIGHTS, SOL_SOCKET, socket
from collections.abc import Callable
from select import POLLIN, poll
from types import ModuleType
from typing import Any

import zygote
from zygote_jail import Room
from zygote_kernel import fail

from __main__ import parts, take  # type: ignore[attr-defined]  # BOOT's

STREAMS = 3
MOST_WORDS = 5  # after the first; the folder is the last and may hold spaces


class SessionZygote(zygote.Zygote):
    """Serves sessions until its parent is gone."""

    _claims: dict[int, int]  # descriptor of a report to the child's pidfd
    _children: dict[int, tuple[int, socket]]  # pidfd to the child's id and its report

    def serve(self) -> None:
        self._claims, self._children, self._events = {}, {}, poll()
        control = self._control.fileno()
        self._events.register(control, POLLIN)
        while True:
            for descriptor, _ in self._events.poll():
                if descriptor == control:
                    self._asked()
                elif descriptor in self._children:
                    self._end(descriptor)
                elif descriptor in self._claims:
                    self._events.unregister(descriptor)  # nobody wants it any more; its end is told to nobody
                    pidfd_send_signal(self._claims.pop(descriptor), SIGKILL)

    def _asked(self) -> None:
        words, descriptors = zygote.heard(self._control, MOST_WORDS)
        if not words:
            posix._exit(0)  # noqa: SLF001 - its public name
        try:
            if words[0] == "open" and len(descriptors) == STREAMS + 1:
                self._open(words[1:], descriptors)
        finally:
            for each in descriptors:
                posix.close(each)

    def _open(self, words: list[str], descriptors: list[int]) -> None:
        entry, uid, file_bytes, tasks, folder = words
        report = socket(fileno=descriptors.pop())
        try:
            self._jail.use_user(None if int(uid) < 0 else int(uid))
            self._jail.prepare(Room(int(file_bytes), int(tasks), folder))
            pid, pidfd = self._clone()
        except OSError as error:
            _tell(report, fail("broken a session could not be made", error))
            report.close()
            return
        if pid == 0:
            self._live(entry, descriptors, report)
        _tell(report, "born", pidfd)
        self._children[pidfd] = (pid, report)
        self._claims[report.fileno()] = pidfd
        self._events.register(pidfd, POLLIN)
        self._events.register(report.fileno(), 0)  # its end is told unasked

    def _end(self, pidfd: int) -> None:
        pid, report = self._children.pop(pidfd)
        self._events.unregister(pidfd)
        if self._claims.pop(report.fileno(), None) is not None:
            self._events.unregister(report.fileno())
        _, status, use = posix.wait4(pid, 0)
        code = posix.waitstatus_to_exitcode(status)
        _tell(report, f"ended {code} {use.ru_utime} {use.ru_stime} {use.ru_maxrss}")
        report.close()
        posix.close(pidfd)

    def _live(self, entry: str, descriptors: list[int], report: socket) -> None:
        """The child's whole life."""
        try:
            self._jail.enter()
            self._jail.hand(descriptors)
            folder = posix.open(".", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
            channel = socket(fileno=0)
            channel.sendmsg([b"f"], [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [folder]))])
            channel.detach()
        except BaseException as error:
            _tell(report, fail("broken a session could not be jailed", error))
            posix._exit(zygote.UNJAILED)  # noqa: SLF001 - as above
        code = zygote.UNSERVED
        try:
            self._jail.close(STREAMS)
            parts[entry].main(take(), self._load)
            code = 0
        finally:
            posix._exit(code)  # noqa: SLF001 - as above


def _tell(report: socket, text: str, descriptor: int | None = None) -> None:
    rights = [] if descriptor is None else [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [descriptor]))]
    try:
        report.sendmsg([text.encode("ascii", "replace")], rights)
    except OSError:  # nobody wants to know any more
        return


def main(config: dict[str, Any], load: Callable[[str], ModuleType]) -> None:
    """Become a zygote of sessions as `config` says, and serve."""
    zygote.main(config, load, SessionZygote)
