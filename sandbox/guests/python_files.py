"""The files of a solution of several, in the process that runs it: in its folder, and as modules.

Modules are found by the names that the parent read from their paths, before the search path is: nothing of the folder
is on that, so that a file which the solution writes later is no module. A module keeps its path as it was given, so
that a traceback says the same in every folder.
"""

import builtins
import sys
from types import ModuleType
from typing import Any

from guest_process import write_file

External: Any = sys.modules["_frozen_importlib_external"]
ModuleSpec: Any = sys.modules["_frozen_importlib"].ModuleSpec  # type: ignore[attr-defined]


class Loader:
    """Loads one module from what the parent sent. `prepared` is the module to load it into, None: a new one."""

    def __init__(self, name: str, path: str, content: bytes, prepared: ModuleType | None = None) -> None:
        self.name = name
        self.path = path
        self._content = content
        self._prepared = prepared

    def create_module(self, _spec: Any) -> ModuleType | None:
        """The prepared one; None: the import system makes one."""
        return self._prepared

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        module.__dict__["__builtins__"] = builtins  # the real ones: the harness itself reads a copy
        exec(compile(self._content, self.path, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, _name: str) -> str:
        """Its text, for inspect and linecache."""
        return str(External.decode_source(self._content))

    def is_package(self, _name: str) -> bool:
        """Whether it has modules of its own."""
        return self.path.endswith("/__init__.py")

    def get_data(self, path: str) -> bytes:
        """A file beside it, for pkgutil."""
        with External._io.FileIO(path, "r") as file:  # noqa: SLF001 - as its own loaders read
            return bytes(file.read())

    def get_resource_reader(self, _name: str) -> Any:
        """What importlib.resources reads the files beside it by."""
        from importlib.readers import FileReader  # noqa: PLC0415 - only who asks pays

        return FileReader(self)  # type: ignore[arg-type]


class Files:
    """The files of one run: `files` by path with their texts, `parts` the modules' paths by name, `entry` a path."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.contents = {path: text.encode("utf-8", "surrogateescape") for path, text in payload["files"].items()}
        self._parts: dict[str, str] = payload["parts"]
        self._entry: str = payload["entry"]
        self._main: ModuleType | None = None
        self.sources: dict[str, str] = {path: text for path, text in payload["files"].items() if path.endswith(".py")}

    def load(self, main: ModuleType) -> None:
        """Lay them out in the current folder, and run the entry as the module `main`; whatever it raises is raised."""
        for path, content in self.contents.items():
            write_file(path, content)
        self._main = main
        sys.modules["solution"] = main
        sys.meta_path.insert(0, self)
        name = next((name for name, path in self._parts.items() if path == self._entry), None)
        main.__file__ = self._entry
        if name is not None and name != "solution":
            __import__(name)
            return
        loader = Loader("solution", self._entry, self.contents[self._entry], main)
        main.__loader__ = loader  # type: ignore[assignment]
        if name is not None and loader.is_package(name):
            main.__package__, main.__path__ = name, [self._entry.rpartition("/")[0]]
        loader.exec_module(main)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """How a module of the files is loaded; None for any other."""
        path = self._parts.get(name)
        if path is None:
            return None
        if not path:  # a folder without __init__.py
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [name.replace(".", "/")]
            return spec
        prepared = self._main if path == self._entry else None
        loader = Loader(name, path, self.contents[path], prepared)
        spec = ModuleSpec(name, loader, origin=path, is_package=loader.is_package(name))
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(path.rpartition("/")[0])
        return spec


class Stubs:
    """Answers for any module that neither the library nor the tests' own packages have: to be asked last."""

    def __init__(self, stub: ModuleType, reserved: list[str]) -> None:
        self._stub = stub
        self._reserved = frozenset(reserved)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """How to get it; None for a module that no solution can bring."""
        top = name.partition(".")[0]
        return None if top in sys.stdlib_module_names or top in self._reserved else ModuleSpec(name, self)

    def create_module(self, spec: Any) -> ModuleType:
        """One that has every name."""
        module = ModuleType(spec.name)
        module.__dict__.update(__path__=[], __getattr__=lambda name: getattr(self._stub, name))
        return module

    def exec_module(self, _module: ModuleType) -> None:
        """There is nothing to run."""


def offer_stubs(stub: ModuleType, reserved: list[str]) -> None:
    """Let a suite that is looked at without its solution import what only that could have brought."""
    stub.__path__ = []
    sys.meta_path.append(Stubs(stub, reserved))
