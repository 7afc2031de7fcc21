"""The simulated model, through the door that everybody's providers come through."""

from collections.abc import Sequence

from prismenv.contracts.hookspecs import hookimpl
from prismenv.contracts.transport import ProviderEntry
from prismenv.simulated.profiles import profile_names
from prismenv.simulated.transport import PROVIDER, open_simulated


@hookimpl
def prismenv_providers() -> Sequence[ProviderEntry]:
    """The one provider of this package."""
    summary = "simulated: no model at all, answers from a built-in challenge bank as often right as its profile says"
    return (ProviderEntry(PROVIDER, summary, open_simulated, profile_names),)
