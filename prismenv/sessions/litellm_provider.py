"""The provider `litellm/MAKER/MODEL`: whatever the litellm library reaches, with `@URL` where it is elsewhere."""

import os

from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.network.keys import read_key
from prismenv.network.secret import Secret
from prismenv.sessions.litellm_transport import PROVIDER, LitellmTransport


def open_litellm(reference: ModelReference, context: ProviderContext) -> ChatTransport:
    """The model that `reference` names; ConfigurationException without the extra, its key, or a maker's name."""
    source = context.own_key or context.keys.get(PROVIDER)
    key = Secret("") if source is None else read_key(source, context.folder, os.environ)
    return LitellmTransport(reference, key, str(source or "the environment, where litellm looks"), context.clock)


ENTRY = ProviderEntry(PROVIDER, "models of all makers through litellm (litellm/MAKER/MODEL)", open_litellm, remote=True)
