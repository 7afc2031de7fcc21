"""Sets of installed packages that solutions and suites may import, found without importing any of them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from prismenv.words.errors import ConfigurationException

INSIDE = "/packages"  # where a private root shows them
# Threads do not survive the fork of a run, and a run is counted by what it uses: libraries compute in one.
ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(?:;(.*))?")
IMPORTABLE = re.compile(r"([A-Za-z]\w*)(?:\.py|\.[\w.-]+\.so|\.so)")
COMPANIONS = {"numpy": ("numpy.testing",)}  # what suites use of a package, slow to import when it is not warm


@dataclass(frozen=True, slots=True)
class PackageSet:
    """What is found: `modules` are imported by a warm zygote, `entries` are the files and folders that are shown."""

    modules: tuple[str, ...] = ()
    entries: tuple[Path, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """What can be imported of it, at the top."""
        return frozenset(entry.name.partition(".")[0] for entry in self.entries)

    def lay_out(self, folder: Path) -> None:
        """Make `folder`, with a link to each entry: a place on the module search path that shows no other package."""
        folder.mkdir()
        folder.chmod(0o755)  # for the users of runs, whatever the caller's umask
        for entry in self.entries:
            (folder / entry.name).symlink_to(entry)


def find_packages(names: Sequence[str]) -> PackageSet:
    """Packages by the names under which they are installed, with all that they require.

    ConfigurationException names those that are not installed beside prismenv, or not as files of their own.
    """
    missing = [name for name in names if _installed(name) is None]
    if missing:
        raise _not_installed(missing)
    modules: dict[str, None] = {}
    entries: dict[str, Path] = {}
    for name in _with_requirements(names):
        found = _entries(name)
        entries |= {entry.name: entry for entry in found}
        if name in names:
            own = [module for entry in found for module in _modules(entry)]
            if not own:
                message = f"the package {name} has no modules of its own that could be shown in a sandbox"
                raise ConfigurationException(message, subject=name, hint=f"Install it without --editable: {name}")
            modules |= dict.fromkeys([*own, *(each for module in own for each in COMPANIONS.get(module, ()))])
    return PackageSet(tuple(modules), tuple(entries.values()))


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):  # ValueError: an empty name
        return None


def _not_installed(missing: list[str]) -> ConfigurationException:
    known = packages_distributions()
    hints = [f"the module {name} comes with {' or '.join(known[name])}" for name in missing if name in known]
    command = f"pip install {' '.join(missing)}"
    return ConfigurationException(
        f"sandbox.packages: not installed where prismenv runs: {', '.join(missing)}",
        subject="packages",
        hint=f"Name packages as pip does: {'; '.join(hints)}." if hints else f"Install what is missing: {command}",
    )


def _with_requirements(names: Sequence[str]) -> list[str]:
    """The names and, recursively, what they require; what is not installed was not required on this machine."""
    found: dict[str, None] = dict.fromkeys(names)
    waiting = list(names)
    while waiting:
        package = _installed(waiting.pop())
        for requirement in (package and package.requires) or ():
            match = REQUIREMENT.match(requirement)
            if match is None or "extra" in (match[2] or ""):
                continue
            name = match[1].lower().replace("_", "-")
            if name not in found and _installed(name) is not None:
                found[name] = None
                waiting.append(name)
    return list(found)


def _entries(name: str) -> list[Path]:
    """The files and folders of a package that stand at the top of its site-packages."""
    package = distribution(name)
    tops = dict.fromkeys(file.parts[0] for file in package.files or ())
    paths = [Path(str(package.locate_file(top))).resolve() for top in tops if top not in ("..", "__pycache__")]
    return [path for path in paths if path.exists() and path.suffix != ".pth"]


def _modules(entry: Path) -> Iterator[str]:
    if entry.is_dir():
        if (entry / "__init__.py").is_file() and not entry.name.startswith("_"):
            yield entry.name
    elif match := IMPORTABLE.fullmatch(entry.name):
        yield match[1]
