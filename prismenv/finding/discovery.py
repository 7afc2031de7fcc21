"""Plugin files: `environments/environment_*.py` and `search_*.py` of every workspace, loaded once per process.

Theory of operation. Each folder gets a synthetic parent package, `prismenv_plugins.at_<digest of the folder>`, whose
`__path__` is the folder; a file is then imported as a submodule by `importlib.import_module`. So relative imports of
`_shared.py`, dataclasses, pickling and `inspect.getsource` work as in any package, and two workspaces may hold files of
the same name. What a file registers belongs to it: when its import fails, its registrations and every module that
came in with it from its folder are taken back, the failure is kept as its reason, and the next file is loaded.

Built-ins come first and the user's files last, so that an override finds what it overrides. After
`load_environments(workspaces)` the registries hold what these workspaces bring and what was registered by hand, and
nothing of workspaces that were loaded before: a module is imported once, its registrations come and go. A file
`environment_*.py` brings an environment, one `search_*.py` a phase or a policy; either may bring the others as well.
Phases and policies that packages offer through hooks are there before any file is loaded.
"""

import importlib
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

from prismenv.contracts.phases import NO_METHODS, PhaseRegistration
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.scoped import ScopedTable
from prismenv.contracts.searching import PolicyRegistration, phase_registry, policy_registry
from prismenv.finding.failure import explain
from prismenv.finding.folders import Workspace
from prismenv.finding.plugins import installed
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.words.errors import ConfigurationException, RegistryException

PARENT = "prismenv_plugins"
PREFIX = "environment_"
PATTERN = f"{PREFIX}*.py"
SEARCH_PATTERN = "search_*.py"
Tables = tuple[Mapping[str, Any], ...]  # one for each of _REGISTRIES
_REGISTRIES: tuple[ScopedTable[Any], ...] = (environment_registry, phase_registry, policy_registry)


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin file, or a module of an installed package, after it was loaded.

    `error` None: it is in use. Otherwise it is broken, nothing of it is registered, and `error` says why and where.
    `path` None: a module that is found by its name. `names` are the environments that it registers; `searches`: it is
    a file for phases and policies.
    """

    name: str
    path: Path | None
    origin: str
    error: str | None = None
    names: tuple[str, ...] = ()
    searches: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """Something to load. `path` None: an importable module called `name`."""

    name: str
    path: Path | None
    origin: str

    @property
    def key(self) -> str:
        return str(self.path) if self.path else self.name

    @property
    def searches(self) -> bool:
        """True for a file that is there for phases and policies."""
        return self.path is not None and self.path.match(SEARCH_PATTERN)

    @property
    def folder(self) -> Path | None:
        return self.path.parent if self.path else None

    def stamp(self) -> tuple[tuple[str, int], ...]:
        """Changes when a Python file beside it does: a broken plugin is then tried again."""
        if self.folder is None:
            return ()
        return tuple(
            sorted((path.name, path.stat().st_mtime_ns) for path in self.folder.glob("*.py") if path.is_file())
        )


@dataclass(frozen=True, slots=True)
class _Memory:
    """What loading a source did."""

    plugin: LoadedPlugin
    stamp: tuple[tuple[str, int], ...]
    registrations: Tables = ()


class _Loader:
    """Loads sources and remembers what each did. One per process, since modules are."""

    def __init__(self) -> None:
        self._memories: dict[str, _Memory] = {}
        self._lock = threading.RLock()
        self._busy = False

    def load(self, sources: list[_Source]) -> list[LoadedPlugin]:
        """Make the registry hold what these sources register, and what was registered by hand."""
        with self._lock:
            if not self._busy:  # else: a plugin asks while it is being imported
                self._busy = True
                try:
                    self._switch(sources)
                finally:
                    self._busy = False
            return [self._memories[source.key].plugin for source in sources if source.key in self._memories]

    def _switch(self, sources: list[_Source]) -> None:
        offered = _offered()
        known = [
            entry
            for tables in (offered, *(memory.registrations for memory in self._memories.values()))
            for table in tables
            for entry in table.values()
        ]
        by_hand = tuple(
            {name: entry for name, entry in registry.table().items() if not any(entry is one for one in known)}
            for registry in _REGISTRIES
        )
        brought = offered
        for source in sources:
            memory = self._memories.get(source.key)
            if memory is None or (memory.plugin.error is not None and memory.stamp != source.stamp()):
                _assume(_over(brought, by_hand))
                memory = self._memories[source.key] = _load(source)
            brought = _over(brought, memory.registrations)
        _assume(_over(brought, by_hand))


_loader = _Loader()


def discover_environments(environments_directory: str | None = None) -> list[str]:
    """The sorted stems of `environment_*.py` in a folder; None: of all workspaces' `environments/`. Imports nothing.

    Raises ConfigurationException when a folder is named that is none.
    """
    if environments_directory is None:
        return sorted({path.stem for _, path in find_workspaces().files("environments", PATTERN)})
    folder = Path(environments_directory)
    if not folder.is_dir():
        raise ConfigurationException(
            f"environments_directory: {environments_directory!r} is no folder", code="unknown_folder"
        )
    return sorted(path.stem for path in folder.glob(PATTERN) if path.is_file())


def load_environments(workspaces: WorkspaceSet) -> list[LoadedPlugin]:
    """Load every plugin of the workspaces and of installed packages; each is imported once per process.

    The answer is in the order of loading: built-ins, packages, the user's; by name within each. Nothing is raised for
    a broken plugin: it is in the list with its reason.
    """
    return _loader.load(list(_sources(workspaces)))


def broken_plugin(environment_name: str, plugins: Iterable[LoadedPlugin]) -> LoadedPlugin | None:
    """The broken plugin that the name stands for: its file's or module's, with or without `environment_`.

    None where there is none. What a broken plugin would have registered is not known, so its file's name has to do.
    """
    stems = (environment_name, f"{PREFIX}{environment_name}")
    return next((item for item in plugins if item.error and item.name.rpartition(".")[2] in stems), None)


def _sources(workspaces: WorkspaceSet) -> Iterator[_Source]:
    for workspace in reversed(workspaces.members):
        if workspace is workspaces.user:
            continue
        yield from _files(workspace)
    for module, origin in installed().environment_modules():
        yield _Source(module, None, origin)
    if workspaces.user is not None:
        yield from _files(workspaces.user)


def _files(workspace: Workspace) -> Iterator[_Source]:
    for pattern in (PATTERN, SEARCH_PATTERN):
        yield from (_Source(path.stem, path, workspace.origin) for path in workspace.files("environments", pattern))


@cache
def _offered() -> Tables:
    """What installed packages offer through hooks, the engine's own phases and policies among it."""
    phases = {
        entry.name: PhaseRegistration(entry.name, entry.cls, NO_METHODS, entry.origin, 0, entry.origin)
        for entry in installed().phases().values()
    }
    policies = {entry.name: PolicyRegistration(entry, entry.origin, 0) for entry in installed().policies().values()}
    return {}, phases, policies


def _over(tables: Tables, others: Tables) -> Tables:
    return tuple({**table, **other} for table, other in zip(tables, others, strict=True)) if others else tables


def _assume(tables: Tables) -> None:
    for registry, table in zip(_REGISTRIES, tables, strict=True):
        registry.assume(table)


def _load(source: _Source) -> _Memory:
    stamp = source.stamp()
    try:
        with _import_or_nothing(source), ExitStack() as stack:
            changes = tuple(stack.enter_context(registry.loading(source.key)) for registry in _REGISTRIES)
            module = _module_name(source)
            fresh = module not in sys.modules  # a package's module may have registered already, by hand
            importlib.invalidate_caches()
            importlib.import_module(module)
            if fresh:
                _check(source)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - boundary: a plugin's code may raise anything
        reason = explain(error, source.folder)
        broken = LoadedPlugin(source.name, source.path, source.origin, reason, searches=source.searches)
        return _Memory(broken, stamp)
    names = tuple(sorted(changes[0]))
    plugin = LoadedPlugin(source.name, source.path, source.origin, None, names, source.searches)
    return _Memory(plugin, stamp, changes)


def _check(source: _Source) -> None:
    own = [entry for entry in environment_registry.table().values() if entry.scope == source.key]
    if source.searches and not _brings_search(source):
        raise RegistryException(
            f"{source.key}: registers no phase and no search policy",
            hint='Put @policy_registry.register_policy("NAME") above a class, or register a phase with phase_registry.',
        )
    if not own and not source.searches and not (source.path is None and _brings_search(source)):
        raise RegistryException(
            f"{source.key}: registers no environment",
            hint='Put @environment_registry.register("NAME") above the class, or use register_environment_method.',
        )
    for entry in own:
        if not entry.faces():
            raise RegistryException(
                f"{entry.where}: nothing could run {entry.name!r}: it has neither execute_node, nor reset and step, "
                "nor marked functions",
                code="no_face",
                subject=entry.name,
            )


def _brings_search(source: _Source) -> bool:
    phases = (entry.scope for entry in phase_registry.table().values())
    policies = (entry.scope for entry in policy_registry.table().values())
    return source.key in (*phases, *policies)


@contextmanager
def _import_or_nothing(source: _Source) -> Iterator[None]:
    """If the body raises, the modules that came in with the source from its folder or package are gone again."""
    before = set(sys.modules)
    family = _parent(source.folder) if source.folder else source.name
    try:
        yield
    except BaseException:
        for name in [name for name in sys.modules if name not in before and f"{name}.".startswith(f"{family}.")]:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if child in vars(sys.modules.get(parent, object)):
                delattr(sys.modules[parent], child)
        raise


def _module_name(source: _Source) -> str:
    if source.folder is None:
        return source.name
    if not source.name.isidentifier():
        raise RegistryException(f"{source.path}: the file's name has to be made of letters, digits and underscores")
    return f"{_parent(source.folder)}.{source.name}"


def _parent(folder: Path) -> str:
    """The name of the synthetic package whose `__path__` is the folder; made when it is first asked for."""
    digest = blake2b(str(folder).encode(errors="surrogateescape"), digest_size=8).hexdigest()
    name = f"{PARENT}.at_{digest}"
    for package, path in ((PARENT, []), (name, [str(folder)])):
        if package not in sys.modules:
            spec = ModuleSpec(package, None, is_package=True)
            spec.submodule_search_locations = path
            sys.modules[package] = module_from_spec(spec)
    return name
