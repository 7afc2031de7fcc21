"""Pages of other origins that may use the server: none, but those that are named."""

from collections.abc import Collection

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

_KEPT_SECONDS = 600  # for so long a browser does not ask again


def cross_origin(origins: Collection[str]) -> list[Middleware]:
    """What tells browsers which pages may; they send no passwords of their own, so each needs its token."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=sorted(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Session-ID"],
            expose_headers=["Retry-After"],
            max_age=_KEPT_SECONDS,
        )
    ]
