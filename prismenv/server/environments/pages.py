"""What the server tells people and their tools: the OpenAPI document, the same as a page, the landing page's files."""

from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.application import answered
from prismenv.server.environments import landing
from prismenv.server.environments.documents import describe
from prismenv.server.openapi import PAGE_POLICY, page_of

Handler = Callable[[Request, str], Awaitable[Response]]


class Pages:
    """`only`: the environment that is served at the root too, None: none is. `secured`: a token is asked for."""

    def __init__(self, hosted: HostedEnvironments, only: str | None, *, secured: bool) -> None:
        self._hosted = hosted
        self._only = only
        self._secured = secured

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        yield "GET", "/openapi.json", self._openapi
        yield "GET", "/docs", self._docs
        yield "GET", "/assets/{name}", self._asset

    @cached_property
    def _document(self) -> dict[str, Any]:
        return describe(self._hosted, self._only, secured=self._secured)

    async def _openapi(self, _request: Request, _tenant: str) -> Response:
        return answered(self._document)

    async def _docs(self, _request: Request, _tenant: str) -> Response:
        return page_response(page_of(self._document), {"Content-Security-Policy": PAGE_POLICY})

    async def _asset(self, request: Request, _tenant: str) -> Response:
        name = request.path_params["name"]
        kind = landing.ASSETS.get(name)
        if kind is None:
            raise HTTPException(404)
        return Response(landing.asset(name), media_type=kind, headers=dict(landing.HEADERS))


def page_response(page: str, headers: dict[str, str] | None = None) -> Response:
    """A page for people, by our policy for pages."""
    return HTMLResponse(page, headers={**landing.HEADERS, **(headers or {})})
