"""Everything that can be named, where it comes from, and what is broken: what `prismenv list` and doctor show."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from prismenv.contracts.registry import Registration, environment_registry
from prismenv.contracts.searching import phase_registry, policy_registry
from prismenv.finding.benchfiles import (
    ENVIRONMENT_FILE,
    EXPERIMENT_FILE,
    PHASE_FILE,
    TREE_FILE,
    load_environment_file,
    load_experiment,
    load_phases,
    load_tree,
)
from prismenv.finding.discovery import LoadedPlugin, broken_plugin, load_environments
from prismenv.finding.folders import Workspace
from prismenv.finding.plugins import installed
from prismenv.finding.recipes import FOLDER as RECIPES
from prismenv.finding.recipes import load_recipe
from prismenv.finding.workspace import YAML_FILES, WorkspaceSet
from prismenv.finding.yamlfile import load_yaml
from prismenv.words.errors import ConfigurationException, RegistryException
from prismenv.words.nearness import nearest

Reader = Callable[[Path], object]
BY_HAND = "registered by hand"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One thing. `error` None: it can be used. `path` None: it stands in no file of a workspace.

    `faces` are an environment's, empty for everything else; `summary` is one line, empty where there is none.
    `replaces` is the origin of a file of the same name that this one stands before, None: of none.
    """

    kind: str
    name: str
    origin: str
    path: str | None = None
    faces: tuple[str, ...] = ()
    error: str | None = None
    summary: str = ""
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All entries, by kind and then by name. A file that another one stands before is not among them."""

    entries: tuple[CatalogEntry, ...]

    def of(self, kind: str) -> list[CatalogEntry]:
        """The entries of one kind: environment, agent, language, provider, policy, phase, recipe, config, plugin."""
        return [entry for entry in self.entries if entry.kind == kind]


def list_catalog(workspaces: WorkspaceSet, readers: Mapping[str, Reader] | None = None) -> Catalog:
    """Load and read everything that the workspaces and installed packages bring. A broken thing is an entry too.

    `readers` read the files of kinds whose models stand above this layer (`agent`, `language`); without one, a file is
    only checked to be YAML.
    """
    given = readers or {}
    files = [
        *_files(workspaces, "agent", "agents", given.get("agent", load_yaml)),
        *_files(workspaces, "language", "sandbox/languages", given.get("language", load_yaml)),
    ]
    entries = [
        *_environments(workspaces),
        *files,
        *_offered(),
        *_searches(workspaces),
        *_files(workspaces, "recipe", RECIPES, lambda path: _recipe_summary(path, workspaces)),
        *_configs(workspaces),
        *(CatalogEntry("plugin", item.name, item.origin, error=item.reason) for item in installed().problems),
    ]
    return Catalog(tuple(entries))


def _environments(workspaces: WorkspaceSet) -> list[CatalogEntry]:
    plugins = load_environments(workspaces)
    by_scope = {str(plugin.path or plugin.name): plugin for plugin in plugins}
    table = environment_registry.table().values()
    sound = [_environment(entry, by_scope.get(entry.scope), plugins) for entry in table]
    broken = [
        CatalogEntry("environment", plugin.name, plugin.origin, str(plugin.path or plugin.name), error=plugin.error)
        for plugin in plugins
        if plugin.error is not None and not plugin.searches
    ]
    return sorted([*sound, *broken], key=lambda entry: (entry.name, entry.origin))


def _environment(entry: Registration, plugin: LoadedPlugin | None, plugins: Sequence[LoadedPlugin]) -> CatalogEntry:
    described = entry.cls if entry.cls is not None else entry.methods.get("execute_node")
    own = vars(described).get("__doc__") if inspect.isclass(described) else getattr(described, "__doc__", None)
    origin = plugin.origin if plugin else BY_HAND
    before = plugins[: plugins.index(plugin)] if plugin in plugins else plugins
    replaced = next((item.origin for item in reversed(before) if entry.overrides and entry.name in item.names), None)
    summary = _first_line(own or "")
    return CatalogEntry("environment", entry.name, origin, entry.origin, entry.faces(), None, summary, replaced)


def _offered() -> Iterator[CatalogEntry]:
    plugins = installed()
    for provider in plugins.providers().values():
        yield CatalogEntry("provider", provider.name, provider.origin, summary=provider.summary)


def _searches(workspaces: WorkspaceSet) -> Iterator[CatalogEntry]:
    """Policies, phases, and files for them that are broken."""
    plugins = load_environments(workspaces)
    by_scope = {str(plugin.path or plugin.name): plugin for plugin in plugins}
    for _, policy in sorted(policy_registry.table().items()):
        plugin = by_scope.get(policy.scope)
        origin = plugin.origin if plugin else BY_HAND if policy.line else policy.origin
        path = policy.origin if policy.line else None
        yield CatalogEntry("policy", policy.name, origin, path, summary=policy.entry.summary)
    for _, phase in sorted(phase_registry.table().items()):
        plugin = by_scope.get(phase.scope)
        origin = plugin.origin if plugin else BY_HAND if phase.line else phase.origin
        path = phase.origin if phase.line else None
        yield CatalogEntry(
            "phase", phase.name, origin, path, summary=_first_line(phase.cls.__doc__ or "") if phase.cls else ""
        )
    for plugin in plugins:
        if plugin.searches and plugin.error is not None:
            yield CatalogEntry("plugin", plugin.name, plugin.origin, str(plugin.path), error=plugin.error)


def _files(workspaces: WorkspaceSet, kind: str, folder: str, read: Reader) -> list[CatalogEntry]:
    """The YAML files of a folder, by name; of two of the same name the one that stands before."""
    found: dict[str, CatalogEntry] = {}
    for workspace, path in workspaces.files(folder, YAML_FILES):
        if path.stem not in found:
            found[path.stem] = _read(kind, workspace, path, read)
        else:
            found[path.stem] = _before(found[path.stem], workspace)
    return [found[name] for name in sorted(found)]


def _before(entry: CatalogEntry, workspace: Workspace) -> CatalogEntry:
    """The entry, which takes the place of the workspace's file of the same name."""
    own = entry.origin == workspace.origin  # its twin with the other suffix
    return entry if own else replace(entry, replaces=workspace.origin)


def _read(kind: str, workspace: Workspace, path: Path, read: Reader) -> CatalogEntry:
    try:
        result = read(path)
    except (ConfigurationException, RegistryException) as error:
        return CatalogEntry(kind, path.stem, workspace.origin, str(path), error=str(error))
    summary = result if isinstance(result, str) else ""
    return CatalogEntry(kind, path.stem, workspace.origin, str(path), summary=_first_line(summary))


def _recipe_summary(path: Path, workspaces: WorkspaceSet) -> str:
    recipe = load_recipe(str(path), workspaces, {}).recipe
    environment_registry.get(recipe.environment)
    return recipe.description


def _configs(workspaces: WorkspaceSet) -> list[CatalogEntry]:
    """The configuration files; each is checked by itself, phases of an experiment with their file.

    One with a name of its own is a tree, for a recipe's `search.tree` to name, if it says so.
    """
    readers: dict[str, Reader] = {
        ENVIRONMENT_FILE: load_environment_file,
        TREE_FILE: load_tree,
        PHASE_FILE: load_phases,
        EXPERIMENT_FILE: lambda path: load_experiment(path, load_phases(workspaces.find("configs", PHASE_FILE))),
    }
    files = workspaces.files("configs", YAML_FILES)
    first: dict[str, int] = {}
    entries: list[CatalogEntry] = []
    for workspace, path in files:
        at = first.setdefault(path.stem, len(entries))
        if at < len(entries) and path.stem != ENVIRONMENT_FILE:  # whose blocks are merged
            entries[at] = _before(entries[at], workspace)
        user_blocks = workspace is workspaces.user and path.stem == ENVIRONMENT_FILE
        reader = partial(_read_blocks, workspaces) if user_blocks else readers.get(path.stem, _read_tree)
        entries.append(_read("config", workspace, path, reader))
    return entries


def _read_blocks(workspaces: WorkspaceSet, path: Path) -> None:
    """Check the user's blocks, and that what each speaks of is there or is at least a broken plugin."""
    blocks, plugins = load_environment_file(path), load_environments(workspaces)
    broken = [name for name in blocks if broken_plugin(name, plugins)]
    load_environment_file(path, [*environment_registry.names(), *broken])


def _read_tree(path: Path) -> str:
    """Check a tree; of anything else, that it is YAML. Gives what it is."""
    data = load_yaml(path).data
    if not isinstance(data, Mapping) or not any(nearest(str(key), [TREE_FILE]) for key in data):
        return ""
    tree = load_tree(path)
    concepts = _counted(tree.concepts, "concept", "concepts")
    return f"a tree of {concepts} and {_counted(tree.difficulties, 'difficulty', 'difficulties')}"


def _counted(things: Sequence[object], one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else ""
