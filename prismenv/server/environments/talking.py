"""What a session asks of the connection to its client, whatever server keeps that."""

from collections.abc import Callable
from typing import Protocol

AHEAD_BYTES = 2**20  # of messages that wait: with more, no more is read, however few they are


class WokenException(Exception):
    """Nobody is to wait for this client any more."""


class ClientConnection(Protocol):
    """Whole messages, answers, and word of a client that left.

    `on_gone` is called when the client leaves; `gone`: it has left.
    """

    on_gone: Callable[[], None] | None
    gone: bool

    async def next_message(self) -> str | None:
        """The next message; None: it was binary. Others run first, also where one waits already.

        WokenException after `wake`.
        """

    def wake(self) -> None:
        """End every wait for this client, now and from now on."""

    def unread(self) -> list[str | None]:
        """What came and was not taken."""

    def limit(self, most_bytes: int) -> None:
        """Take no message that is longer."""

    def say(self, text: str) -> None:
        """Send text, sooner or later; to a client that left, nothing."""

    @property
    def full(self) -> bool:
        """Whether more is unsent than should be; `drained` waits for it."""

    async def drained(self) -> None:
        """Wait until the client took most of what was sent."""

    def end(self, code: int) -> None:
        """Close in good order, and soon: a client that does not answer is left."""

    def leave(self) -> None:
        """Close without a word; what was not sent yet is dropped."""
