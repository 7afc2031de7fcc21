"""A file of tokens: what each may do, and how much. It holds digests alone; nobody who reads it can use one.

Whoever can write it can let himself in, so it must be writable by its owner alone.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, field_validator

from prismenv.finding.yamlfile import load_yaml, validate
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel, PlainNumbers

Scope = Literal["read", "run", "admin"]  # each may all that those before it may


class TokenEntry(PlainNumbers, FrozenModel):
    """One token."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")  # what people call it
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")  # the digest of the token, in hexadecimal digits
    scope: Scope = "run"  # read: what there is; run: episodes and challenges too; admin: counters too
    requests_per_second: float | None = Field(default=None, gt=0)  # null: what the server says for all
    message_bytes: int | None = Field(default=None, ge=1)  # the longest message or body; null: the server's


class TokenFile(FrozenModel):
    """All tokens of a file."""

    tokens: tuple[TokenEntry, ...]

    @field_validator("tokens")
    @classmethod
    def _differ(cls, tokens: tuple[TokenEntry, ...]) -> tuple[TokenEntry, ...]:
        for key in ("name", "sha256"):
            seen: set[str] = set()
            for token in tokens:
                value = getattr(token, key)
                if value in seen:
                    raise ValueError(f"two tokens have the {key} {value!r}")
                seen.add(value)
        return tokens


def digest_of(token: str) -> str:
    """A token's digest, in hexadecimal digits. Tokens are long and random, so that it need not be slow."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def load_tokens(path: Path) -> tuple[TokenEntry, ...]:
    """The tokens of a file. ConfigurationException with file and line for what is wrong with it."""
    document = load_yaml(path)
    mode = path.stat().st_mode
    if mode & 0o022:
        raise ConfigurationException(
            f"the file {path} of tokens can be written by others (mode {stat.S_IMODE(mode):03o})",
            code="tokens_exposed",
            subject=str(path),
            hint=f"Close it: chmod go-w {path}. Who could write it may have let himself in; look at what it says.",
        )
    return validate(TokenFile, document).tokens


def add_token(path: Path, entry: TokenEntry) -> None:
    """Write one more token into the file, which is made where there is none; all or nothing of it."""
    known = load_tokens(path) if path.exists() else ()
    if any(each.name == entry.name for each in known):
        raise ConfigurationException(
            f"{path} has a token {entry.name!r} already", code="token_exists", subject=entry.name
        )
    told = [each.model_dump(exclude_defaults=True) for each in (*known, entry)]
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # closed to others from the start
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yaml.safe_dump({"tokens": told}, file, sort_keys=False)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
