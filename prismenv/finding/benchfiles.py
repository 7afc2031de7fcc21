"""The files that PrismBench's services read: environments, tree, phases, experiment. Theirs load as they are.

Keys that these models do not know are kept where PrismBench keeps them (environments and phases have own ones), but one
that looks like a slip of a known key is an error.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from prismenv.contracts.phases import PhaseBlock, PhaseParams, ScoringParams, SearchParams
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.finding.complaints import Label, describe, field_names, shown
from prismenv.finding.layers import Layer, document_layer, label, merge
from prismenv.finding.workspace import WorkspaceSet
from prismenv.finding.yamlfile import YamlDocument, load_yaml, validate
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel, MappingModel
from prismenv.words.nearness import SLIP_CUTOFF, did_you_mean, nearest

ENVIRONMENT_FILE = "environment_config"
TREE_FILE = "tree_configs"
PHASE_FILE = "phase_configs"
EXPERIMENT_FILE = "experiment_configs"


class TreeBlock(FrozenModel):
    """Concepts and difficulties, the easiest first. Each at least one, none twice."""

    concepts: tuple[str, ...] = Field(min_length=1)  # what is measured
    difficulties: tuple[str, ...] = Field(min_length=1)  # the easiest first

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        for key in ("concepts", "difficulties"):
            check_names(key, getattr(self, key))
        return self


class TreeFile(FrozenModel):
    """`tree_configs.yaml`."""

    tree_configs: TreeBlock  # the tree


class ExperimentFile(MappingModel):
    """`experiment_configs.yaml`: which phases run, in which order."""

    name: str = "default"  # of the experiment
    description: str = ""  # for readers
    version: str | int | float | None = None  # for readers
    phase_sequences: tuple[str, ...] = Field(min_length=1)  # names of phases in phase_configs.yaml, in order


# Where PrismBench's three phases differ from the defaults; phases of other names take the defaults.
_PHASE_DEFAULTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "phase_2": {
        "phase_params": {
            "max_depth": 10,
            "value_delta_threshold": 0.2,
            "convergence_checks": 5,
            "exploration_probability": 0.2,
        },
        "search_params": {"learning_rate": 1},
    },
    "phase_3": {
        "phase_params": {
            "max_depth": 12,
            "value_delta_threshold": 0.2,
            "convergence_checks": 5,
            "exploration_probability": 0.2,
        },
        "search_params": {"learning_rate": 1},
        "environment": {"name": "environment_enhanced_coding_challenge"},
    },
}


_PHASE_PARTS: Mapping[str, type[BaseModel]] = {
    "phase_params": PhaseParams,
    "search_params": SearchParams,
    "scoring_params": ScoringParams,
}


def load_tree(path: Path) -> TreeBlock:
    """The tree of concepts and difficulties in a file. Raises ConfigurationException."""
    return validate(TreeFile, load_yaml(path)).tree_configs


def load_phases(path: Path) -> dict[str, PhaseBlock]:
    """The phases of a file by name; a phase's missing keys have that phase's own defaults."""
    document = load_yaml(path)
    phases = {}
    for name in _blocks(document):
        given = document.data[name] or {}
        phases[name] = validate(PhaseBlock, document, _with_defaults(name, given), (name,))
        _refuse_slips(given, field_names(PhaseBlock), document.label_below((name,)))
        for key, part in _PHASE_PARTS.items():
            _refuse_slips(given.get(key) or {}, field_names(part), document.label_below((name, key)))
    return phases


def load_experiment(path: Path, phases: Iterable[str] | None = None) -> ExperimentFile:
    """The experiment of a file; with `phases`, a phase that is not among them is an error with the nearest name."""
    document = load_yaml(path)
    experiment = validate(ExperimentFile, document)
    _refuse_slips(document.data, field_names(ExperimentFile), document.label_below(()))
    known = None if phases is None else sorted(phases)
    for index, name in enumerate(experiment.phase_sequences):
        if known is not None and name not in known:
            raise unknown_name(document.label_below(())(("phase_sequences", index)), name, known)
    return experiment


def load_environment_file(path: Path, environments: Iterable[str] | None = None) -> dict[str, Mapping[str, Any]]:
    """The blocks of one `environment_config.yaml`, each checked as far as it is known what it may hold.

    With `environments`, blocks of others are an error that names each with its nearest name.
    """
    document = load_yaml(path)
    if environments is not None:
        known = sorted(environments)
        unknown = [name for name in _blocks(document) if name not in known]
        if unknown:
            lines = [
                f"{document.where((name,))}: there is no environment {name!r}{did_you_mean(str(name), known)}"
                for name in unknown
            ]
            raise ConfigurationException("\n".join(lines), code="unknown_environment", subject=str(unknown[0]))
    return {name: _checked_block(name, [document_layer(document, (name,))]) for name in _blocks(document)}


def environment_block(workspaces: WorkspaceSet, name: str) -> Mapping[str, Any]:
    """What the workspaces' `environment_config.yaml` say of one environment; empty where none speaks of it.

    Keys of the user's block win over those of packages and of the built-in one. Blocks of other environments are not
    looked at, but for one of an unknown environment that is a slip of this one's name.
    """
    documents = [
        (workspace is workspaces.user, load_yaml(path))
        for workspace in reversed(workspaces.members)
        for path in workspace.files("configs", f"{ENVIRONMENT_FILE}.y*ml")
    ]
    known = {name, *environment_registry.names()}
    known |= {str(block) for by_user, document in documents if not by_user for block in _blocks(document)}
    for by_user, document in documents:
        if by_user:
            _refuse_slip_of(name, document, known)
    layers = [document_layer(document, (name,)) for _, document in documents if name in _blocks(document)]
    return _checked_block(name, layers)


def _refuse_slip_of(name: str, document: YamlDocument, known: set[str]) -> None:
    for block in map(str, _blocks(document)):
        if block not in known and nearest(block, [name], cutoff=SLIP_CUTOFF):
            message = f"{document.where((block,))}: there is no environment {block!r}{did_you_mean(block, [name])}"
            raise ConfigurationException(message, code="unknown_environment", subject=block)


def check_names(key: str, names: Iterable[str]) -> None:
    """ValueError when a name is empty or stands twice."""
    seen: set[str] = set()
    for name in names:
        if not name.strip():
            raise ValueError(f"{key}: an empty name")
        if name in seen:
            raise ValueError(f"{key}: {name!r} stands twice")
        seen.add(name)


def unknown_name(label: str, name: str, known: Iterable[str]) -> ConfigurationException:
    """The error for a name that is not among the known ones; `label` is where it stands and its key."""
    known = list(known)
    close = nearest(name, known)
    return ConfigurationException(
        f"{label}: found {name!r}; expected one of {', '.join(known)}"
        + (f"; did you mean {close!r}?" if close else ""),
        subject=name,
    )


def _checked_block(name: str, layers: Sequence[Layer]) -> Mapping[str, Any]:
    """The merged block. A key that is missing may still come from a recipe, so only what is there is checked."""
    block = merge(layers)
    model = EnvironmentConfig
    if name in environment_registry:
        model = environment_registry.get(name).config or EnvironmentConfig
    try:
        model.model_validate(block)
    except ValidationError as error:
        wrong = describe(error, model, block, label(layers, (name,)), partial=True)
        if wrong:
            raise ConfigurationException(wrong, subject=name) from error
    if model.model_config.get("extra") == "allow":
        _refuse_slips(block, field_names(model), label(layers, (name,)))
    return block


def _blocks(document: YamlDocument) -> Mapping[str, Any]:
    if document.data is None:
        return {}
    if not isinstance(document.data, Mapping):
        raise ConfigurationException(
            f"{document.where(())}: expected a mapping of names to blocks", subject=str(document.path)
        )
    for name, block in document.data.items():
        if block is not None and not isinstance(block, Mapping):
            raise ConfigurationException(
                f"{document.where((name,))}: {name}: found {shown(block)}; expected a mapping of keys to values",
                subject=str(document.path),
            )
    return document.data


def _with_defaults(name: str, block: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(block)
    for key, defaults in _PHASE_DEFAULTS.get(name, {}).items():
        given = merged.get(key)
        if given is None or isinstance(given, Mapping):
            merged[key] = {**defaults, **(given or {})}
    return merged


def _refuse_slips(block: Mapping[str, Any], known: Iterable[str], begin: Label) -> None:
    """ConfigurationException for an unknown key that looks like a slip of a known one."""
    names = list(known)
    for key in block:
        close = None if key in names else nearest(key, names, cutoff=SLIP_CUTOFF)
        if close is not None:
            raise ConfigurationException(
                f"{begin((key,))}: unknown key; did you mean {close!r}?", code="slip_of_a_key", subject=key
            )
