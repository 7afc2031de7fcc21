"""The run that a search compares with."""

from prismenv.contracts.archive import Store
from prismenv.engine.summaries import find_run
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome


def reference_outcomes(run_id: str | None, store: Store | None) -> tuple[NodeOutcome, ...]:
    """The outcomes of a stored run in the order of their indexes; none for None.

    It must have ended: what it says must not change between the sittings of a run that leans on it. An unknown run is a
    StorageException with the nearest id, one that is at work or damaged a ConfigurationException, and so is a search
    without a store.
    """
    if run_id is None:
        return ()
    if store is None:
        raise ConfigurationException(
            f"search.reference: {run_id!r} is a stored run, and there is no store here", code="no_store", subject=run_id
        )
    run = find_run(store, run_id)
    if run.status in ("running", "damaged"):
        raise ConfigurationException(
            f"search.reference: run {run.run_id} is {run.status}; expected one that ended",
            code="reference_unusable",
            subject=run.run_id,
        )
    return tuple(record.outcome for record in store.nodes(run.run_id))
