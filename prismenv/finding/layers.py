"""Configuration that comes from several places: merged, and every value still knows where it was written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from prismenv.finding.complaints import ABSENT, KeyPath, Label, describe, entry, labelled
from prismenv.finding.yamlfile import YamlDocument
from prismenv.words.errors import ConfigurationException

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that values come from. `where` names the place of a key path for messages."""

    data: Mapping[str, Any]
    where: Callable[[KeyPath], str]

    def holds(self, path: KeyPath) -> bool:
        """True when the layer says something at `path`."""
        here: Any = self.data
        for part in path:
            here = entry(here, part)
            if here is ABSENT:
                return False
        return True


def document_layer(document: YamlDocument, at: KeyPath = (), without: Sequence[str] = ()) -> Layer:
    """The mapping at a key path of a file, but for some of its keys, as a layer."""
    data: Any = document.data
    for part in at:
        data = data[part]
    kept = {key: value for key, value in (data or {}).items() if key not in without}
    return Layer(kept, lambda path: document.where((*at, *path)))


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """All layers in one, later ones winning: mappings key by key, anything else as a whole.

    A mapping whose `type` differs from the one before takes its place as a whole: its keys mean other things.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _over(merged, layer.data)
    return merged


def where(layers: Sequence[Layer], path: KeyPath) -> str:
    """Where the value at `path` was written: the latest layer that has it, or that has the nearest value around it."""
    for length in range(len(path), -1, -1):
        for layer in reversed(layers):
            if layer.holds(path[:length]) and (length or layer.data):
                return layer.where(path)
    return layers[-1].where(path) if layers else "configuration"


def label(layers: Sequence[Layer], above: KeyPath = ()) -> Label:
    """How a line about a value of the merged layers begins; `above` is the key path that they stand at."""
    return lambda path: labelled(where(layers, path), (*above, *path))


def validate_layers(model_cls: type[_Model], layers: Sequence[Layer]) -> _Model:
    """The merged layers as a model. Raises ConfigurationException that names the place of each wrong value."""
    data = merge(layers)
    try:
        return model_cls.model_validate(data)
    except ValidationError as error:
        raise ConfigurationException(describe(error, model_cls, data, label(layers))) from error


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not _other_type(before, value):
            merged[key] = _over(before, value)
        else:
            merged[key] = value
    return merged


def _other_type(before: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "type" in value and "type" in before and before["type"] != value["type"]
