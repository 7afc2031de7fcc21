"""What a forked child does to itself before it hears of its payload. The order matters, and nothing is optional.

The private folder first, which takes capabilities; then the user, which loses them; then what survives everything (no
new privileges, Landlock). So far it can be prepared before there is a run for it. Then its descriptors, and nothing
else stays open; the filter last, for it forbids what the others need.
"""

import posix
import resource
from collections.abc import Callable
from typing import Any, NamedTuple

from zygote_kernel import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    Filter,
    Kernel,
    controlling,
    keeping_capabilities,
    mounting,
)
from zygote_landlock import DEVICE, EXECUTE, READ, Ruleset

SIGKILL = 9
# What every child inherits; the guest lowers the number of files once its channel is out of reach.
INHERITED = (
    (resource.RLIMIT_NOFILE, 1024),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
    (resource.RLIMIT_SIGPENDING, 256),
)
SPARE_BYTES = 1 << 20
INODES = 16384
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

Step = tuple[Callable[..., Any], tuple[Any, ...]]


class Room(NamedTuple):
    """What one run may have. `folder` is where it may write, where it has no folder of its own in memory."""

    file_bytes: int
    tasks: int
    folder: str


class Jail:
    """The jail of one zygote's children. `uid` None: they keep their user, without any capability."""

    def __init__(self, kernel: Kernel, config: dict[str, Any]) -> None:
        self._uid: int | None = config["uid"]
        self._alone = config["form"] == "alone"
        self._runs_own = config.get("runs_own", False)  # whether a run may execute what it has in its folder
        self.namespaces = 0 if self._alone else CLONE_NEWPID | CLONE_NEWNS
        self._lasting, self._own = (Filter(config["filters"][name]) for name in ("lasting", "own"))
        seen, devices = (config["root"]["binds"], DEVICES) if self._alone else (["/"], ["/dev"])
        rules = [(path, READ) for path in seen] + [(path, DEVICE) for path in devices]
        self._landlock: Ruleset | None = None
        for kind, most in INHERITED:
            resource.setrlimit(kind, (most, most))
        try:
            self._landlock = Ruleset(kernel, rules, EXECUTE if self._runs_own else 0)
        except OSError as error:
            if self._alone:
                raise OSError("without namespaces Landlock holds files, and the kernel has none") from error
        self._steps: list[Step] = []
        self.foreseen: Callable[[], bool] | None = None  # has what a child will write to copied ahead

    @property
    def lasts(self) -> bool:
        """Whether what was prepared serves the next run as well: not where each has a folder of the host's."""
        return not self._alone

    def use_user(self, uid: int | None) -> None:
        """Have the next children that are prepared for become this user; None: they keep theirs."""
        self._uid = uid

    def begin(self) -> None:
        """Put on this zygote, for good, what its children inherit: only they have what is not theirs taken away."""
        controlling(PR_SET_NO_NEW_PRIVS, 1)()
        self._lasting.install()

    def prepare(self, room: Room) -> None:
        """Have the steps of the next children ready: in the zygote, which makes them once for all that are alike."""
        steps: list[Step] = [(posix.setsid, ())]
        if self._alone:  # there a limit on tasks would count all of this user's; the filter refuses new ones
            steps.append((posix.chdir, (room.folder,)))
        else:
            steps += self._making_folder(room.file_bytes)
            steps.append((resource.setrlimit, (resource.RLIMIT_NPROC, (room.tasks, room.tasks))))
        steps += self._becoming_nobody()
        for option, value in ((PR_SET_DUMPABLE, 0), (PR_SET_PDEATHSIG, SIGKILL)):
            steps.append((controlling(option, value), ()))
        if self._landlock is not None:
            steps.append((self._landlock.restrict, (room.folder if self._alone else "/tmp",)))
        if self.foreseen is not None:
            steps.append((self.foreseen, ()))
        self._steps = steps

    def enter(self) -> None:
        """Jail this process as was prepared."""
        for step, arguments in self._steps:
            step(*arguments)

    @staticmethod
    def hand(descriptors: list[int]) -> None:
        """Have `descriptors` become 0, 1, 2 and so on.

        Each of them stands above the number that it is given: those are open in a zygote.
        """
        for number, each in enumerate(descriptors):
            if each <= number:
                raise OSError(f"the descriptor {each} is in the way of {number}")
            posix.dup2(each, number)

    def close(self, count: int) -> None:
        """The last steps: nothing is open but the first `count` descriptors, and the filter is on."""
        posix.closerange(count, 4096)
        self._own.install(posix.getpid() if self._alone else None)

    def _making_folder(self, file_bytes: int) -> list[Step]:
        owner = "" if self._uid is None else f",uid={self._uid},gid={self._uid}"
        options = f"mode=700,size={file_bytes + SPARE_BYTES},nr_inodes={INODES}{owner}"
        flags = MS_NOSUID | MS_NODEV | (0 if self._runs_own else MS_NOEXEC)
        making = mounting("tmpfs", "/tmp", "tmpfs", flags, options)
        return [(making, ()), (posix.chdir, ("/tmp",))]

    def _becoming_nobody(self) -> list[Step]:
        if self._uid is None:
            return [(keeping_capabilities(0), ())]
        three = (self._uid, self._uid, self._uid)
        return [(posix.setgroups, ([],)), (posix.setresgid, three), (posix.setresuid, three)]
