"""Everything that can be named, as a run would read it: what `prismenv list` shows."""

from prismenv.finding.catalog import Catalog, list_catalog
from prismenv.finding.workspace import WorkspaceSet
from prismenv.isolation.language import load_language
from prismenv.sessions.agentfile import read_agent


def take_stock(workspaces: WorkspaceSet) -> Catalog:
    """Everything that can be named; files of agents and languages are read as a run would read them."""
    readers = {"agent": read_agent, "language": lambda path: load_language(path.stem, path.parent)}
    return list_catalog(workspaces, readers)
