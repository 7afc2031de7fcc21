"""Recipes: `configs/runs/*.yaml`, resolved from all the places that a value can come from.

Later ones win: the model's defaults, the workspace's `prismenv.yaml`, the recipe that `extends:` names (which may
extend another), the recipe itself, PRISMENV_* variables, `--set`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from prismenv.contracts.phases import PhasePlan
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.finding.benchfiles import (
    TREE_FILE,
    TreeBlock,
    check_names,
    load_experiment,
    load_phases,
    load_tree,
    unknown_name,
)
from prismenv.finding.complaints import labelled, shown
from prismenv.finding.discovery import broken_plugin, load_environments
from prismenv.finding.layers import Layer, document_layer, merge, validate_layers
from prismenv.finding.layers import where as place_of
from prismenv.finding.marker import MARKER
from prismenv.finding.overrides import set_layers, variable_layers
from prismenv.finding.workspace import WorkspaceSet, is_file
from prismenv.finding.yamlfile import YamlDocument, load_yaml
from prismenv.words.errors import ConfigurationException
from prismenv.words.masking import mask_secrets
from prismenv.words.nearness import did_you_mean

FOLDER = "configs/runs"
EXTENDS = "extends"
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")  # PyYAML writes these so that they cannot be read back
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A resolved recipe. `path` is the file it was read from, `folder` where relative files that it names are.

    `layers` are the places that its values came from; empty: nobody knows any more.
    """

    recipe: Recipe
    path: Path
    folder: Path
    layers: Sequence[Layer] = ()

    @contextmanager
    def placing(self) -> Iterator[None]:
        """What is found wrong with a value of the recipe while this lasts is told with the place of the value."""
        try:
            yield
        except ConfigurationException as error:
            if error.key and any(layer.holds(error.key) for layer in self.layers):
                begin = labelled(place_of(self.layers, error.key), error.key)
                dotted = ".".join(map(str, error.key))
                error.message = f"{begin}: {error.message.removeprefix(f'{dotted}: ')}"
                error.key = ()
            raise


def recipe_names(workspaces: WorkspaceSet) -> list[str]:
    """The recipes that can be run by name, sorted."""
    return sorted({path.stem for _, path in workspaces.files(FOLDER, "*") if path.suffix in _SUFFIXES})


def load_recipe(
    name_or_path: str, workspaces: WorkspaceSet, environ: Mapping[str, str], sets: Sequence[str] = ()
) -> LoadedRecipe:
    """The recipe of that name, or in that file, with all that is laid over it.

    The name of an environment stands for a recipe that runs it. Raises ConfigurationException that names the place of
    whatever is wrong, with the nearest right name.
    """
    path, layers = _base_layers(name_or_path, workspaces)
    return _resolved(path, layers, workspaces, environ, sets)


def bare_recipe(
    name: str, workspaces: WorkspaceSet, environ: Mapping[str, str], sets: Sequence[str] = ()
) -> LoadedRecipe:
    """What every recipe is without a file of its own: the workspace's settings, PRISMENV_* variables, `--set`."""
    layers = [Layer({"name": name}, lambda _: name)]
    return _resolved(workspaces.project_folder, layers, workspaces, environ, sets)


def _resolved(
    path: Path, layers: list[Layer], workspaces: WorkspaceSet, environ: Mapping[str, str], sets: Sequence[str]
) -> LoadedRecipe:
    if workspaces.store is not None:
        marker = workspaces.project_folder / MARKER
        layers.insert(0, Layer({"output": {"store": workspaces.store}}, lambda _: f"{marker}: store"))
    changes = set_layers(sets)
    layers += variable_layers(environ, ignore=_token_variables([*layers, *changes]))
    layers += changes
    recipe = validate_layers(Recipe, layers)
    _check_cells(recipe, layers, workspaces)
    return LoadedRecipe(recipe, path, workspaces.project_folder, layers)


def change_recipe(recipe: Recipe, sets: Sequence[str]) -> Recipe:
    """A resolved recipe with `--set` values laid over it. Raises ConfigurationException as `load_recipe` does."""
    base = Layer(recipe.model_dump(mode="json"), lambda _: f"the recipe {recipe.name}")
    return validate_layers(Recipe, [base, *set_layers(sets)])


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML that loads again to an equal recipe, but for a password in the URL of its store."""
    plain = recipe.model_dump(mode="json")
    plain["output"]["store"] = mask_secrets(plain["output"]["store"])
    readable = not _BREAKS.search(recipe.model_dump_json())
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=readable, width=100))


def resolve_cells(recipe: Recipe, workspaces: WorkspaceSet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The concepts and difficulties that the recipe measures, in their order.

    What it does not name comes from its tree, or from the workspace's `tree_configs.yaml` where it names no tree.
    """
    search = recipe.search
    if search.concepts is not None and search.difficulties is not None:
        return search.concepts, search.difficulties
    tree = load_tree(config_path(search.tree or TREE_FILE, workspaces))
    return search.concepts or tree.concepts, search.difficulties or tree.difficulties


def resolve_phases(recipe: Recipe, workspaces: WorkspaceSet) -> tuple[PhasePlan, ...]:
    """The phases of the recipe's experiment, in order. Raises ConfigurationException."""
    phases = load_phases(config_path(recipe.search.phases, workspaces))
    experiment = load_experiment(config_path(recipe.search.experiment, workspaces), phases)
    return tuple(PhasePlan(name, phases[name]) for name in experiment.phase_sequences)


def resolve_following(recipe: Recipe, workspaces: WorkspaceSet) -> tuple[PhasePlan, ...]:
    """The phases that follow the recipe's policy, in order. Raises ConfigurationException."""
    phases = load_phases(config_path(recipe.search.phases, workspaces))
    for name in recipe.search.then:
        if name not in phases:
            raise ConfigurationException(
                f"search.then: there is no phase {name!r} in the file that search.phases names; it has "
                f"{', '.join(phases)}{did_you_mean(name, phases)}",
                code="unknown_phase",
                subject=name,
            )
    return tuple(PhasePlan(name, phases[name]) for name in recipe.search.then)


def _base_layers(name_or_path: str, workspaces: WorkspaceSet) -> tuple[Path, list[Layer]]:
    path = _recipe_path(name_or_path, workspaces)
    if path is None:
        return _environment_layers(name_or_path, workspaces)
    chain = _chain(path, workspaces)
    # Names are a file's own: a recipe that extends another is not called like it.
    layers = [document_layer(document, without=(EXTENDS, "name")) for document in chain[:-1]]
    named = {"name": path.stem}
    return path, [Layer(named, lambda _: str(path)), *layers, document_layer(chain[-1], without=(EXTENDS,))]


def _recipe_path(name_or_path: str, workspaces: WorkspaceSet) -> Path | None:
    """The recipe's file; None when the name is an environment's."""
    if name_or_path.endswith(_SUFFIXES):
        path = Path(name_or_path)
        if not is_file(path):
            raise ConfigurationException(f"{path}: there is no such recipe file", code="unknown_recipe")
        return path.resolve()
    names = recipe_names(workspaces)
    if name_or_path in names:
        return workspaces.find(FOLDER, name_or_path)
    plugins = load_environments(workspaces)
    if name_or_path in environment_registry:
        return None
    if broken := broken_plugin(name_or_path, plugins):
        raise ConfigurationException(
            f"the environment {name_or_path!r} cannot be run, its plugin is broken: {broken.error}",
            code="environment_broken",
            subject=name_or_path,
        )
    environments = environment_registry.names()
    meant = did_you_mean(name_or_path, [*names, *environments])
    raise ConfigurationException(
        f"there is no recipe and no environment {name_or_path!r}{meant}",
        code="unknown_recipe",
        subject=name_or_path,
        hint=f"Recipes: {', '.join(names) or 'none'}. Environments: {', '.join(environments) or 'none'}.",
    )


def _environment_layers(name: str, workspaces: WorkspaceSet) -> tuple[Path, list[Layer]]:
    origin = environment_registry.get(name).origin
    layer = Layer({"name": name, "environment": name}, lambda _: f"the environment {name}")
    return Path(origin) if Path(origin).is_file() else workspaces.project_folder, [layer]


def _chain(path: Path, workspaces: WorkspaceSet) -> list[YamlDocument]:
    """The recipe's file and those that it extends, the farthest first."""
    documents: list[YamlDocument] = []
    current: Path | None = path
    while current is not None:
        document = _read(current)
        documents.insert(0, document)
        current = _extended(document, [known.path for known in documents], workspaces)
    return documents


def _read(path: Path) -> YamlDocument:
    document = load_yaml(path)
    if document.data is not None and not isinstance(document.data, Mapping):
        raise ConfigurationException(
            f"{document.where(())}: found {shown(document.data)}; expected a mapping: the keys of a recipe",
            subject=str(path),
        )
    return document


def _extended(document: YamlDocument, seen: Sequence[Path], workspaces: WorkspaceSet) -> Path | None:
    """The file that a recipe extends, None when it extends none. Its own name means the one that it stands before."""
    if EXTENDS not in (document.data or {}):
        return None
    name, at = document.data[EXTENDS], f"{document.where((EXTENDS,))}: {EXTENDS}"
    if not isinstance(name, str) or not name:
        raise ConfigurationException(f"{at}: found {shown(name)}; expected the name of a recipe")
    if name.endswith(_SUFFIXES):
        found = [(document.path.parent / name).resolve()]
    else:
        found = [path for _, path in workspaces.files(FOLDER, "*") if path.stem == name and path.suffix in _SUFFIXES]
    if name == document.path.stem:
        found = [path for path in found if path not in seen]
    if not found or not is_file(found[0]):
        names = [known for known in recipe_names(workspaces) if known != document.path.stem]
        raise ConfigurationException(
            f"{at}: there is no other recipe {name!r}{did_you_mean(name, names)}", code="unknown_recipe", subject=name
        )
    if found[0] in seen:
        circle = " -> ".join(path.stem for path in (*reversed(seen), found[0]))
        raise ConfigurationException(f"{at}: recipes extend each other in a circle: {circle}", code="circle")
    return found[0]


def _token_variables(layers: Sequence[Layer]) -> tuple[str, ...]:
    """The variable that holds a token is no setting, whatever it is called."""
    interface = merge(layers).get("interface")
    name = interface.get("token_variable") if isinstance(interface, Mapping) else None
    return (name,) if isinstance(name, str) else ()


def config_path(name: str, workspaces: WorkspaceSet) -> Path:
    """A file of configs by its stem, or by a path below the project folder. Raises ConfigurationException."""
    if name.endswith(_SUFFIXES) and is_file(path := workspaces.project_folder / name):
        return path
    return workspaces.find("configs", name)


def _check_cells(recipe: Recipe, layers: Sequence[Layer], workspaces: WorkspaceSet) -> None:
    search = recipe.search
    tree: TreeBlock | None = None
    if search.tree is not None:
        try:
            tree = load_tree(config_path(search.tree, workspaces))
        except ConfigurationException as error:
            if error.code != "unknown_file":
                raise
            at = place_of(layers, ("search", "tree"))
            raise ConfigurationException(
                f"{labelled(at, ('search', 'tree'))}: {error}", code="unknown_tree", subject=search.tree
            ) from error
    for key in ("concepts", "difficulties"):
        names: tuple[str, ...] | None = getattr(search, key)
        at = place_of(layers, ("search", key))
        if names is not None:
            _check_list(labelled(at, ("search", key)), names)
        for index, name in enumerate(names or ()):
            if tree is not None and name not in getattr(tree, key):
                at = place_of(layers, ("search", key, index))
                raise unknown_name(labelled(at, ("search", key)), name, getattr(tree, key))


def _check_list(label: str, names: Sequence[str]) -> None:
    if not names:
        raise ConfigurationException(f"{label}: found an empty list; expected at least one", code="empty_tree")
    try:
        check_names(label, names)
    except ValueError as error:
        raise ConfigurationException(str(error)) from error
