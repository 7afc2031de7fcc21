"""The judge's process runs no file as code that lies where files of the solution may lie.

Files that the solution writes where the tests work come to the judge (split_files). A suite that puts its own folder on
the search path would import them, and with them the candidate's code: as a module that it asks for, as one of the
standard library that somebody else asks for first, as a compiled file beside a module of its own, in an archive. So
modules come from the folders of the search path that were there before the suite was loaded, and from nowhere else.

An import goes on as if such a file were not there: what the library has under that name is found. Where nothing else is
found, the one who asked is told why; and what opens a file in order to run it (a loader, runpy, site) is refused. If
the tests wrote that file themselves, they cannot be split, and the run ends.
"""

import _imp
import _io
import sys
from collections.abc import Callable
from typing import Any

from split_files import exists, here, is_folder, real

MOST_SHOWN = 200
ADVICE = "files where the solution may write are not run among the tests"
NOT_AMONG = "the solution wrote it, and what it writes does not run among the tests"


def absolute(path: str) -> str:
    """A path from the root, without `.` and `..`; links in it are not followed."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{here()}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder == "/" else f"{folder}/")


class Passing:
    """Finds no module in a folder; `unfound` is told what `finder` finds there."""

    def __init__(self, unfound: dict[str, str], finder: Any) -> None:
        self._unfound = unfound
        self._finder = finder

    def find_spec(self, name: str, target: Any = None) -> Any:
        """Nothing that holds code. A folder that is no package has none; what it holds is asked for here again."""
        spec = self._finder.find_spec(name, target)
        if spec is None or spec.loader is None:
            return spec
        self._unfound[name] = spec.origin
        return None

    def invalidate_caches(self) -> None:
        """Look again."""
        self._finder.invalidate_caches()


class Imports:
    """Where modules may come from: anywhere until the guard begins, as in a process that judges in the shared mode."""

    _link: Any = None  # knows the files that came from the solution, and ends the run

    def __init__(self) -> None:
        self._own = ""
        self._roots: list[str] = []
        self._unfound: dict[str, str] = {}  # modules that were asked for, by the file that was not taken for them

    def begin(self, link: Any) -> None:
        """Guard from here on: before there is any code that the solution could have written."""
        self._own = here()
        self._roots = [absolute(entry) for entry in sys.path if type(entry) is str and entry.startswith("/")]
        self._link = link

    def end(self) -> None:
        """Guard nothing any more, as before `begin`."""
        self._own, self._link = "", None
        self._roots.clear()
        self._unfound.clear()

    def install(self) -> None:
        """Stand where modules are found and files are opened as code: once, in a process that serves many runs."""
        external: Any = sys.modules["_frozen_importlib_external"]
        kinds = external.FileFinder.path_hook(*external._get_supported_file_loaders())  # noqa: SLF001 - no public word

        def folder(entry: str) -> Any:
            if self.is_trusted(entry) or not is_folder(entry):  # an archive is opened as code: check() sees it
                raise ImportError("the next hook's")
            return Passing(self._unfound, kinds(entry))

        sys.path_hooks.insert(0, folder)
        sys.meta_path.append(self)
        sys.modules["_io"].open_code = self._checked(_io.open_code)  # type: ignore[attr-defined]
        if "io" in sys.modules:
            sys.modules["io"].open_code = _io.open_code  # type: ignore[attr-defined]
        compiled = external.SourcelessFileLoader  # reads its file in another way
        compiled.get_data = self._checked(compiled.get_data, place=1)
        create = _imp.create_dynamic

        def create_dynamic(spec: Any, *more: Any) -> Any:
            self.check(spec.origin)
            return create(spec, *more)

        _imp.create_dynamic = create_dynamic

    def is_trusted(self, path: str) -> bool:
        """Whether a file was there before the tests were."""
        if self._link is None:
            return True
        path, own = absolute(path), self._own
        return any(
            _is_below(path, root) and not (_is_below(own, root) and _is_below(path, own)) for root in self._roots
        )

    def check(self, path: str) -> None:
        """PermissionError, or the end of the run, for a file that must not run here. What is not there is let pass."""
        path = str(path)
        if self.is_trusted(path) or not exists(path):
            return
        if not self._came(path):
            self._link.end("unsplit", f"it runs the file {path[:MOST_SHOWN]}, which it wrote itself, as code: {ADVICE}")
        raise PermissionError(13, NOT_AMONG, path)

    def find_spec(self, name: str, *_: Any) -> None:
        """The last one asked for a module: nobody has it."""
        path = self._unfound.get(name)
        if path is None:
            return
        if not self._came(path):
            self._link.end("unsplit", f"it imports {name[:MOST_SHOWN]} from a file that it wrote itself: {ADVICE}")
        raise ModuleNotFoundError(f"No module named {name!r} ({path[:MOST_SHOWN]}: {NOT_AMONG})", name=name)

    def _came(self, path: str) -> bool:
        lender = self._link.lender
        return lender is not None and real(path) in lender.arrived

    def _checked(self, function: Callable[..., Any], *, place: int = 0) -> Callable[..., Any]:
        def checked(*given: Any, **named: Any) -> Any:
            self.check(given[place] if len(given) > place else named["path"])
            return function(*given, **named)

        return checked
