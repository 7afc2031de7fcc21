"""Installed plugins: packages that register through the entry point group `prismenv`, the engine's own among them.

A plugin that cannot be loaded, or offers something wrong, is kept in a list with the reason and hides no other.
"""

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from prismenv.contracts import hookspecs
from prismenv.contracts.phases import PhaseEntry
from prismenv.contracts.policy import PolicyEntry
from prismenv.contracts.transport import ProviderEntry
from prismenv.finding.entrypoints import OWN, distribution_of
from prismenv.finding.failure import explain
from prismenv.finding.folders import BUILT_IN

_Entry = TypeVar("_Entry", ProviderEntry, PolicyEntry, PhaseEntry)


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """A plugin, or one thing that it offers, that cannot be used. `origin` is its distribution."""

    name: str
    origin: str
    reason: str


@dataclass(slots=True)
class PluginSet:
    """The installed plugins. `origins` gives each plugin's distribution, `built-in` for ours."""

    manager: pluggy.PluginManager
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[PluginProblem] = field(default_factory=list)

    def refuse(self, plugin: str, origin: str, reason: str) -> None:
        """Put a problem on the list, once."""
        problem = PluginProblem(plugin, origin, reason)
        if problem not in self.problems:
            self.problems.append(problem)

    def providers(self) -> dict[str, ProviderEntry]:
        """Providers of models by name, sorted."""
        return self._entries("prismenv_providers", ProviderEntry)

    def policies(self) -> dict[str, PolicyEntry]:
        """Search policies by name, sorted."""
        return self._entries("prismenv_policies", PolicyEntry)

    def phases(self) -> dict[str, PhaseEntry]:
        """Phases of a search by name, sorted."""
        return self._entries("prismenv_phases", PhaseEntry)

    def workspaces(self) -> list[tuple[Path, str]]:
        """Folders that packages bring, each with the package's name."""
        found = []
        for plugin, origin, item in self._offers("prismenv_workspaces"):
            if isinstance(item, Path) and item.is_dir():
                found.append((item, origin))
            else:
                self.refuse(plugin, origin, f"prismenv_workspaces gave {item!r}, which is no folder")
        return found

    def environment_modules(self) -> list[tuple[str, str]]:
        """Names of modules that register environments, each with the package's name."""
        found = []
        for plugin, origin, item in self._offers("prismenv_environments"):
            if isinstance(item, str) and item:
                found.append((item, origin))
            else:
                self.refuse(plugin, origin, f"prismenv_environments gave {item!r}, which is no module's name")
        return found

    def _entries(self, hook: str, kind: type[_Entry]) -> dict[str, _Entry]:
        found: dict[str, _Entry] = {}
        for plugin, origin, item in self._offers(hook):
            if not isinstance(item, kind):
                self.refuse(plugin, origin, f"{hook} gave {item!r:.80}; expected a {kind.__name__}")
            elif item.name in found:
                first = found[item.name].origin
                self.refuse(plugin, origin, f"{hook}: {item.name!r} is there already, from {first}; rename one")
            else:
                found[item.name] = replace(item, origin=origin)
        return dict(sorted(found.items()))

    def _offers(self, hook: str) -> Iterator[tuple[str, str, Any]]:
        """Everything that plugins give for `hook`, with plugin and origin; ours first, so that nobody displaces it."""
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        for implementation in sorted(implementations, key=lambda one: self.origins.get(one.plugin_name) != BUILT_IN):
            plugin = implementation.plugin_name
            origin = self.origins.get(plugin, plugin)
            for item in self._call(hook, implementation.function, plugin, origin):
                yield plugin, origin, item

    def _call(self, hook: str, function: Callable[[], Any], plugin: str, origin: str) -> Sequence[Any]:
        try:
            given = function()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - boundary: a plugin's code may raise anything
            self.refuse(plugin, origin, f"{hook} failed: {explain(error)}")
            return ()
        if given is None:
            return ()
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            self.refuse(plugin, origin, f"{hook} gave {given!r:.80}; expected a list")
            return ()
        return list(given)


def load_plugins() -> PluginSet:
    """Load every installed plugin anew: ours first, then by distribution and name."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = PluginSet(manager)
    points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
    named = {(distribution_of(point), point.name): point for point in points}  # a path listed twice gives a point twice
    for (distribution, name), point in sorted(named.items(), key=lambda item: (item[0][0] != OWN, item[0])):
        origin = BUILT_IN if distribution == OWN else distribution
        key = name if distribution == OWN else f"{distribution}:{name}"
        _load(plugins, point, key, origin)
    return plugins


@cache
def installed() -> PluginSet:
    """The installed plugins, loaded once per process."""
    return load_plugins()


def plugin_manager() -> pluggy.PluginManager:
    """The manager of the installed plugins, for hooks that observe."""
    return installed().manager


def providers() -> dict[str, ProviderEntry]:
    """Providers of models by name, sorted."""
    return installed().providers()


def _load(plugins: PluginSet, point: importlib.metadata.EntryPoint, key: str, origin: str) -> None:
    manager = plugins.manager
    plugins.origins[key] = origin
    try:
        plugin = point.load()
        manager.register(plugin, key)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - boundary: importing a package may raise anything
        if manager.has_plugin(key):
            manager.unregister(name=key)
        plugins.refuse(key, origin, f"{point.value}: {explain(error)}")
        return
    try:
        manager.check_pending()  # a misspelt hook is silent otherwise
    except pluggy.PluginValidationError as error:
        manager.unregister(name=key)
        plugins.refuse(key, origin, f"{point.value}: {error}")
