"""What a zygote asks of the kernel that Python has no words for. OSError with the call's name when it is refused.

Loaded only in zygotes; a forked child keeps it in memory, where it is of no use to anybody: the filter decides.
"""

import ctypes
import errno
import fcntl
import posix
import struct
import sys
from collections.abc import Callable
from typing import Any

SIGCHLD = 17
CLONE_PIDFD, CLONE_PARENT = 0x1000, 0x8000
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x00200000, 0x01000000
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_GET_TID_ADDRESS, PR_SET_CHILD_SUBREAPER = 38, 40, 36
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
LANDLOCK_VERSION_FLAG, LANDLOCK_PATH_BENEATH = 1, 1
O_PATH = 0x200000
POLLIN = 1
MSG_NOSIGNAL = 0x4000
ABOVE = 64  # where a zygote's own descriptors are: a child is given the low numbers

_library = ctypes.PyDLL(None, use_errno=True)  # the interpreter's lock stays held: nothing else runs here
_syscall = _library.syscall
_syscall.restype = ctypes.c_long
_before_fork, _after_in_parent, _after_in_child = (
    getattr(ctypes.pythonapi, name) for name in ("PyOS_BeforeFork", "PyOS_AfterFork_Parent", "PyOS_AfterFork_Child")
)


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def checked(result: int, what: str) -> int:
    """`result`, or the OSError that -1 stands for."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {errno.errorcode.get(number, number)}")
    return result


def prepared(function: Any, what: str, *arguments: Any) -> Callable[[], int]:
    """A call that is ready to be made: in a child every object that is made anew costs a page of memory."""

    def call() -> int:
        result: int = function(*arguments)
        return checked(result, what) if result == -1 else result

    return call


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    mounting(source, target, kind, flags, options)()


def mounting(source: str | None, target: str, kind: str | None, flags: int, options: str | None) -> Callable[[], int]:
    """mount(2), prepared."""
    arguments = (_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(options))
    return prepared(_library.mount, f"mount {kind or source or ''} on {target}", *arguments)


def unmount(target: str) -> None:
    """Let go of a mount; it goes when nobody uses it."""
    checked(_library.umount2(_text(target), MNT_DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    checked(_library.unshare(flags), f"unshare {flags:#x}")


def protect(begin: int, size: int, protection: int) -> None:
    """mprotect(2)."""
    checked(_library.mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(size), protection), "mprotect")


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    checked(_library.sethostname(name.encode(), len(name)), "sethostname")


def control(option: int, *arguments: Any) -> int:
    """prctl(2)."""
    return controlling(option, *arguments)()


def controlling(option: int, *arguments: Any) -> Callable[[], int]:
    """prctl(2), prepared."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return prepared(_library.prctl, f"prctl {option}", option, *(ctypes.c_ulong(each) for each in padded))


def drop_bounding_set() -> None:
    """No program that is ever executed gains a capability."""
    capability = 0
    while _library.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) == 0:
        capability += 1


def keep_capabilities(kept: int) -> None:
    """Permit and use exactly the capabilities of the bit mask `kept`."""
    keeping_capabilities(kept)()


def keeping_capabilities(kept: int) -> Callable[[], int]:
    """keep_capabilities(), prepared."""
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    return prepared(_library.capset, "capset", header, struct.pack("=6I", low, low, 0, high, high, 0))


class Kernel:
    """The calls that the C library has no function for; `numbers` are those of this machine."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers
        self._arm = posix.uname().machine == "aarch64"

    def call(self, name: str, *arguments: Any) -> int:
        """A system call by its name."""
        return self.calling(name, *arguments)()

    def calling(self, name: str, *arguments: Any) -> Callable[[], int]:
        """A system call by its name, prepared; an argument that is a ctypes number is read when the call is made."""
        wrapped = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
        return prepared(_syscall, name, ctypes.c_long(self._numbers[name]), *wrapped)

    def cloning(self, flags: int) -> Callable[[], tuple[int, int]]:
        """A fork with `flags`, prepared: gives (0, -1) in the child, (pid, pidfd) in the parent.

        Python is told as os.fork would tell it. The C library keeps its own thread's id in memory: where the kernel
        says where that is, it is brought up to date as fork(3) does.
        """
        pidfd, address = ctypes.c_int(-1), ctypes.c_void_p()
        if _library.prctl(PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) == 0 and address.value:
            flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID
        tls, child = ctypes.c_long(0), ctypes.c_void_p(address.value)
        last = (tls, child) if self._arm else (child, tls)
        word = ctypes.c_ulong(flags | CLONE_PIDFD | SIGCHLD)
        arguments = (ctypes.c_long(self._numbers["clone"]), word, ctypes.c_long(0), ctypes.byref(pidfd), *last)

        def clone() -> tuple[int, int]:
            _before_fork()
            pid = _syscall(*arguments)
            if pid == 0:
                _after_in_child()
                return 0, -1
            _after_in_parent()
            return checked(pid, "clone"), pidfd.value

        return clone

    def pivot(self, place: str) -> None:
        """Make the mount at `place` the root, and let go of everything else."""
        posix.chdir(place)
        self.call("pivot_root", b".", b".")
        unmount(".")
        posix.chdir("/")


class PollDescriptor(ctypes.Structure):
    """struct pollfd."""

    _fields_ = (("descriptor", ctypes.c_int), ("events", ctypes.c_short), ("found", ctypes.c_short))


class Lookout:
    """Waits for one descriptor that is always there, and for one child at a time; it has no words of its own to make.

    What it tells of a child's end is the word `ended `, two bytes of nothing, the child's number (eight bytes), its
    status (a C int, and four bytes of nothing), what it used and what this process has used, each as the kernel's
    struct rusage (the same on every 64-bit Linux).
    """

    HEAD_BYTES, STATUS_BYTES, USE_BYTES = 16, 8, 144

    def __init__(self, standing: int) -> None:
        pair = (PollDescriptor * 2)((standing, POLLIN, 0), (-1, POLLIN, 0))
        self._poll = prepared(_library.poll, "poll", pair, ctypes.c_ulong(2), ctypes.c_int(-1))
        size, found = ctypes.sizeof(PollDescriptor), PollDescriptor.found.offset
        self._watched = ctypes.c_int.from_buffer(pair, size)
        self._asked, self._ended = (ctypes.c_short.from_buffer(pair, at + found) for at in (0, size))
        told = ctypes.create_string_buffer(b"ended ", self.HEAD_BYTES + self.STATUS_BYTES + 2 * self.USE_BYTES)
        self._number = ctypes.c_uint64.from_buffer(told, self.HEAD_BYTES - 8)
        status = ctypes.addressof(told) + self.HEAD_BYTES
        self._pid = ctypes.c_int(-1)
        child = ctypes.c_void_p(status + self.STATUS_BYTES)
        own = ctypes.c_void_p(status + self.STATUS_BYTES + self.USE_BYTES)
        self._reap = prepared(_library.wait4, "wait4", self._pid, ctypes.c_void_p(status), ctypes.c_int(0), child)
        self._look = prepared(_library.getrusage, "getrusage", ctypes.c_int(0), own)
        size, silent = ctypes.c_size_t(len(told)), ctypes.c_int(MSG_NOSIGNAL)
        self._tell = prepared(_library.send, "send", ctypes.c_int(standing), told, size, silent)
        self._descriptor = ctypes.c_int(-1)
        self._close = prepared(_library.close, "close", self._descriptor)

    def wait(self, pidfd: int) -> bool:
        """Wait for either: True when it is the child that has ended."""
        self._watched.value = pidfd
        self._poll()
        return bool(self._ended.value) and not self._asked.value

    def reap(self, pid: int, pidfd: int) -> None:
        """Wait for the end of the child, and let go of its descriptor."""
        self._descriptor.value = pidfd
        self._close()
        self._pid.value = pid
        self._reap()
        self._look()

    def tell(self, number: int) -> None:
        """Tell how the child ended that was reaped last. OSError when nobody listens."""
        self._number.value = number
        self._tell()


class Filter:
    """A seccomp program that is ready to be put on."""

    def __init__(self, program: bytes) -> None:
        self._code = ctypes.create_string_buffer(program, len(program))
        packed = struct.pack("@HP", len(program) // 8, ctypes.addressof(self._code))
        self._kept = ctypes.create_string_buffer(packed, len(packed))
        self._install = controlling(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(self._kept))

    def install(self, own_pid: int | None = None) -> None:
        """Run every later system call of this process through it, too; `own_pid` replaces its placeholder."""
        if own_pid is not None:
            changed = self._code.raw.replace(b"\xff\xff\xff\xff", struct.pack("=I", own_pid))
            ctypes.memmove(self._code, changed, len(changed))
        self._install()


def moved_up(descriptor: int) -> int:
    """The same open file under a number that no child is given."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, ABOVE)
    posix.close(descriptor)
    return high


def once(function: Callable[[], Any]) -> bool:
    """Try what not every kernel or container allows; False when it was refused."""
    try:
        function()
    except OSError:
        return False
    return True


def fail(step: str, error: BaseException) -> str:
    """One line about what went wrong, for the parent."""
    return f"{step}: {type(error).__name__}: {error}".encode("ascii", "replace").decode()[:400]


assert sys.platform == "linux"
