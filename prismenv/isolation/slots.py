"""Slots: a user id and a control group that nobody else on this host uses while they are leased.

A lease is a lock on a file, so it ends with its holder, however that ends.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prismenv.words.errors import SandboxException

MOST_SLOTS = 4096
FIRST_UID = 1_900_000_000  # above every range that a distribution or a container runtime gives out


@dataclass(frozen=True, slots=True)
class Slot:
    """One lease. `uid` is user and group of what runs in it."""

    number: int
    uid: int
    lock: int

    def release(self) -> None:
        """Let somebody else have it."""
        os.close(self.lock)


def first_uid(uid_map: Path = Path("/proc/self/uid_map")) -> int | None:
    """The first user id for slots that exists here; None where this user namespace has too few."""
    ranges = [tuple(map(int, line.split())) for line in uid_map.read_text(encoding="ascii").splitlines()]
    for inside, _, count in ranges:
        if inside <= FIRST_UID and inside + count >= FIRST_UID + MOST_SLOTS:
            return FIRST_UID
    ends = [inside + count for inside, _, count in ranges if count >= 4 * MOST_SLOTS]
    return max(ends) - MOST_SLOTS if ends else None


def lock_folder() -> Path:
    """The folder of this host's locks, made where it is not there. SandboxException if it is not ours alone."""
    place = Path("/run") if os.access("/run", os.W_OK) else Path(tempfile.gettempdir())
    folder = place / f"prismenv-slots-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise SandboxException(f"no slots can be leased in {folder}: {error}", subject=str(folder)) from error
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise SandboxException(f"{folder} is not this user's alone", subject=str(folder), hint="Remove it.")
    return folder


def lease_slot(base_uid: int, folder: Callable[[], Path] = lock_folder) -> Slot:
    """The first slot that is free on this host. SandboxException when all are taken."""
    place = folder()
    for number in range(MOST_SLOTS):
        try:
            lock = os.open(place / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SandboxException(f"slot {number} cannot be leased: {error}", subject=str(place)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        except OSError as error:
            os.close(lock)
            raise SandboxException(f"slot {number} cannot be leased: {error}", subject=str(place)) from error
        return Slot(number, base_uid + number, lock)
    raise SandboxException(f"all {MOST_SLOTS} slots of this host are taken", subject=str(place))
