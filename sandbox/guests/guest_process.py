"""What every guest does to its own process first: the channel out of reach, the limits lowered."""

import builtins
import fcntl
import posix
import resource
import sys
from _json import encode_basestring_ascii, make_encoder
from _signal import SIGKILL, alarm  # type: ignore[import-not-found]  # no stubs; signal itself imports enum
from collections.abc import Callable
from typing import Any

HEADROOM_BYTES = 512 * 2**20  # address space that is reserved and not used: thread stacks, allocator arenas
OPEN_FILES = 256
MOST_HELD = 32
PATIENCE_SECONDS = 15  # beyond the wall clock, which is the parent's: ends a run whose parent is gone


def open_channel(nonce: str, home: Callable[[], int] = posix.getpid) -> Callable[..., None]:
    """Move descriptor 0 out of reach and return the function that sends one frame over it.

    A frame that may wait for the next one is sent with it: `hold` saves a system call here and a wake-up there.
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    channel = min(300 + int(nonce[:4], 16) % 600, max(soft - 1, 3)) if soft > 0 else 300
    posix.dup2(0, channel, inheritable=False)
    null = posix.open("/dev/null", posix.O_RDWR)
    posix.dup2(null, 0)
    posix.close(null)
    die_with_parent(channel)
    write, leave, owner = posix.write, posix._exit, home()  # noqa: SLF001 - its public name
    # No marker of cycles, no indent, no sorting or skipping of keys; a number that is none is refused by the parent.
    encode = make_encoder(None, repr, encode_basestring_ascii, None, ":", ",", *(False, False, True))
    held: list[bytes] = []

    def send(*fields: Any, hold: bool = False) -> None:
        if home() != owner:
            leave(0)  # a child of the solution came back into the harness: it has nothing to say here
        body = "".join((nonce, *encode(fields, 0))).encode("ascii")
        held.append(len(body).to_bytes(4, "big") + body)
        if hold and len(held) < MOST_HELD:
            return
        data = b"".join(held)
        held.clear()
        while data:
            data = data[write(channel, data) :]

    return send


class SourceLoader:
    """Lets inspect and linecache find the text of a module that has no file."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, _name: str) -> str:
        """The module's source."""
        return self._text


def offer_exit() -> None:
    """What programs expect and an interpreter without site has not; nothing where it was offered already."""
    if hasattr(builtins, "exit"):
        return
    from _sitebuiltins import Quitter  # noqa: PLC0415 - as the docstring says

    for name in ("exit", "quit"):
        setattr(builtins, name, Quitter(name, "Ctrl-D (i.e. EOF)"))


def move_out_of_reach(descriptor: int) -> int:
    """Put a descriptor where code that closes or counts the low ones does not find it; gives its new number."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    moved = fcntl.fcntl(
        descriptor, fcntl.F_DUPFD_CLOEXEC, min(OPEN_FILES + 1, max(soft - 8, 3)) if soft > 0 else OPEN_FILES
    )
    posix.close(descriptor)
    return moved


def die_with_parent(channel: int) -> None:
    """Have the kernel kill this group when the other end of the channel goes, as it does when the parent is killed.

    Nothing ever arrives there after the payload, so the only event that can signal is the end. Where the system knows
    no F_SETSIG, the alarm of limit_process() is what remains. A jail refuses it: there its zygote sees to it, and the
    first process of a jail's namespace does not even ask.
    """
    if posix.getpid() == 1 or not hasattr(fcntl, "F_SETSIG"):
        return
    try:
        fcntl.fcntl(channel, fcntl.F_SETOWN, -posix.getpgrp())
    except PermissionError:
        return
    fcntl.fcntl(channel, fcntl.F_SETSIG, SIGKILL)
    fcntl.fcntl(channel, fcntl.F_SETFL, fcntl.fcntl(channel, fcntl.F_GETFL) | posix.O_ASYNC)


def lower(kind: int, value: int) -> None:
    """Set a soft and hard limit, never above the hard one that is there already."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except ValueError:
        if sys.platform == "linux":  # others know limits that they do not take: the probe tells what does not hold
            raise


def limit_process(limits: dict[str, Any], marker: int) -> None:
    """Limits on everything but memory, and the mark by which the parent knows this run's processes; 0: it has none."""
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_CPU, int(limits["cpu_seconds"]) + 2)  # the parent counts exactly; this holds if it cannot
    alarm(int(limits["wall_seconds"]) + PATIENCE_SECONDS)
    lower(resource.RLIMIT_FSIZE, limits["file_bytes"])
    lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if marker and hasattr(resource, "RLIMIT_RTTIME"):
        lower(resource.RLIMIT_RTTIME, marker)


def limit_memory(memory_bytes: int) -> None:
    """Private memory to exactly `memory_bytes`; address space a little above, for what is only reserved."""
    lower(resource.RLIMIT_AS, memory_bytes + HEADROOM_BYTES)
    limit_data(memory_bytes)


def limit_data(memory_bytes: int) -> None:
    """Private memory alone: for programs that reserve far more addresses than they will ever use."""
    lower(resource.RLIMIT_DATA, memory_bytes)


def reserve_memory(memory_bytes: int) -> None:
    """A first, generous limit for what the harness itself does before untrusted code is loaded."""
    lower(resource.RLIMIT_AS, memory_bytes + 2 * HEADROOM_BYTES)


def write_file(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write a new file, in new folders where its path says so.

    FileExistsError, NotADirectoryError where something else is there.
    """
    parts = path.split("/")
    for end in range(1, len(parts)):
        try:
            posix.mkdir("/".join(parts[:end]), 0o700)
        except FileExistsError:
            continue
    descriptor = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, mode)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[posix.write(descriptor, rest) :]
    finally:
        posix.close(descriptor)
