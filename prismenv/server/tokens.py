"""Who asks: bearer tokens, and the owner that each stands for.

A token is kept as its digest, and what is presented is looked up by its digest: how long that takes says nothing of a
token. The owner of a session is the beginning of the digest, which is the same after a restart and in every process.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from prismenv.contracts.keys import KeySource
from prismenv.network.keys import read_key
from prismenv.words.errors import ConfigurationException

ANYBODY = ""  # the owner where no token is asked for
MIN_LENGTH = 16
_OWNER_LENGTH = 16
_SCHEME = "bearer "


class Tokens:
    """The tokens that are taken; none: everybody is taken, as one owner."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._owners = {digest: digest[:_OWNER_LENGTH] for digest in map(_digest, tokens)}

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, authorization: str) -> str | None:
        """Whose request has this Authorization header (empty: it has none); None: nobody's."""
        if not self._owners:
            return ANYBODY
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        return self._owners.get(_digest(authorization[len(_SCHEME) :].strip()))


def read_tokens(sources: Iterable[KeySource], folder: Path, environ: Mapping[str, str]) -> Tokens:
    """The tokens at `sources`, one each. Raises ConfigurationException that shows none of them."""
    tokens = []
    for source in sources:
        token = read_key(source, folder, environ).value
        if len(token) < MIN_LENGTH:
            raise ConfigurationException(
                f"{source} holds a token of fewer than {MIN_LENGTH} characters, which can be guessed",
                code="weak_token",
                subject=str(source),
                hint="Make one: python -c 'import secrets; print(secrets.token_hex(32))'",
            )
        tokens.append(token)
    return Tokens(tokens)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
