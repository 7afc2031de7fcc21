"""Addresses of services, checked before anything is sent there."""

from urllib.parse import urlsplit

from prismenv.words.errors import ConfigurationException


def check_address(url: str, key: str) -> str:
    """The service's base address without a slash at the end; ConfigurationException, of `key`, where it is none."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        secret = "@" in parts.netloc
    except ValueError:
        good = secret = False
    if not good or secret or parts.query or parts.fragment:
        shown = "the address given" if "@" in url else repr(url)
        raise ConfigurationException(
            f"{key}: {shown} is no service's address; expected http://HOST:PORT or https://HOST/PATH, without "
            f"user, password, query or fragment",
            subject=key,
        )
    return url.rstrip("/")
