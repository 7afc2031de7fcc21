"""JSON schemas of agent files, and what is wrong with an answer by them.

Patterns in a schema are matched in linear time, as those of fields are; nothing that a schema refers to is fetched.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NoReturn

from prismenv.sessions.patterns import EXTRA_HINT
from prismenv.words.errors import ConfigurationException

_MOST_FAULTS = 5
_LONGEST_FAULT = 300

Faults = Callable[[Any], str]


def compile_schema(schema: Mapping[str, Any]) -> Faults:
    """A function that says what is wrong with a value, the empty text where nothing is.

    Raises ValueError where the schema itself is wrong or refers to another document, or the library is not installed.
    """
    try:
        import jsonschema_rs  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise ConfigurationException(f"a schema needs the extra 'outputs'. {EXTRA_HINT}", code="no_extra") from error
    try:
        validator = jsonschema_rs.validator_for(
            dict(schema), pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse
        )
    except ValueError as error:
        raise ValueError(f"it is no JSON schema: {str(error).splitlines()[0]}") from error

    def faults(value: Any) -> str:
        try:
            found = list(islice(validator.iter_errors(value), _MOST_FAULTS))
        except ValueError as error:  # nested more deeply than the library follows
            return str(error)
        return "; ".join(f"{_place(fault.instance_path)}: {_clipped(fault.message)}" for fault in found)

    return faults


def _refuse(address: str) -> NoReturn:
    raise ValueError(f"{address} is not fetched; put the definition into the schema")


def _place(path: list[str | int]) -> str:
    return ".".join(str(part) for part in path) or "the answer"


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_FAULT else f"{text[: _LONGEST_FAULT // 2]} … {text[-_LONGEST_FAULT // 2 :]}"
