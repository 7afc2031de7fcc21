"""The providers that come with the LLM interface, through the door that everybody else's come through."""

from collections.abc import Sequence

from prismenv.contracts.hookspecs import hookimpl
from prismenv.contracts.transport import ProviderEntry
from prismenv.sessions import human, litellm_provider, openai_provider, samples, scripted
from prismenv.sessions.calls import replay


@hookimpl
def prismenv_providers() -> Sequence[ProviderEntry]:
    """`human`, `litellm`, `replay`, `samples`, `scripted`, and the services that speak OpenAI's chat completions."""
    own = (human.ENTRY, litellm_provider.ENTRY, replay.ENTRY, samples.ENTRY, scripted.ENTRY)
    return (*own, *openai_provider.ENTRIES)
