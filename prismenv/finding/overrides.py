"""Values for a recipe from outside its files: PRISMENV_* variables and `--set key.path=value`.

A variable's name is the key path in capitals, one level down with two underscores: PRISMENV_SEED=3,
PRISMENV_CONCURRENCY__NODES=2, PRISMENV_MODELS__DEFAULT=simulated/weak. Values are YAML: numbers, true, [a, b], {k: v};
where the key takes text, the value is that text as it is. A list of texts may be written `a,b` too.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from prismenv.contracts.recipe import Recipe
from prismenv.finding.complaints import KeyPath, field_names
from prismenv.finding.layers import Layer
from prismenv.finding.variables import LOG_VARIABLE, RESERVED, STORE_VARIABLE, WORKSPACE_VARIABLE
from prismenv.finding.yamltext import parse_yaml
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

PREFIX = "PRISMENV_"


def variable_layers(environ: Mapping[str, str], ignore: Sequence[str] = ()) -> list[Layer]:
    """A layer for each PRISMENV_* variable, sorted by name.

    `ignore` names variables that mean something else, such as the one that holds a token. Raises
    ConfigurationException for a variable that names no key, with the nearest one that does.
    """
    layers = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in (WORKSPACE_VARIABLE, LOG_VARIABLE, *ignore):
            continue
        keys = ("output", "store") if name == STORE_VARIABLE else tuple(name.removeprefix(PREFIX).lower().split("__"))
        layers.append(_layer(keys, environ[name], name, _variables()))
    return layers


def set_layers(sets: Sequence[str]) -> list[Layer]:
    """A layer for each `key.path=value`, in the order given. Raises ConfigurationException for anything else."""
    layers = []
    for text in sets:
        path, equals, value = text.partition("=")
        keys = tuple(path.strip().split("."))
        if not equals or not all(keys):
            raise ConfigurationException(
                f"--set {text!r}: expected key.path=value, such as search.repeats=3", code="bad_set", subject=text
            )
        layers.append(_layer(keys, value, f"--set {path.strip()}", _paths()))
    return layers


def _layer(keys: tuple[str, ...], text: str, source: str, known: Sequence[str]) -> Layer:
    annotation = _annotation(keys, source, known)
    value: Any = _value(annotation, text, source)
    for key in reversed(keys):
        value = {key: value}
    return Layer(value, partial(_named, source))


def _named(source: str, path: KeyPath) -> str:  # noqa: ARG001 - the source is one value, whatever the path
    return source


def _annotation(keys: tuple[str, ...], source: str, known: Sequence[str]) -> Any:
    """What the key path takes. Raises ConfigurationException when there is no such key."""
    annotation: Any = Recipe
    for position, key in enumerate(keys):
        models = list(_models(annotation))
        if models:
            fields = [model.model_fields[key] for model in models if key in model.model_fields]
            if not fields:
                allowed = sorted({name for model in models for name in field_names(model)})
                at = f" below {'.'.join(keys[:position])}" if position else ""
                raise ConfigurationException(
                    f"{source}: there is no key {key!r}{at}{did_you_mean(source.removeprefix('--set '), known)}",
                    code="unknown_key",
                    subject=source,
                    hint=f"Keys{at}: {', '.join(allowed)}",
                )
            annotation = fields[0].annotation
        elif (mapping := _mapping(annotation)) is not None:
            annotation = mapping
        else:
            raise ConfigurationException(
                f"{source}: {'.'.join(keys[:position])} has no keys below it; set it as a whole",
                code="unknown_key",
                subject=source,
            )
    return annotation


def _value(annotation: Any, text: str, source: str) -> Any:
    """The value that `text` stands for, where a key takes `annotation`."""
    members = {part for part in get_args(annotation) if part is not NoneType} or {annotation}
    parsed: Any = None
    if members != {str}:
        parsed, _ = parse_yaml(text, source)
        if isinstance(parsed, str) and all(get_origin(member) is tuple for member in _plain(annotation)):
            return [part.strip() for part in parsed.split(",")]
        return parsed
    if text.strip() in ("null", "~", "") and NoneType in get_args(annotation):
        return None
    return text


def _plain(annotation: Any) -> list[Any]:
    """The members of an optional annotation but for None; else the annotation itself."""
    if get_origin(annotation) is tuple:
        return [annotation]
    return [part for part in get_args(annotation) if part is not NoneType] or [annotation]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
    elif get_origin(annotation) not in (dict, tuple, list):
        for part in get_args(annotation):
            yield from _models(part)


def _mapping(annotation: Any) -> Any:
    """What a mapping's values are, None for what is no mapping. Anything may be below Any."""
    if annotation is Any:
        return Any
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is dict:
            return get_args(part)[1]
    return None


def _paths(model: type[BaseModel] = Recipe, above: str = "") -> list[str]:
    """All key paths of a recipe, for near misses."""
    found = []
    for name, info in model.model_fields.items():
        found.append(f"{above}{name}")
        for inner in _models(info.annotation):
            found.extend(_paths(inner, f"{above}{name}."))
    return found


def _variables() -> list[str]:
    return [*RESERVED, *(PREFIX + path.upper().replace(".", "__") for path in _paths())]
