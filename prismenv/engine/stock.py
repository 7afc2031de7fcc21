"""Everything that can be named, as a run would read it: what `prismenv list` shows."""

from dataclasses import replace

from prismenv.engine.languagecheck import LanguageState
from prismenv.finding.catalog import Catalog, CatalogEntry, list_catalog
from prismenv.finding.workspace import WorkspaceSet
from prismenv.isolation.language import load_language
from prismenv.sessions.agentfile import read_agent


def take_stock(workspaces: WorkspaceSet) -> Catalog:
    """Everything that can be named; files of agents and languages are read as a run would read them."""
    readers = {"agent": read_agent, "language": lambda path: load_language(path.stem, path.parent)}
    return list_catalog(workspaces, readers)


def with_states(catalog: Catalog, states: list[LanguageState]) -> Catalog:
    """The catalogue, in which each language also tells its version, its probe, and what is missing."""
    words = {state.name: state.words for state in states}
    return Catalog(tuple(_told(entry, words.get(entry.name, "")) for entry in catalog.entries))


def _told(entry: CatalogEntry, words: str) -> CatalogEntry:
    if entry.kind != "language" or entry.error is not None or not words:
        return entry
    return replace(entry, summary=f"{entry.summary}: {words}" if entry.summary else words)
