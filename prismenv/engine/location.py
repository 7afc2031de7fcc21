"""Where results are kept: told without the store's own library."""

import os

from prismenv.finding.variables import STORE_VARIABLE
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.naming import check_name

DEFAULT_STORE = ".prismenv/prismenv.db"


def store_location(named: str | None, workspaces: WorkspaceSet) -> str:
    """Where a store is: a URL as it is, a path within the project folder; None is the usual one:
    PRISMENV_STORE's, the workspace's, or the default. StorageException for a path that looks like a broken URL.
    """
    chosen = named or os.environ.get(STORE_VARIABLE) or workspaces.store or DEFAULT_STORE
    check_name(chosen)
    return chosen if "://" in chosen else str(workspaces.project_folder / chosen)
