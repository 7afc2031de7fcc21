"""What `--set` and `--option` say, as the recipe's layer takes it.

A path in a recipe's file is within the project folder, one on the command line within the current folder: it is made
absolute here, so that it means the same when the run is resumed from elsewhere.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from prismenv.contracts.transport import ProviderEntry
from prismenv.store.naming import check_name
from prismenv.words.errors import ConfigurationException


def option_changes(options: Iterable[str]) -> list[str]:
    """`--option key=value` as changes of the recipe; ConfigurationException for what is no such pair."""
    for option in options:
        key, equals, _ = option.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ConfigurationException(f"--option {option!r}: expected key=value, such as num_problems=2")
    return [f"options.{option}" for option in options]


def located_changes(sets: Iterable[str], folder: Path, providers: Mapping[str, ProviderEntry]) -> list[str]:
    """`--set key.path=value` with the paths in them made absolute.

    Files to be read are only what there is in `folder`: another name may be one of the project folder. The store and
    a recording are always within `folder`, for they may not be there yet.
    """
    return [_located(text, folder, providers) for text in sets]


def _located(text: str, folder: Path, providers: Mapping[str, ProviderEntry]) -> str:
    key, _, value = text.partition("=")
    match key.strip().split("."):
        case ["data"] | ["search", "tree"]:
            value = _existing(value, folder) or value
        case ["output", "store"] | ["record"] if value.strip() not in ("", "~", "null") and "://" not in value:
            if key.strip() == "output.store":
                check_name(value)
            value = str(folder / Path(value).expanduser())
        case ["models", _]:
            name, _, model = value.partition("/")
            provider = providers.get(name)
            found = _existing(model, folder) if provider is not None and provider.files else None
            value = value if found is None else f"{name}/{found}"
        case _:
            return text
    return f"{key}={value}"


def _existing(value: str, folder: Path) -> str | None:
    """The absolute path of a file that there is, None for anything else."""
    path = folder / Path(value).expanduser()
    return str(path) if value and path.is_file() else None
