"""The providers that speak OpenAI's chat completions: `openai/MODEL`, `vllm@URL/MODEL`, any such service by address.

A provider's usual key goes to the provider's own address alone: `openai@URL/MODEL` sends a key only where the recipe
(`keys`) or the agent file (`api_key_variable`, `api_key_file`) names one. So a recipe that only names an address cannot
have a key sent there.
"""

import os
from dataclasses import dataclass
from functools import partial

from prismenv.contracts.keys import KeySource
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.network.keys import read_key
from prismenv.network.secret import Secret
from prismenv.sessions.openai_transport import OpenAITransport, require_library
from prismenv.sessions.refusals import Asked
from prismenv.words.errors import ConfigurationException


@dataclass(frozen=True, slots=True)
class Dialect:
    """A service by name. `variable` None: it asks for no key by itself."""

    name: str
    url: str
    variable: str | None
    summary: str


DIALECTS = (
    Dialect("ollama", "http://127.0.0.1:11434/v1", None, "models of an Ollama server"),
    Dialect("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OpenAI, and with @URL any compatible service"),
    Dialect("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "models of many makers at OpenRouter"),
    Dialect("vllm", "http://127.0.0.1:8000/v1", None, "models of a vLLM server"),
)


def open_dialect(dialect: Dialect, reference: ModelReference, context: ProviderContext) -> ChatTransport:
    """The model that `reference` names; ConfigurationException without its key or without the extra."""
    require_library(dialect.name)
    own = reference.url is None or reference.url.rstrip("/") == dialect.url
    usual = KeySource(variable=dialect.variable) if own and dialect.variable else None
    source = context.own_key or context.keys.get(dialect.name) or usual
    secret = Secret("") if source is None else _key(dialect, source, context)
    name = str(ModelReference(dialect.name, reference.model))
    url = (reference.url or dialect.url).rstrip("/")
    told = str(source) if source else f"nowhere (name one with keys.{dialect.name} in the recipe)"
    return OpenAITransport(Asked(name, url, told, secret), context.clock, own=own)


def _key(dialect: Dialect, source: KeySource, context: ProviderContext) -> Secret:
    try:
        return read_key(source, context.folder, os.environ)
    except ConfigurationException as error:
        error.hint = error.hint or (
            f"Set it, or say where the key of {dialect.name} is: `keys: {{{dialect.name}: {{variable: NAME}}}}` in the "
            "recipe, or {file: PATH}."
        )
        raise


ENTRIES = tuple(
    ProviderEntry(dialect.name, dialect.summary, partial(open_dialect, dialect), remote=True) for dialect in DIALECTS
)
