"""Who asks: bearer tokens, and the owner that each stands for.

A token is kept as its digest. What is presented is compared by its digest with all that are known, each in the same
time, so that how long it takes says nothing of a token. The owner of a session is the beginning of the digest, which is
the same after a restart and in every process.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prismenv.contracts.keys import KeySource
from prismenv.finding.tokenfile import Scope, TokenEntry, digest_of, load_tokens
from prismenv.network.keys import read_key
from prismenv.words.errors import ConfigurationException

ANYBODY = ""  # the owner where no token is asked for
MIN_LENGTH = 16
_OWNER_LENGTH = 16
_SCHEME = "bearer "
_ORDER: tuple[Scope, ...] = ("read", "run", "admin")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token may do. `requests_per_second` and `message_bytes` None: as much as the server lets everybody."""

    owner: str
    scope: Scope = "admin"
    requests_per_second: float | None = None
    message_bytes: int | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it may what is of that scope."""
        return _ORDER.index(scope) <= _ORDER.index(self.scope)


_EVERYTHING = Grant(ANYBODY)


class Tokens:
    """The tokens that are taken; none: everybody is taken, as one owner.

    `tokens` may everything; `entries` what each says.
    """

    def __init__(self, tokens: Iterable[str] = (), entries: Iterable[TokenEntry] = ()) -> None:
        self._grants = {digest: Grant(digest[:_OWNER_LENGTH]) for digest in map(digest_of, tokens)}
        for entry in entries:
            owner = entry.sha256[:_OWNER_LENGTH]
            self._grants[entry.sha256] = Grant(owner, entry.scope, entry.requests_per_second, entry.message_bytes)
        self._by_owner = {grant.owner: grant for grant in self._grants.values()}

    def __bool__(self) -> bool:
        return bool(self._grants)

    @property
    def have_rates(self) -> bool:
        """Whether any of them may only ask so often."""
        return any(grant.requests_per_second is not None for grant in self._grants.values())

    def owner(self, authorization: str) -> str | None:
        """Whose request has this Authorization header (empty: it has none); None: nobody's."""
        grant = self.grant(authorization)
        return None if grant is None else grant.owner

    def grant(self, authorization: str) -> Grant | None:
        """What the token in this Authorization header may; None: there is none, or it is not known."""
        if not self._grants:
            return _EVERYTHING
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        presented, found = digest_of(authorization[len(_SCHEME) :].strip()), None
        for digest, grant in self._grants.items():  # to the end, whichever it is
            if hmac.compare_digest(digest, presented):
                found = grant
        return found

    def of(self, owner: str) -> Grant:
        """What an owner may."""
        return self._by_owner.get(owner, _EVERYTHING)


def read_tokens(
    sources: Iterable[KeySource], folder: Path, environ: Mapping[str, str], files: Iterable[Path] = ()
) -> Tokens:
    """The tokens at `sources`, one each, and those of files of digests.

    Raises ConfigurationException that shows none of them.
    """
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
    return Tokens(tokens, [entry for file in files for entry in load_tokens(folder / file.expanduser())])
