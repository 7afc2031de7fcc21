"""The modules of a solution of several files, as the tests find them: stand-ins for what is in the other process.

Only names that the parent read from the solution's paths, and only where nothing else is found under them: the last
one to be asked. So no file of a solution takes the place of a module that the tests have.
"""

import sys
from typing import Any

from split_remote import RemoteModule

ModuleSpec: Any = sys.modules["_frozen_importlib"].ModuleSpec  # type: ignore[attr-defined]


class Modules:
    """Finds them. `parts` are their paths by name; `link` asks the solution's process."""

    def __init__(self, link: Any, parts: dict[str, str]) -> None:
        self._link = link
        self._parts = parts

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """How a module of the solution's is had; None for any other."""
        parent = name.rpartition(".")[0]
        if name not in self._parts or (parent and type(sys.modules.get(parent)) is not RemoteModule):
            return None
        path = self._parts[name]
        return ModuleSpec(name, self, origin=path or None, is_package=not path or path.endswith("/__init__.py"))

    def create_module(self, spec: Any) -> Any:
        """Have it imported there. Raises what that raises."""
        module = self._link.request("W", spec.name)
        if type(module) is not RemoteModule:
            raise ImportError(f"what the solution has as {spec.name} is no module", name=spec.name)
        return module

    def exec_module(self, _module: Any) -> None:
        """It has run, where it is."""
