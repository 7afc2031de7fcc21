"""The store that commands read. Apart from the options, for its library takes longer to import than all the rest."""

from pathlib import Path

from prismenv.cli.places import located, workspaces_of
from prismenv.contracts.archive import Store
from prismenv.store.database import open_store


def store_of(store: str | None, workspace: Path | None) -> Store:
    """The store that a command reads; StorageException (`store_missing`) where there is none."""
    return open_store(located(store, workspaces_of(workspace)), create=False)
