"""An environment's configuration, from whatever it was given."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from prismenv.contracts.settings import EnvironmentConfig
from prismenv.words.errors import ConfigurationException
from prismenv.words.jsonkind import json_kind
from prismenv.words.nearness import SLIP_CUTOFF, did_you_mean


def build_config(
    given: Mapping[str, Any] | EnvironmentConfig, model: type[EnvironmentConfig], environment_name: str
) -> EnvironmentConfig:
    """The validated configuration; a ready one is taken as it is.

    ConfigurationException names the key, what was found, what is allowed, and the known key that a slip is near to.
    """
    if isinstance(given, model):
        return given
    fields = dict(given.items())
    refuse_slips(fields, model, environment_name)
    try:
        return model(**fields)
    except ValidationError as error:
        lines = [_line(environment_name, model, dict(item)) for item in error.errors()]
        first = error.errors()[0]["loc"]
        raise ConfigurationException("\n".join(lines), subject=environment_name).at("config", *first) from error


def refuse_slips(fields: Iterable[str], model: type[EnvironmentConfig], environment_name: str) -> None:
    """ConfigurationException for a key that is none of the model's, but very like one of them."""
    for key in fields:
        if key not in model.model_fields:
            slip = did_you_mean(str(key), model.model_fields, cutoff=SLIP_CUTOFF)
            if slip:
                raise ConfigurationException(
                    f"{environment_name}: unknown key {key!r}{slip}", code="unknown_key", subject=str(key)
                ).at("config", key)


def _line(environment_name: str, model: type[EnvironmentConfig], item: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields)
        return f"{environment_name}: unknown key {path!r}{did_you_mean(path, model.model_fields)}; allowed are {known}"
    return f"{environment_name}: {path}: {item['msg'].lower()}, found {_shown(item['input'])}"


def _shown(value: object) -> str:
    """What was found: a text or a number as it is, of anything else its kind."""
    return (
        f"{value!r:.80}" if isinstance(value, str | int | float) and not isinstance(value, bool) else json_kind(value)
    )
