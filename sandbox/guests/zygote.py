"""A zygote: a small warm Python that forks a jailed child for each run.

Theory of operation
    It is started by exec, never by forking the asynchronous parent. Its first process, the launcher, makes the
    namespaces that last (network, IPC, host name, mounts; a user namespace where there is no root) and clones the
    zygote proper with a namespace of processes of its own, as a child of the launcher's parent; then it leaves.
    The zygote is process 1 there: when it goes, however it goes, everything below it goes. It builds its private
    root, loads and freezes what its children will use, and serves its control socket: one packet asks for a run and
    carries the descriptors that the child will have. For each run it clones a child into a new namespace of
    processes and of mounts, and waits for its end and for the socket at once: the end of the socket is the end of the
    parent, and its own.

    There are three forms. `full`: as root, children become the user of a slot. `userns`: the same below a user
    namespace of this user's, children have no capability left. `alone`: where namespaces are forbidden, children are
    held by Landlock, by a stricter filter that refuses every child of theirs, and by limits.

    Payloads pass it by: they are written to the other end of a descriptor that only the child reads. So its memory
    holds no solution, no test and nothing of a run before. The child gets the descriptors, jails itself, and only then
    reads its payload and serves it by the guest that the request names.

    Packets are words: `run NUMBER ENTRY FILE_BYTES TASKS FOLDER` with descriptors, `kill NUMBER`, `where NUMBER`.
    Answers are `born PID`, `ready`, `here NUMBER` with a pidfd, `broken TEXT`, and `ended NUMBER` followed by the bytes
    of the kernel's answers (zygote_kernel.Lookout): nothing is made of them in here, for what a zygote touches after a
    fork is copied as well.
"""

import array
import gc
import posix
import sys
from _signal import SIGKILL, pidfd_send_signal  # type: ignore[import-not-found]  # no stubs; signal itself imports enum
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket
from collections.abc import Callable
from types import ModuleType
from typing import Any

import zygote_root
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
MOST_WORDS = 5  # the folder of `run` is the last and may hold spaces
MOST_DESCRIPTORS = 8
UNJAILED, UNSERVED = 71, 72  # exit codes of a child that could not be jailed, or whose guest could not begin


class Zygote:
    """Serves runs until its parent is gone."""

    def __init__(
        self, control: socket, jail: Jail, kernel: Kernel, load: Callable[[str], ModuleType], kept: list[Any]
    ) -> None:
        self._control = control
        self._jail = jail
        self._load = load
        self._kept = kept  # for nothing else than to be there
        self._clone = kernel.cloning(jail.namespaces)
        self._lookout = Lookout(control.fileno())
        self._room: list[str] = []

    def serve(self) -> None:
        """Never returns to where children could be mistaken for it: leaves when the socket ends."""
        while True:
            words, descriptors = self._hear()
            if not words:
                posix._exit(0)  # noqa: SLF001 - its public name
            if words[0] == "run":
                self._run(words, descriptors)
            for each in descriptors:
                posix.close(each)

    def _hear(self) -> tuple[list[str], list[int]]:
        """The next packet; no words when there will be none."""
        found = array.array("i")
        try:
            data, ancillary, _, _ = self._control.recvmsg(PACKET_BYTES, CMSG_LEN(MOST_DESCRIPTORS * found.itemsize))
        except OSError:  # a reset, when the parent had something unread
            data, ancillary = b"", []
        for level, kind, payload in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
        words = data.decode("utf-8", "surrogateescape").split(" ", MOST_WORDS) if data else []
        return words, list(found)

    def _say(self, *words: Any, descriptor: int | None = None) -> None:
        text = " ".join(map(str, words)).encode("ascii", "replace")
        rights = [] if descriptor is None else [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            self._control.sendmsg([text], rights)
        except OSError:
            posix._exit(0)  # noqa: SLF001 - as above; the parent is gone

    def _run(self, words: list[str], descriptors: list[int]) -> None:
        number, entry = words[1], words[2]
        if words[3:] != self._room:
            self._room = words[3:]
            self._jail.prepare(Room(int(words[3]), int(words[4]), words[5]))
        try:
            pid, pidfd = self._clone()
        except OSError as error:
            self._say("broken", fail("a child could not be made", error))
            return
        if pid == 0:
            self._become(entry, descriptors)
        for each in descriptors:
            posix.close(each)
        descriptors.clear()
        self._watch(number, pidfd)
        posix.close(pidfd)
        self._lookout.reap(pid)
        try:
            self._control.sendmsg([f"ended {number} ".encode(), self._lookout.ended])
        except OSError:
            posix._exit(0)  # noqa: SLF001 - as above

    def _watch(self, number: str, pidfd: int) -> None:
        """Wait for the child's end; meanwhile do what the parent asks about this run."""
        while not self._lookout.wait(pidfd):
            words, extra = self._hear()
            for each in extra:
                posix.close(each)
            if not words:
                posix._exit(0)  # noqa: SLF001 - as above
            if words == ["kill", number]:
                pidfd_send_signal(pidfd, SIGKILL)
            elif words == ["where", number]:
                self._say("here", number, descriptor=pidfd)

    def _become(self, entry: str, descriptors: list[int]) -> None:
        """The child's whole life."""
        try:
            self._jail.enter(descriptors)
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


def main(config: dict[str, Any], load: Callable[[str], ModuleType]) -> None:
    """Become a zygote as `config` says, and serve."""
    control = socket(fileno=moved_up(config["control"]))
    kernel = Kernel(config["numbers"])
    try:
        launch(kernel, config, control)
        posix.setsid()
        posix.umask(0o022)  # the root that it builds is for the users of its runs, whatever its caller keeps to itself
        maps = open_maps()  # the root that it builds has no /proc
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
        say(control, "ready")
    except BaseException as error:
        say(control, "broken " + fail("the zygote could not start", error))
        posix._exit(UNJAILED)  # noqa: SLF001 - as above
    Zygote(control, jail, kernel, load, kept).serve()
