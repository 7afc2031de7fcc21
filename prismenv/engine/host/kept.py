"""Instances that outlive the connection of whoever steps them: they are known by an id, and had again for a token.

Theory of operation. An instance has one holder at a time, the connection that steps it. When that is lost, nobody holds
the instance, and its lease runs. Who shows its id and its token holds it next; if the one before is still there,
because nobody noticed yet that its client went away, it is told that it lost the instance, and a call of its that runs
ends undisturbed. The token is kept as its digest. Who is refused is told nothing but that: whether the id is known, or
somebody else's, makes no difference.
"""

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from prismenv.contracts.clock import Clock
from prismenv.engine.host.instance import Instance
from prismenv.words.errors import HostException


class Holder(ABC):
    """Who steps an instance that is kept."""

    @abstractmethod
    def take_away(self, why: str) -> None:
        """The instance is closed."""

    @abstractmethod
    def hand_over(self) -> None:
        """Another holds the instance from now on."""


@dataclass(slots=True)
class _Kept:
    instance: Instance
    digest: bytes
    holder: Holder | None


class KeptInstances:
    """`new_token` makes what nobody guesses."""

    def __init__(self, clock: Clock, new_token: Callable[[], str]) -> None:
        self._clock = clock
        self._new_token = new_token
        self._known: dict[str, _Kept] = {}

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, instance: Instance, holder: Holder, session_id: str = "") -> tuple[str, str]:
        """The id and the token by which the instance is had again. `session_id`: its own; it is given a new token."""
        session_id = session_id or self._clock.new_id("session")
        token = self._new_token()
        self._known[session_id] = _Kept(instance, _digest(token), holder)
        instance.on_close = lambda why: self._close(session_id, why)
        return session_id, token

    def take(self, tenant: str, environment: str, session_id: str, token: str, holder: Holder) -> Instance:
        """The instance, which `holder` holds now; HostException `session_lost` where there is none to be had."""
        kept = self._known.get(session_id)
        known = kept is not None and hmac.compare_digest(kept.digest, _digest(token))
        if kept is None or not known or kept.instance.owner != tenant or kept.instance.name != environment:
            raise HostException(
                "there is no session of that id and token here, or its lease is over",
                code="session_lost",
                subject=environment,
            )
        before, kept.holder = kept.holder, holder
        if before is not None:
            before.hand_over()
        return kept.instance

    def let_go(self, session_id: str, holder: Holder) -> None:
        """That holder is gone; what it held waits for another."""
        kept = self._known.get(session_id)
        if kept is not None and kept.holder is holder:
            kept.holder = None

    def _close(self, session_id: str, why: str) -> None:
        kept = self._known.pop(session_id, None)
        if kept is not None and kept.holder is not None:
            kept.holder.take_away(why)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
