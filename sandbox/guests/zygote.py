"""A zygote: a small warm Python that forks a jailed child for each run.

Theory of operation
    It is started by exec, never by forking the asynchronous parent. Its first process, the launcher, makes the
    namespaces that last (network, IPC, host name, mounts; a user namespace where there is no root) and clones the
    zygote proper with a namespace of processes of its own, as a child of the launcher's parent; then it leaves.
    The zygote is process 1 there: when it goes, however it goes, everything below it goes. It builds its private
    root, loads and freezes what its children will use, and serves its control socket. Each run is a child in a new
    namespace of processes and of mounts. The zygote waits for the child's end and for the socket at once: the end of
    the socket is the end of the parent, and its own.

    A child is prepared ahead. It is cloned when the one before it has ended, jails itself and waits at a second socket,
    that of jobs, for its run: one packet with the descriptors that it will have. So it was never there together with
    another run, it serves one run, and nobody waits for its birth. Children are numbered, and each takes the job of its
    own number alone: a job whose child was killed before it took it is thrown away by the next one. What was prepared
    depends on the room that a run is given; a run with another room has the child replaced before its job is sent.

    There are three forms. `full`: as root, children become the user of a slot. `userns`: the same below a user
    namespace of this user's, children have no capability left. `alone`: where namespaces are forbidden, children are
    held by Landlock, by a stricter filter that refuses every child of theirs, and by limits.

    Payloads pass it by: they are written to the other end of a descriptor that only the child reads. So its memory
    holds no solution, no test and nothing of a run before. The child, jailed, gets the descriptors, and only then
    reads its payload and serves it by the guest that the request names.

    Packets are words. Control: `room FILE_BYTES TASKS FOLDER`, `kill NUMBER`, `where NUMBER`. Answers are `born PID`,
    `ready`, `roomed`, `here NUMBER` with a pidfd, `broken TEXT`, and `ended` followed by the number and the kernel's
    answers as bytes (zygote_kernel.Lookout): nothing is made of them in here, for what a zygote touches after a fork is
    copied as well. Jobs: `NUMBER ENTRY` with descriptors.
"""

import array
import gc
import posix
import sys
from _signal import SIGKILL, pidfd_send_signal  # type: ignore[import-not-found]  # no stubs; signal itself imports enum
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import zygote_root
from zygote_foresight import Foresight
from zygote_jail import Jail, Room
from zygote_kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    CLONE_PARENT,
    Kernel,
    Lookout,
    drop_bounding_set,
    fail,
    keep_capabilities,
    moved_up,
    unshare,
)
from zygote_memory import end_counting, filled_holes, keep_tables, open_maps
from zygote_seeds import NAME as SEEDED
from zygote_seeds import Seeds

from __main__ import parts, take  # type: ignore[attr-defined]  # BOOT's

LASTING = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS
CAPABILITIES = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 21  # DAC_OVERRIDE, KILL, SETGID, SETUID, SYS_ADMIN
PACKET_BYTES = 8192
MOST_WORDS = 3  # after the first; the folder of `room` is the last and may hold spaces
MOST_DESCRIPTORS = 8
UNJAILED, UNSERVED = 71, 72  # exit codes of a child that could not be jailed, or whose guest could not begin


class Line(NamedTuple):
    """The sockets to the parent."""

    control: socket
    jobs: socket


class Zygote:
    """Serves runs until its parent is gone."""

    def __init__(
        self, line: Line, jail: Jail, kernel: Kernel, load: Callable[[str], ModuleType], kept: list[Any]
    ) -> None:
        self._control, self._jobs = line
        self._jail = jail
        self._load = load
        self._kept = kept  # for nothing else than to be there
        self._clone = kernel.cloning(jail.namespaces)
        self._lookout = Lookout(self._control.fileno())
        self._number = 1  # of the child that is there, or will be
        self._pid = self._pidfd = -1  # -1: there is none

    def serve(self) -> None:
        """Never returns to where children could be mistaken for it: leaves when the socket ends."""
        while True:
            if self._lookout.wait(self._pidfd):
                self._end()
            else:
                self._heed()

    def _heed(self) -> None:
        """Do what the parent asks."""
        words, extra = heard(self._control, MOST_WORDS)
        for each in extra:
            posix.close(each)
        if not words:
            posix._exit(0)  # noqa: SLF001 - its public name
        if words[0] == "room":
            self._give_up()
            self._jail.prepare(Room(int(words[1]), int(words[2]), words[3]))
            self._say("roomed")
            self._bear()
        elif self._pidfd >= 0 and words == ["kill", str(self._number)]:
            pidfd_send_signal(self._pidfd, SIGKILL)
        elif self._pidfd >= 0 and words == ["where", str(self._number)]:
            self._say("here", self._number, descriptor=self._pidfd)

    def _say(self, *words: Any, descriptor: int | None = None) -> None:
        text = " ".join(map(str, words)).encode("ascii", "replace")
        rights = [] if descriptor is None else [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            self._control.sendmsg([text], rights)
        except OSError:
            posix._exit(0)  # noqa: SLF001 - as above; the parent is gone

    def _bear(self) -> None:
        """Have the next child."""
        try:
            pid, pidfd = self._clone()
        except OSError as error:
            self._say("broken", fail("a child could not be made", error))
            return
        if pid == 0:
            self._become()
        self._pid, self._pidfd = pid, pidfd

    def _give_up(self) -> None:
        """End the child that has no run yet, if there is one; the next one has its number."""
        if self._pidfd >= 0:
            pidfd_send_signal(self._pidfd, SIGKILL)
            self._bury()

    def _bury(self) -> None:
        self._lookout.reap(self._pid, self._pidfd)
        self._pidfd = -1

    def _end(self) -> None:
        """The child has ended: tell how, and have the next one, where it can be prepared before its run is known."""
        self._bury()
        try:
            self._lookout.tell(self._number)
        except OSError:
            posix._exit(0)  # noqa: SLF001 - as above
        self._number += 1
        if self._jail.lasts:
            self._bear()

    def _become(self) -> None:
        """The child's whole life."""
        try:
            self._jail.enter()
            entry, descriptors = self._job()
            self._jail.hand(descriptors)
        except BaseException as error:
            self._say("broken", fail("a child could not be jailed", error))
            posix._exit(UNJAILED)  # noqa: SLF001 - as above
        code = UNSERVED
        try:
            self._jail.close(len(descriptors))
            payload = take()
            module = parts[entry]
            module.main(payload, self._load)
            code = 0
        finally:
            posix._exit(code)  # noqa: SLF001 - as above

    def _job(self) -> tuple[str, list[int]]:
        """Wait for the run of this child. Those before it had a child that was killed before it took them."""
        while True:
            words, descriptors = heard(self._jobs, 1)
            if not words:
                posix._exit(0)  # noqa: SLF001 - as above
            if int(words[0]) == self._number:
                return words[1], descriptors
            if int(words[0]) > self._number:
                raise OSError(f"the job {words[0]} came to the child {self._number}")
            for each in descriptors:
                posix.close(each)


def heard(channel: socket, most: int) -> tuple[list[str], list[int]]:
    """The next packet, as words of which the last may hold spaces, and descriptors; no words: there will be none."""
    found = array.array("i")
    try:
        data, ancillary, _, _ = channel.recvmsg(PACKET_BYTES, CMSG_LEN(MOST_DESCRIPTORS * found.itemsize))
    except OSError:  # a reset, when the parent had something unread
        data, ancillary = b"", []
    for level, kind, payload in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
    words = data.decode("utf-8", "surrogateescape").split(" ", most) if data else []
    return words, list(found)


def say(control: socket, text: str) -> None:
    """A packet of the start, before there is a Zygote."""
    control.send(text.encode("ascii", "replace"))


def launch(kernel: Kernel, config: dict[str, Any], control: socket) -> None:
    """The launcher: returns in the zygote only, everybody else leaves here."""
    alone = config["form"] == "alone"
    if config["form"] == "userns":
        outer = posix.getuid(), posix.getgid()
        unshare(CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {outer[0]} 1"), ("gid_map", f"1000 {outer[1]} 1")):
            descriptor = posix.open(f"/proc/self/{name}", posix.O_WRONLY)
            posix.write(descriptor, text.encode())
            posix.close(descriptor)
    if not alone:
        unshare(LASTING)
    pid, _ = kernel.cloning(CLONE_PARENT | (0 if alone else CLONE_NEWPID))()
    if pid:
        say(control, f"born {pid}")
        posix._exit(0)  # noqa: SLF001 - as above


def warm(config: dict[str, Any], load: Callable[[str], ModuleType]) -> Callable[[str], ModuleType]:
    """Load what children will use, and give the `load` of theirs."""
    seeds = Seeds() if SEEDED in config["warm_modules"] else None
    for name in config["warm_modules"]:
        if name != SEEDED:
            __import__(name)
    for name in config["warm_parts"]:
        parts[name].warm()
    kept = {name: load(name) for name in config["on_demand"]}
    found = lambda name: kept[name] if name in kept else load(name)  # noqa: E731 - given to others
    for name in config["rehearsals"]:
        parts[name].rehearse(found)
    if config["packages"] is not None:
        offer_packages(**config["packages"])
    if seeds is not None:
        seeds.settle()
    return found


def offer_packages(path: str, modules: list[str], variables: dict[str, str]) -> None:
    """Put a folder of packages on the search path, of programs too, and import them. They stay in one thread."""
    for name, value in variables.items():
        posix.putenv(name, value)
    sys.path.append(path)
    for name in modules:
        __import__(name)


def main(config: dict[str, Any], load: Callable[[str], ModuleType], serving: type[Zygote] = Zygote) -> None:
    """Become a zygote as `config` says, and serve."""
    line = Line(*(socket(fileno=moved_up(config[name])) for name in Line._fields))
    kernel = Kernel(config["numbers"])
    try:
        launch(kernel, config, line.control)
        posix.setsid()
        posix.umask(0o022)  # the root that it builds is for the users of its runs, whatever its caller keeps to itself
        maps, foresight = open_maps(), Foresight()  # the root that it builds has no /proc
        if config["form"] != "alone":
            zygote_root.build(kernel, config["root"])
        posix.environ.clear()
        for name in config["environment"]:
            posix.unsetenv(name)
        load = warm(config, load)
        drop_bounding_set()
        keep_capabilities(0 if config["form"] == "alone" else CAPABILITIES)
        jail = Jail(kernel, config)
        jail.begin()
        if maps is not None:
            keep_tables(maps)
        gc.collect()
        end_counting()
        kept = filled_holes()
        gc.freeze()  # a child's collection of garbage looks at nothing of all this, and so copies nothing
        if jail.lasts:
            for name in config["rehearsals"]:
                if (scene := parts[name].dress(load)) is not None:
                    jail.foreseen = foresight.study(kernel, scene)
            gc.freeze()
        say(line.control, "ready")
    except BaseException as error:
        say(line.control, "broken " + fail("the zygote could not start", error))
        posix._exit(UNJAILED)  # noqa: SLF001 - as above
    serving(line, jail, kernel, load, kept).serve()
