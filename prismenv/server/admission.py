"""Who may use the server: a token where one is asked for, this machine alone where none is, and no page of others.

The stock clients of OpenEnv know no tokens, but hand on what stands in an address: `http://any:TOKEN@host:8000` reaches
the server as HTTP's basic authentication, of which the password is the token.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from prismenv.finding.tokenfile import Scope
from prismenv.server.hosts import require_known_host, require_local_host, require_own_origin
from prismenv.server.rates import Rates
from prismenv.server.refusal import Refusal
from prismenv.server.tokens import Tokens

_BASIC = "basic "


@dataclass(frozen=True, slots=True)
class Admission:
    """`local`: only this machine is listened to, and no token is asked for.

    `hosts`: names by which browsers may reach the server, beside its addresses; None: any. `origins`: of pages of
    others that may use it. `rates` None: nobody counts requests.
    """

    tokens: Tokens
    local: bool
    hosts: frozenset[str] | None = None
    origins: frozenset[str] = frozenset()
    rates: Rates | None = None

    def tenant(self, headers: Mapping[str, str], *, free: bool = False, scope: Scope = "run") -> str | None:
        """Whose request it is, which is counted. Refusal says why not.

        `free`: a token is not needed; None is then nobody. `scope`: what the token has to be good for.
        """
        host = headers.get("host", "")
        if self.local:
            require_local_host(host, self.hosts or ())
        elif self.hosts is not None:
            require_known_host(headers, self.hosts)
        require_own_origin(headers.get("origin"), host, self.origins)
        grant = self.tokens.grant(_bearer(headers.get("authorization", "")))
        if grant is None:
            if free:
                return None
            raise Refusal(401, "unauthorised", "a valid token is needed: Authorization: Bearer TOKEN")
        if not grant.may(scope):
            raise Refusal(403, "wrong_scope", f"this token is of the scope {grant.scope}, and {scope} is needed")
        if self.rates is not None and not free:
            self.rates.require(grant.owner, grant.requests_per_second)
        return grant.owner

    def message_bytes(self, tenant: str, most: int) -> int:
        """The longest message or body of that tenant, where the server takes `most`."""
        return min(most, self.tokens.of(tenant).message_bytes or most)

    async def next_turn(self, tenant: str) -> None:
        """Count a message of the tenant's session, and wait while there were too many."""
        if self.rates is not None:
            await self.rates.wait(tenant, self.tokens.of(tenant).requests_per_second)


def _bearer(authorization: str) -> str:
    """An Authorization header, its password as a bearer token where it is HTTP's basic one."""
    if authorization[: len(_BASIC)].lower() != _BASIC:
        return authorization
    try:
        told = base64.b64decode(authorization[len(_BASIC) :].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {told.partition(':')[2]}"
