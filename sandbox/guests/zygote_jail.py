"""What a forked child does to itself before it hears of its payload. The order matters, and nothing is optional.

Descriptors first, so that nothing else is open by accident; then the private folder, which takes capabilities; then the
user, which loses them; then what survives everything (no new privileges, Landlock); the filter last, for it forbids
what the others need.
"""

import fcntl
import posix
import resource
from typing import Any, NamedTuple

from zygote_kernel import (
    ABOVE,
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    Kernel,
    control,
    keep_capabilities,
    mount,
)
from zygote_landlock import DEVICE, READ, Ruleset

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


class Room(NamedTuple):
    """What one run may have. `folder` is where it may write, where it has no folder of its own in memory."""

    file_bytes: int
    tasks: int
    folder: str


class Jail:
    """The jail of one zygote's children. `uid` None: they keep their user, without any capability."""

    def __init__(self, kernel: Kernel, config: dict[str, Any]) -> None:
        self._kernel = kernel
        self._uid: int | None = config["uid"]
        self._alone = config["form"] == "alone"
        self.namespaces = 0 if self._alone else CLONE_NEWPID | CLONE_NEWNS
        kernel.prepare_filter(config["filter"])
        seen, devices = (config["root"]["binds"], DEVICES) if self._alone else (["/"], ["/dev"])
        rules = [(path, READ) for path in seen] + [(path, DEVICE) for path in devices]
        self._landlock: Ruleset | None = None
        for kind, most in INHERITED:
            resource.setrlimit(kind, (most, most))
        try:
            self._landlock = Ruleset(kernel, rules)
        except OSError as error:
            if self._alone:
                raise OSError("without namespaces Landlock holds files, and the kernel has none") from error

    def enter(self, descriptors: list[int], room: Room) -> None:
        """Jail this process; `descriptors` become 0, 1, 2 and so on."""
        posix.setsid()
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, ABOVE) for each in descriptors]
        for number, each in enumerate(high):
            posix.dup2(each, number, inheritable=True)
        if self._alone:  # there the limit would count all processes of this user; the filter refuses new ones
            posix.chdir(room.folder)
        else:
            self._make_folder(room.file_bytes)
            resource.setrlimit(resource.RLIMIT_NPROC, (room.tasks, room.tasks))
        self._become_nobody()
        control(PR_SET_DUMPABLE, 0)
        control(PR_SET_PDEATHSIG, SIGKILL)
        control(PR_SET_NO_NEW_PRIVS, 1)
        if self._landlock is not None:
            self._landlock.restrict(room.folder if self._alone else "/tmp")

    def close(self, count: int) -> None:
        """The last steps: nothing is open but the first `count` descriptors, and the filter is on."""
        posix.closerange(count, 4096)
        self._kernel.install_filter(posix.getpid() if self._alone else None)

    def _make_folder(self, file_bytes: int) -> None:
        owner = "" if self._uid is None else f",uid={self._uid},gid={self._uid}"
        options = f"mode=700,size={file_bytes + SPARE_BYTES},nr_inodes={INODES}{owner}"
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
        posix.chdir("/tmp")

    def _become_nobody(self) -> None:
        if self._uid is None:
            keep_capabilities(0)
            return
        posix.setgroups([])
        posix.setresgid(self._uid, self._uid, self._uid)
        posix.setresuid(self._uid, self._uid, self._uid)
