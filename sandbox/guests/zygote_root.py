"""Builds the private root of a zygote: what Python needs, read-only, and nothing else of the host."""

import posix
from typing import Any

from zygote_kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    Kernel,
    mount,
    once,
    set_hostname,
)

KEPT_FLAGS = ((posix.ST_NOEXEC, MS_NOEXEC), (posix.ST_NOATIME, 1024), (posix.ST_NODIRATIME, 2048), (4096, 1 << 21))
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
FORMAT, FOLDER, CHARACTER_DEVICE = 0o170000, 0o040000, 0o020000
HOSTNAME = "sandbox"


def build(kernel: Kernel, plan: dict[str, Any]) -> None:
    """Make `plan["place"]` the root. Paths of the plan are the same inside and outside, but for `packages`.

    `binds` are files and folders to be seen, `hidden` folders to be seen empty, `links` links as (path, target),
    `packages` further files and folders as (outside, inside); without that key there are none.
    """
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    place = plan["place"]
    mount("tmpfs", place, "tmpfs", MS_NOSUID, "mode=755,size=1m,nr_inodes=4096")
    for folder in ("/tmp", "/dev", "/etc"):
        posix.mkdir(place + folder, 0o755)
    for path, target in plan["links"]:
        make_folders(place, posix_parent(path))
        posix.symlink(target, place + path)
    for path in plan["binds"]:
        _bind(place, path, path)
    for source, path in plan.get("packages", ()):
        _bind(place, source, path)
    for path in plan["hidden"]:
        mount("tmpfs", place + path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=755,size=4k,nr_inodes=2")
    for name in DEVICES:
        _device(place, name)
    posix.symlink("/tmp", place + "/dev/shm")
    set_hostname(HOSTNAME)
    kernel.pivot(place)
    mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)


def posix_parent(path: str) -> str:
    """The folder that holds `path`."""
    return path.rpartition("/")[0]


def make_folders(place: str, path: str) -> None:
    """Make `path` below `place`, with all folders above it."""
    parts = [part for part in path.split("/") if part]
    for end in range(1, len(parts) + 1):
        try:
            posix.mkdir(place + "/" + "/".join(parts[:end]), 0o755)
        except FileExistsError:
            continue


def _bind(place: str, source: str, path: str) -> None:
    make_folders(place, posix_parent(path))
    if posix.stat(source).st_mode & FORMAT == FOLDER:
        make_folders(place, path)
    else:
        _empty_file(place + path)
    mount(source, place + path, None, MS_BIND)
    # Inside a user namespace a bind may not lose what its source was mounted with.
    there = posix.statvfs(place + path).f_flag
    kept = sum(flag for shown, flag in KEPT_FLAGS if there & shown)
    mount(None, place + path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept)


def _device(place: str, name: str) -> None:
    path = f"{place}/dev/{name}"
    number = posix.makedev(*DEVICES[name])
    if once(lambda: posix.mknod(path, 0o666 | CHARACTER_DEVICE, number)):
        posix.chmod(path, 0o666)
        return
    _empty_file(path)
    mount(f"/dev/{name}", path, None, MS_BIND)


def _empty_file(path: str) -> None:
    posix.close(posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o644))
