"""Which names of the server, and which web pages, a request may come by."""

import ipaddress

from prismenv.server.refusal import Refusal


def require_local_host(host: str) -> None:
    """Refusal unless a Host header names this machine.

    A web page in a browser on this machine reaches a loopback address too, under a name of its own.
    """
    if not _is_loopback(_name_of(host)):
        raise Refusal(403, "wrong_host", "without a token the service is there for localhost only")


def require_own_origin(origin: str | None, host: str) -> None:
    """Refusal for what a browser sends from a page of somebody else. `origin` None: it comes from no page."""
    if origin is None:
        return
    scheme, _, rest = origin.partition("://")
    if scheme not in ("http", "https") or rest.lower() != host.lower():
        raise Refusal(403, "wrong_origin", "pages of other origins cannot use this service")


def _name_of(host: str) -> str:
    name = host if host.endswith("]") else host.rpartition(":")[0] if ":" in host else host
    return name.strip("[]")


def _is_loopback(name: str) -> bool:
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
