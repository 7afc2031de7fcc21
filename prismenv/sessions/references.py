"""A model as users name it: `provider/model`, `provider@URL/model`."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from prismenv.contracts.transport import ModelReference, ProviderEntry
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import nearest

_FORMS = "provider/model{} or, where the provider takes an address, provider@URL/model"
_PLUGINS = "A model of your own comes through a provider plugin or an LLM interface service (interface.url)."


def parse_model(text: str, providers: Mapping[str, ProviderEntry] | None = None) -> ModelReference:
    """The model that `text` names. Of a URL the model is what stands behind `/v1/`, else the last path segment.

    Raises ConfigurationException, which gives a model of each of `providers` as an example (None: no examples).
    """
    try:
        return _parse(text)
    except _Malformed as error:
        shown, why = error.args
    examples = ", ".join(_example(entry) for _, entry in sorted((providers or {}).items()))
    forms = _FORMS.format(f" ({examples})" if examples else "")
    raise ConfigurationException(
        f"{shown!r} names no model: {why}; expected {forms}", code="model_malformed", subject=shown, hint=_PLUGINS
    )


class _Malformed(Exception):  # a signal inside this module: what is shown of the text, and what is wrong with it
    pass


def _example(entry: ProviderEntry) -> str:
    if entry.files:
        return f"{entry.name}/FILE"
    known = entry.models() if entry.models is not None else ()
    return f"{entry.name}/{known[0] if known else 'MODEL'}"


def _parse(text: str) -> ModelReference:
    head, separator, model = text.strip().partition("/")
    provider, at, _ = head.partition("@")
    if at:
        return _parse_url(text, provider, text.strip().partition("@")[2])
    if not separator or not provider or not model:
        raise _Malformed(text, "it has no model" if provider else "it has no provider")
    return ModelReference(provider=provider, model=model)


def _parse_url(text: str, provider: str, address: str) -> ModelReference:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        secret = parts.username is not None or parts.password is not None
        _ = parts.port  # reading it checks it
    except ValueError:
        usable, secret, parts = False, "@" in address, urlsplit("")
    if secret:
        raise _Malformed(f"{provider}@…", "a URL here must not hold a user or a password")
    base, between, model = parts.path.rpartition("/v1/")
    if between:  # behind it a name may have slashes of its own, as Hugging Face's have
        base += "/v1"
    else:
        base, _, model = parts.path.rpartition("/")
    if not usable or parts.query or parts.fragment:
        raise _Malformed(text, "its URL is not a plain http or https address")
    if not provider or not model:
        raise _Malformed(text, "it has no model" if provider else "it has no provider")
    return ModelReference(provider=provider, model=model, url=f"{parts.scheme}://{parts.netloc}{base}")


def find_provider(reference: ModelReference, providers: Mapping[str, ProviderEntry]) -> ProviderEntry:
    """The provider of a model; ConfigurationException with the nearest name when there is none."""
    entry = providers.get(reference.provider)
    if entry is not None:
        return entry
    near = nearest(reference.provider, providers)
    raise ConfigurationException(
        f"unknown provider {reference.provider!r} in {str(reference)!r}; there are: {', '.join(sorted(providers))}",
        code="unknown_provider",
        subject=reference.provider,
        hint=f"Did you mean {near}/{reference.model}?" if near else None,
    )
