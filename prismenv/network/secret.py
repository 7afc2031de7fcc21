"""A token that is sent and never shown."""

from collections.abc import Mapping
from typing import Any

from prismenv.words.errors import ConfigurationException

LEAST_HIDDEN = 8  # characters of a token that is taken out of what is shown and kept


class Secret:
    """A token that shows itself to nobody: not in a message, a log or a debugger's list of variables."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "***"

    @property
    def value(self) -> str:
        """The token itself, for the library that sends it; empty for none."""
        return self._value

    @property
    def headers(self) -> dict[str, str]:
        """The header that carries it; none for no token."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    @property
    def hidden(self) -> bool:
        """True where it is long enough to be told from a word: a shorter one stands in texts without being meant."""
        return len(self._value) >= LEAST_HIDDEN

    def hidden_in(self, text: str) -> str:
        """`text` without it: a service may repeat what it was sent."""
        return text.replace(self._value, "***") if self.hidden else text

    def hidden_in_all(self, data: Any) -> Any:
        """Plain JSON data whose texts are without it; names of fields stay."""
        if not self.hidden:
            return data
        if isinstance(data, str):
            return self.hidden_in(data)
        if isinstance(data, dict):
            return {key: self.hidden_in_all(value) for key, value in data.items()}
        if isinstance(data, list):
            return [self.hidden_in_all(value) for value in data]
        return data

    def held_back(self, text: str) -> int:
        """How many characters at the end of `text` may be its beginning: what comes in pieces waits for the next."""
        most = min(len(text), len(self._value) - 1) if self.hidden else 0
        return next((length for length in range(most, 0, -1) if self._value.startswith(text[-length:])), 0)

    def cut_from(self, body: bytes) -> bytes:
        """`body` without it."""
        return body.replace(self._value.encode(), b"***") if self.hidden else body


def fits_header(text: str) -> bool:
    """True for what can be sent as a token: visible ASCII, without blanks."""
    return text.isascii() and text.isprintable() and " " not in text


def read_secret(variable: str | None, environ: Mapping[str, str]) -> Secret:
    """The token in an environment variable; None is no token. Raises ConfigurationException that never shows it."""
    if variable is None:
        return Secret("")
    value = environ.get(variable, "").strip()
    if not value:
        raise ConfigurationException(
            f"interface.token_variable: the environment variable {variable} is not set",
            subject=variable,
            hint=f"Set it to the service's token: export {variable}=…",
        )
    if not fits_header(value):
        raise ConfigurationException(
            f"the environment variable {variable} holds no bearer token: it has blanks or unprintable characters",
            subject=variable,
        )
    return Secret(value)
