"""Who may use the server: a token where one is asked for, this machine alone where none is, and no page of others.

The stock clients of OpenEnv know no tokens, but hand on what stands in an address: `http://any:TOKEN@host:8000` reaches
the server as HTTP's basic authentication, of which the password is the token.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from prismenv.server.hosts import require_local_host, require_own_origin
from prismenv.server.refusal import Refusal
from prismenv.server.tokens import Tokens

_BASIC = "basic "


@dataclass(frozen=True, slots=True)
class Admission:
    """`local`: only this machine is listened to, and no token is asked for."""

    tokens: Tokens
    local: bool

    def tenant(self, headers: Mapping[str, str], *, free: bool = False) -> str | None:
        """Whose request it is. `free`: a token is not needed; None is then nobody. Refusal says why not."""
        host = headers.get("host", "")
        if self.local:
            require_local_host(host)
        require_own_origin(headers.get("origin"), host)
        tenant = self.tokens.owner(_bearer(headers.get("authorization", "")))
        if tenant is None and not free:
            raise Refusal(401, "unauthorised", "a valid token is needed: Authorization: Bearer TOKEN")
        return tenant


def _bearer(authorization: str) -> str:
    """An Authorization header, its password as a bearer token where it is HTTP's basic one."""
    if authorization[: len(_BASIC)].lower() != _BASIC:
        return authorization
    try:
        told = base64.b64decode(authorization[len(_BASIC) :].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {told.partition(':')[2]}"
