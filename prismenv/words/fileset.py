"""A solution of several files, as it may be judged: checked before anything of it is written anywhere."""

import re
import sys
import unicodedata
from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from prismenv.words.mapping import FrozenModel

MOST_FILES = 100
MOST_FOLDERS = 40
MOST_BYTES = 4 * 2**20
PATH_CHARACTERS = 200
PART_BYTES = 255
MOST_PARTS = 8
SOLUTION = "solution"
ENTRIES = ("solution.py", "solution/__init__.py", "main.py")  # what an entry is called where nobody names it
STEMS = ("solution", "main", "Main")  # and in other languages, before the extension
BESIDE = (".h", ".hh", ".hpp", ".hxx", ".csv", ".ini", ".json", ".md", ".toml", ".txt", ".yaml", ".yml")  # never one
# Modules that tests get from elsewhere, if at all: what these say of a solution must not be the solution's words.
RESERVED = frozenset(
    {
        "__main__", "_pytest", "assertpy", "conftest", "ddt", "expects", "hamcrest", "hypothesis", "mock", "nose",
        "nose2", "numpy", "pandas", "parameterized", "polars", "prismenv", "pytest", "scipy", "sitecustomize",
        "sklearn", "sure", "sympy", "tests", "testtools", "torch", "usercustomize",
    }
)  # fmt: skip


class FileSet(FrozenModel):
    """A solution of several files: `files` maps relative paths (`bank/accounts.py`, with `/`) to their texts.

    `entry` is the file whose names the tests find as their own and under `solution`, in other languages than Python
    the one that is compiled or started. None: `solution.py`, `solution/__init__.py` or `main.py`, else the only module
    or package at the top; of a set without Python files `solution.*`, `main.*` or `Main.*`, else the only file at the
    top, where headers, data and texts do not count. ValueError (pydantic's) for a path that is no plain relative one,
    two that are the same file on some system, more or larger files than the MOST_* above, or no entry.
    """

    files: Mapping[str, str]
    entry: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _check_amount(self.files)
        folded: dict[str, str] = {}
        for path in self.files:
            _check_path(path)
            if other := folded.get(_folded(path)):
                raise ValueError(f"{_shown(other)} and {_shown(path)} are the same file on some systems")
            folded[_folded(path)] = path
        folders = {folder: path for path in folded for folder in _folders(path)}
        if both := sorted(folders.keys() & folded.keys()):
            raise ValueError(f"{_shown(folded[both[0]])} is a file, and a folder of {_shown(folded[folders[both[0]]])}")
        if len(folders) > MOST_FOLDERS:
            raise ValueError(f"it has {len(folders)} folders, at most {MOST_FOLDERS} are judged")
        self._check_entry()
        return self

    @property
    def main(self) -> str:
        """The path of the entry."""
        return self.entry or self._usual_entry()

    @property
    def text(self) -> str:
        """The text of the entry."""
        return self.files[self.main]

    def listing(self) -> str:
        """All of it for people and models: a fenced block for each file, with its path; the entry comes first, marked.

        `extract_files` reads it back, but for what files end with: that becomes one line end.
        """
        main = self.main
        others = [_block(path, self.files[path]) for path in sorted(self.files) if path != main]
        return "\n\n".join([_block(main, self.files[main], " entry"), *others])

    def modules(self) -> dict[str, str]:
        """The modules by their dotted names, with their paths; the empty one for a folder that only holds modules.

        A name that tests get from elsewhere is no module of a solution, whatever its files are called.
        """
        found = {name: path for name, path in self._named() if not is_reserved(name)}
        for name in list(found):
            while name := name.rpartition(".")[0]:
                found.setdefault(name, "")
        return dict(sorted(found.items()))

    def unnamed(self) -> list[str]:
        """The paths of modules that cannot be imported, because their name is one that tests get from elsewhere."""
        return sorted(path for name, path in self._named() if is_reserved(name) and path != self.main)

    def _named(self) -> list[tuple[str, str]]:
        """(name, path) of what is a module by its path; a package comes after a module of the same name."""
        found = []
        for path in self.files:
            *parts, last = path.removesuffix(".py").split("/")
            parts += [last] if last != "__init__" else []
            if path.endswith(".py") and parts and all(map(_is_name, parts)):
                found.append((".".join(parts), path))
        return sorted(found, key=lambda each: each[1].endswith("/__init__.py"))

    def _check_entry(self) -> None:
        if self.entry is not None and self.entry not in self.files:
            raise ValueError(f"the entry {_shown(self.entry)} is none of its files; there are: {_listed(self.files)}")
        if not self.main:
            usual = ENTRIES if self._is_python() else [f"{stem}.*" for stem in STEMS]
            raise ValueError(f"name its entry: none of {', '.join(usual)} is there; there are: {_listed(self.files)}")
        if self.main.endswith(BESIDE):
            raise ValueError(f"the entry {_shown(self.main)} is no program")
        own = self.modules().get(SOLUTION)
        if own is not None and own != self.main:
            path = own or f"{SOLUTION}/"
            raise ValueError(f"{path} has the name under which tests import the entry, and the entry is {self.main}")

    def _is_python(self) -> bool:
        return any(path.endswith(".py") for path in self.files)

    def _usual_entry(self) -> str:
        if not self._is_python():
            return self._usual_program()
        for path in ENTRIES:
            if path in self.files:
                return path
        top = [path for path in self.files if path.endswith(".py") and "/" not in path]
        packages = [path for path in self.files if path.endswith("/__init__.py") and path.count("/") == 1]
        return top[0] if len(top) == 1 else packages[0] if not top and len(packages) == 1 else ""

    def _usual_program(self) -> str:
        top = [path for path in self.files if "/" not in path and not path.endswith(BESIDE)]
        named = [[path for path in top if path.partition(".")[0] == stem] for stem in STEMS]
        found = next((paths for paths in named if paths), top)
        return found[0] if len(found) == 1 else ""


def _block(path: str, text: str, mark: str = "") -> str:
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    kind = "python" if path.endswith(".py") else path.rpartition(".")[2] if "." in path else ""
    return f'{fence}{kind} title="{path}"{mark}\n{text.rstrip(chr(10))}\n{fence}'


def is_reserved(name: str) -> bool:
    """Whether a module is one that the standard library or tests have, by its dotted name."""
    top = name.partition(".")[0]
    return top in RESERVED or top in sys.stdlib_module_names


def _check_amount(files: Mapping[str, str]) -> None:
    if not files:
        raise ValueError("it has no files")
    if len(files) > MOST_FILES:
        raise ValueError(f"it has {len(files)} files, at most {MOST_FILES} are judged")
    size = 0
    for path, text in files.items():
        try:
            size += len(text.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            raise ValueError(f"{_shown(path)} is no text: {error.reason}") from error
    if size > MOST_BYTES:
        raise ValueError(f"its files have {size} bytes, at most {MOST_BYTES} are judged")


def _check_path(path: str) -> None:
    """ValueError for anything but a plain relative path."""
    parts = path.split("/")
    wrong = (
        "it is empty" if not path
        else f"it is longer than {PATH_CHARACTERS} characters" if len(path) > PATH_CHARACTERS
        else "it is absolute" if path.startswith("/")
        else "it has a backslash; folders are told apart by /" if "\\" in path
        else "it has a character that is no text" if not path.isprintable()
        else "it has an empty part, or one of dots" if not all(part.strip(". ") for part in parts)
        else f"it has more than {MOST_PARTS} parts" if len(parts) > MOST_PARTS
        else "it has a part that ends with a dot or a space" if any(part[-1] in ". " for part in parts)
        else "it is not in Unicode's composed form (NFC)" if unicodedata.normalize("NFC", path) != path
        else f"it has a part of more than {PART_BYTES} bytes" if any(len(p.encode()) > PART_BYTES for p in parts)
        else ""
    )  # fmt: skip
    if wrong:
        raise ValueError(f"the path {_shown(path)} cannot be a file of a solution: {wrong}")


def _folded(path: str) -> str:
    """What two paths have in common that are the same file somewhere: there case and compatible forms are one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _is_name(part: str) -> bool:
    # The compiler reads names in the form NFKC: a module in another form could never be imported.
    return part.isidentifier() and unicodedata.normalize("NFKC", part) == part


def _shown(path: str) -> str:
    return repr(path if len(path) <= PATH_CHARACTERS else f"{path[:PATH_CHARACTERS]}...")


def _listed(files: Mapping[str, str], most: int = 8) -> str:
    names = sorted(files)
    return ", ".join(map(_shown, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")
