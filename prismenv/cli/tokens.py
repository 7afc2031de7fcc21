"""Where the bearer tokens are that options name, in files and in variables."""

from collections.abc import Sequence
from pathlib import Path

from prismenv.contracts.keys import NO_VARIABLE, KeySource, names_variable
from prismenv.words.errors import ConfigurationException


def token_sources(files: Sequence[Path] | None, variables: Sequence[str] | None) -> tuple[KeySource, ...]:
    """Where the tokens are; ConfigurationException for what names no variable."""
    if not all(map(names_variable, variables or ())):  # not shown: it may be the token
        raise ConfigurationException(f"--token-variable: {NO_VARIABLE}", code="bad_key")
    return (
        *(KeySource(file=str(path.expanduser().absolute())) for path in files or ()),
        *(KeySource(variable=name) for name in variables or ()),
    )
