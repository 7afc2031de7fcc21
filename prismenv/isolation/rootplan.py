"""What the private root of a zygote shows of the host: the interpreter, its library, and shared libraries."""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prismenv.isolation.language import base_interpreter

# What may hold shared libraries, the loader and the times zones; folders that a system does not have are left out.
LIBRARY_FOLDERS = ("/lib64", "/usr/lib64", "/lib/{triplet}", "/usr/lib/{triplet}")
EXTRAS = ("/usr/share/zoneinfo", "/etc/ld.so.cache")
SHARED_LIBRARY = re.compile(r"/.+\.so(\.[0-9.]+)?$")


@dataclass(frozen=True, slots=True)
class RootPlan:
    """Paths are the same inside and outside. `hidden` are folders within `binds` that are seen empty."""

    binds: tuple[str, ...]
    hidden: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def root_plan(shown: Sequence[Path] = ()) -> RootPlan:
    """The plan for the interpreter that this process runs on; `shown` are further files and folders."""
    library = Path(sysconfig.get_path("stdlib")).resolve()
    wanted = [Path(base_interpreter()), library, *_system_folders(), *map(Path, EXTRAS), *shown]
    links: dict[str, str] = {}
    binds: list[str] = []
    for path in [*wanted, *_loaded_libraries()]:
        real = _real(path, links)
        if real is not None and not _is_below(real, binds):
            binds.append(str(real))
    hidden = [str(path) for path in _foreign_folders(library) if path.is_dir()]
    return RootPlan(tuple(binds), tuple(hidden), tuple(sorted(links.items())))


def _system_folders() -> Iterator[Path]:
    triplet = sysconfig.get_config_var("MULTIARCH") or ""
    found = [Path(name.format(triplet=triplet)) for name in LIBRARY_FOLDERS if triplet or "{" not in name]
    # A system without multiarch folders keeps its libraries in /lib and /usr/lib themselves.
    flat = [] if any(path.is_dir() and "lib64" not in path.name for path in found) else [Path("/lib"), Path("/usr/lib")]
    yield from (*found, *flat)


def _loaded_libraries() -> Iterator[Path]:
    """Libraries of this very process that stand elsewhere, such as a libpython beside its interpreter."""
    home = str(Path(sys.base_prefix).resolve())
    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as lines:
        paths = {fields[5].strip() for line in lines if len(fields := line.split(None, 5)) > 5}  # noqa: PLR2004 - the path
    yield from (
        Path(path) for path in sorted(paths) if SHARED_LIBRARY.match(path) and path.startswith(f"{home}/lib/lib")
    )


def _foreign_folders(library: Path) -> Iterator[Path]:
    yield from (library / "site-packages", library / "dist-packages")


def _real(path: Path, links: dict[str, str]) -> Path | None:
    """The real path; links on the way to it are noted, so that both names lead there. None: there is no such file."""
    if not path.exists():
        return None
    current = Path("/")
    for part in path.parts[1:]:
        current = current / part
        if current.is_symlink():
            links[str(current)] = os.readlink(current)  # noqa: PTH115 - as it is written
            return _real(Path(os.path.normpath(current.parent / links[str(current)])) / _rest(path, current), links)
    return current


def _rest(path: Path, head: Path) -> Path:
    return path.relative_to(head)


def _is_below(path: Path, folders: Iterable[str]) -> bool:
    return any(path == Path(folder) or Path(folder) in path.parents for folder in folders)
