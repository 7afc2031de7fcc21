"""The providers that come with the LLM interface, through the door that everybody else's come through."""

from collections.abc import Sequence

from prismenv.contracts.hookspecs import hookimpl
from prismenv.contracts.transport import ProviderEntry
from prismenv.sessions import human, litellm_provider, openai_provider, samples, scripted


@hookimpl
def prismenv_providers() -> Sequence[ProviderEntry]:
    """`human`, `litellm`, `samples`, `scripted`, and the services that speak OpenAI's chat completions."""
    return (human.ENTRY, litellm_provider.ENTRY, samples.ENTRY, scripted.ENTRY, *openai_provider.ENTRIES)
