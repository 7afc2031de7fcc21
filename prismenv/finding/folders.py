"""One workspace with its folders, and the engine's own."""

from dataclasses import dataclass
from pathlib import Path

from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

FOLDERS = ("agents", "configs", "environments", "sandbox")
BUILT_IN = "built-in"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace. `origin` is what lists call it: `built-in`, a package's name, or the user's own name for it."""

    root: Path
    origin: str

    @property
    def built_in(self) -> bool:
        """True for the engine's own."""
        return self.origin == BUILT_IN

    def files(self, kind: str, pattern: str) -> list[Path]:
        """The files of one of its folders (`agents`, `sandbox/languages`) that match `pattern`, sorted by name.

        A pipe, or a link that leads nowhere, is among them: who reads it says what is wrong with it.
        """
        folder = self.root / folder_of(kind)
        return sorted(path for path in folder.glob(pattern) if not path.is_dir())


def builtin_workspace() -> Workspace:
    """The engine's own workspace: inside the wheel, else the checkout that the package stands in."""
    wheel = _PACKAGE / "_workspace"
    if wheel.is_dir():
        return Workspace(wheel, BUILT_IN)
    checkout = _PACKAGE.parent
    project = checkout / "pyproject.toml"
    if project.is_file() and 'name = "prismenv"' in project.read_text(encoding="utf-8"):
        return Workspace(checkout, BUILT_IN)
    raise ConfigurationException(
        f"{_PACKAGE}: the built-in workspace ({', '.join(FOLDERS)}) is missing from this installation",
        code="installation_broken",
        hint="Install prismenv again, from its wheel or with pip install --editable on a checkout.",
    )


def folder_of(kind: str) -> str:
    """`kind`, if it is a folder of a workspace or one below it; ConfigurationException with the nearest if not."""
    if kind.split("/", maxsplit=1)[0] not in FOLDERS or ".." in kind:
        raise ConfigurationException(
            f"a workspace has no folder {kind!r}{did_you_mean(kind, FOLDERS)}; it has {', '.join(FOLDERS)}",
            code="bad_name",
            subject=kind,
        )
    return kind
