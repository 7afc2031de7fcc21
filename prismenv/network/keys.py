"""A provider's key: read from the environment or from a file that only its owner can read, and shown to nobody."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from prismenv.contracts.keys import NO_VARIABLE, KeySource, names_variable
from prismenv.network.secret import LEAST_HIDDEN, Secret, fits_header
from prismenv.words.errors import ConfigurationException

VARIABLE_PARAM, FILE_PARAM = "api_key_variable", "api_key_file"
OWN_PARAMS = frozenset({VARIABLE_PARAM, FILE_PARAM})  # of model_params, and nothing that a provider is sent
_MAX_BYTES = 2**14


def agent_key(role: str, params: Mapping[str, Any]) -> KeySource | None:
    """Where the agent file says that the key is; None where it does not. A key itself is refused, and not repeated."""
    if "api_key" in params:
        raise ConfigurationException(
            f"{role}: model_params.api_key: a key does not belong in an agent file",
            code="key_in_file",
            subject=role,
            hint=f"Take it out, and name the variable that holds it ({VARIABLE_PARAM}) or its file ({FILE_PARAM}).",
        )
    named = {name: params[name] for name in sorted(OWN_PARAMS) if params.get(name) is not None}
    if not named:
        return None
    (name, value), *others = named.items()
    if others or not isinstance(value, str) or not value:
        raise ConfigurationException(
            f"{role}: model_params: give either {VARIABLE_PARAM} or {FILE_PARAM}, as text", subject=role
        )
    if name == VARIABLE_PARAM and not names_variable(value):  # not shown: it may be the key
        raise ConfigurationException(
            f"{role}: model_params.{VARIABLE_PARAM}: {NO_VARIABLE}", code="key_in_file", subject=role
        )
    return KeySource(variable=value) if name == VARIABLE_PARAM else KeySource(file=value)


def read_key(source: KeySource, folder: Path, environ: Mapping[str, str]) -> Secret:
    """The key at `source`. Raises ConfigurationException (`no_key`, `key_exposed`, `bad_key`) that never shows it."""
    if source.variable is not None:
        text = environ.get(source.variable, "")
    else:
        text = _read_file(folder / Path(source.file or "").expanduser())
    text = text.strip()
    if not text:
        raise ConfigurationException(
            f"no key: {source} {'is not set' if source.variable else 'is empty'}", code="no_key", subject=str(source)
        )
    if not fits_header(text):
        raise ConfigurationException(
            f"{source} holds no key: it has blanks or unprintable characters", code="bad_key", subject=str(source)
        )
    secret = Secret(text)
    if not secret.hidden:
        logger.warning(
            "the key of {} has less than {} characters: it is a word, and is not hidden where a service repeats it",
            source,
            LEAST_HIDDEN,
        )
    return secret


def _read_file(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise ConfigurationException(f"{path} is no file with a key", code="bad_key", subject=str(path))
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size > _MAX_BYTES:
                raise ConfigurationException(f"{path} is no file with a key", code="bad_key", subject=str(path))
            if found.st_mode & 0o077:
                raise ConfigurationException(
                    f"the file {path} with a key can be read by others (mode {stat.S_IMODE(found.st_mode):03o})",
                    code="key_exposed",
                    subject=str(path),
                    hint=f"Close it: chmod 600 {path}. Who could read it may have; consider a new key.",
                )
            return file.read(_MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise ConfigurationException(
            f"the file {path} with a key cannot be read: {error.strerror}", code="no_key", subject=str(path)
        ) from error
