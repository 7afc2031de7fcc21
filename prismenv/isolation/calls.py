"""One guest as a sandbox asks for it."""

import secrets
from dataclasses import dataclass
from typing import Any

from prismenv.isolation.language import Role
from prismenv.isolation.launch import Conversation


@dataclass(frozen=True, slots=True)
class GuestCall:
    """What one guest is for, what it is given, and who hears what it tells.

    `handed` is a descriptor that a single guest has as its third; None: it has none.
    """

    role: Role
    payload: dict[str, Any]
    conversation: Conversation
    handed: int | None = None


def new_nonce() -> str:
    """What a guest's frames must carry."""
    return secrets.token_hex(16)
