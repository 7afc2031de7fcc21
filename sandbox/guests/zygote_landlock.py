"""The second wall around files, and one around sockets and signals: Landlock, as much of it as the kernel knows."""

import ctypes
import posix
import struct

from zygote_kernel import LANDLOCK_PATH_BENEATH, LANDLOCK_VERSION_FLAG, O_PATH, Kernel, moved_up

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = 1, 2, 4, 8, 16, 32
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 64, 128, 256, 512, 1024, 2048, 4096
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
KNOWN_AT = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}  # rights that each version decides about
READ = EXECUTE | READ_FILE | READ_DIR
DEVICE = READ_FILE | WRITE_FILE
OWN = (
    READ_FILE
    | READ_DIR
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
)
OWN |= REFER | TRUNCATE
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # what means something for a file itself
FORMAT, FOLDER = 0o170000, 0o040000
CONNECT_AND_BIND = 3
ABSTRACT_SOCKETS_AND_SIGNALS = 3
NETWORK_SINCE, SCOPES_SINCE = 4, 6


class Rule(ctypes.Structure):
    """A rule as the kernel reads it; the descriptor in it stays open."""

    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("place", ctypes.c_int32))


class Ruleset:
    """What a child may reach. Made once in the zygote, so that a child has only to hand it to the kernel."""

    def __init__(self, kernel: Kernel, rules: list[tuple[str, int]], more: int = 0) -> None:
        """`rules` are (path, rights), those of paths that are not there are left out; `more` are rights to its own

        folder beside the usual ones. OSError without Landlock.
        """
        offered = kernel.call("landlock_create_ruleset", 0, 0, LANDLOCK_VERSION_FLAG)
        self._rights = KNOWN_AT[min(offered, max(KNOWN_AT))]
        network = CONNECT_AND_BIND if offered >= NETWORK_SINCE else 0
        scopes = ABSTRACT_SOCKETS_AND_SIGNALS if offered >= SCOPES_SINCE else 0
        size = 24 if scopes else 16 if network else 8
        attributes = struct.pack("=QQQ", self._rights, network, scopes)[:size]
        self._made = ctypes.c_long(-1)
        self._own = Rule((OWN | more) & self._rights, -1)
        found = [rule for path, rights in rules if (rule := self._rule(path, rights)) is not None]
        self._create = kernel.calling("landlock_create_ruleset", attributes, size, 0)
        self._adds = [
            kernel.calling("landlock_add_rule", self._made, LANDLOCK_PATH_BENEATH, ctypes.byref(rule), 0)
            for rule in [*found, self._own]
        ]
        self._restrict = kernel.calling("landlock_restrict_self", self._made, 0)

    def restrict(self, folder: str) -> None:
        """Allow what the rules say, and all of `folder`, and nothing else, for good."""
        self._made.value = self._create()
        self._own.place = posix.open(folder, O_PATH | posix.O_CLOEXEC)
        for add in self._adds:
            add()
        self._restrict()

    def _rule(self, path: str, rights: int) -> Rule | None:
        try:
            place = moved_up(posix.open(path, O_PATH | posix.O_CLOEXEC))
        except OSError:
            return None
        rights &= self._rights
        if posix.fstat(place).st_mode & FORMAT != FOLDER:
            rights &= OF_FILES
        return Rule(rights, place)
