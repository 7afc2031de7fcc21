"""Puts `random` away in a zygote, until somebody asks for it.

That module gives itself a new seed in every process that is forked, whether anybody uses it there or not: forty pages
of each child. So it is loaded, and then taken out of the loaded modules. Who imports it gets the same module, seeded
anew at that moment. In a zygote whose packages have imported it, it does what it always does.
"""

import os
import posix
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "random"


class Seeds:
    """Finds and loads the module that was put away."""

    def __init__(self) -> None:
        """Load the module and put it away; nothing where it is loaded already."""
        self._hooks: list[Callable[[], Any]] = []
        self._module: ModuleType | None = None
        if NAME in sys.modules or not hasattr(os, "register_at_fork"):
            return
        register = os.register_at_fork
        os.register_at_fork = lambda *, after_in_child: self._hooks.append(after_in_child)  # type: ignore[assignment]
        try:
            __import__(NAME)
        finally:
            os.register_at_fork = register
        self._module = sys.modules.pop(NAME)
        self._spec = self._module.__spec__
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Its specification, once."""
        if name != NAME or self._module is None:
            return None
        return type(self._spec)(NAME, self)

    def create_module(self, _spec: Any) -> ModuleType | None:
        """The module as it was."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Give it a seed."""
        module.__spec__ = self._spec
        module.__loader__ = self._spec.loader
        self._leave()
        for seed in self._hooks:
            seed()

    def settle(self) -> None:
        """The zygote has all that it will have: if the module is in use, its children have to seed it."""
        if NAME in sys.modules and self._hooks:
            for seed in self._hooks:
                posix.register_at_fork(after_in_child=seed)

    def _leave(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
