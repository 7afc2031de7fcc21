"""Which names of the server, and which web pages, a request may come by."""

import ipaddress
import re
from collections.abc import Collection, Mapping

from prismenv.server.refusal import Refusal
from prismenv.words.errors import ConfigurationException

_ORIGIN = re.compile(r"https?://[^\s/*@?#]+", re.ASCII)


def require_local_host(host: str, others: Collection[str] = ()) -> None:
    """Refusal unless a Host header names this machine, or is one of `others`.

    A web page in a browser on this machine reaches a loopback address too, under a name of its own.
    """
    name = _name_of(host)
    if not is_loopback(name) and name.lower() not in others:
        raise Refusal(403, "wrong_host", "without a token the service is there for localhost only")


def require_known_host(headers: Mapping[str, str], names: Collection[str]) -> None:
    """Refusal for what a browser sends by a name of the server that is none of its own.

    A web page whose own name was made to lead here would be of the same origin. Other clients have no pages, and may
    call the server what they like; nobody can make an address lead elsewhere.
    """
    from_browser = "origin" in headers or "sec-fetch-site" in headers
    name = _name_of(headers.get("host", ""))
    if from_browser and name.lower() not in names and not _is_address(name):
        raise Refusal(403, "wrong_host", "pages reach the service by its address, or by a name of --allow-host")


def require_own_origin(origin: str | None, host: str, others: Collection[str] = ()) -> None:
    """Refusal for what a browser sends from a page of somebody else. `origin` None: it comes from no page.

    `others`: the origins of pages that may.
    """
    if origin is None or origin.lower() in others:
        return
    scheme, _, rest = origin.partition("://")
    if scheme not in ("http", "https") or rest.lower() != host.lower():
        raise Refusal(403, "wrong_origin", "pages of other origins cannot use this service")


def read_origin(given: str) -> str:
    """An origin as browsers tell it; ConfigurationException for anything else, and for all at once."""
    origin = given.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise ConfigurationException(
            f"--allow-origin must be one origin such as https://lab.example, found {given!r:.80}", code="bad_origin"
        )
    return origin


def _name_of(host: str) -> str:
    name = host if host.endswith("]") else host.rpartition(":")[0] if ":" in host else host
    return name.strip("[]")


def is_loopback(name: str) -> bool:
    """Whether a name or an address is this machine's own."""
    return name.lower() == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
