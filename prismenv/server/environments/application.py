"""The server of environments: its paths, by which each translation of a face is reached.

All of an environment's own paths stand below `/environments/NAME`, so that a stock client is given that as the server's
address. Where only one environment is served, they stand at the root too.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from prismenv import __version__
from prismenv.contracts.clock import Clock
from prismenv.contracts.face import EpisodeTypes
from prismenv.engine.host.host import EnvironmentHost
from prismenv.engine.host.kept import KeptInstances
from prismenv.engine.host.named import NamedInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.finding.tokenfile import Scope
from prismenv.server.admission import Admission
from prismenv.server.application import answered, fault, no_such_thing, while_there
from prismenv.server.body import read_body
from prismenv.server.environments.asgiconnection import AsgiConnection
from prismenv.server.environments.batches import CALLS, Batches
from prismenv.server.environments.challenges import ChallengeRunner
from prismenv.server.environments.crossing import cross_origin
from prismenv.server.environments.health import EnvironmentHealth, overall
from prismenv.server.environments.jsonrpc import RpcException
from prismenv.server.environments.landing import landing_page, wants_page
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.mcphttp import McpEndpoint
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.environments.pages import Pages, page_response
from prismenv.server.environments.stepping import HttpEpisodes
from prismenv.server.environments.talking import ClientConnection
from prismenv.server.environments.telling import told
from prismenv.server.environments.vagen import KEYS, VagenBatches
from prismenv.server.environments.websocket import OpenEnvSession, SessionSetup
from prismenv.server.guard import SCOPE_KEY
from prismenv.words.errors import EnvironmentException, HostException, RegistryException

SERVICE = "environment"
PREFIX = "/environments/{environment}"
CHALLENGE = "run_challenge"  # what counters call a whole challenge
_GONE = 499  # nobody reads it: what counters call a client that went away

Handler = Callable[[Request, str], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class EnvironmentApplication:
    """The handlers. `only` is the environment that is served at the root too, None: several are served."""

    hosted: HostedEnvironments
    host: EnvironmentHost
    meter: EnvironmentMeter
    health: EnvironmentHealth
    admission: Admission
    limits: WireLimits
    clock: Clock
    only: str | None
    kept: KeptInstances

    def build(self) -> Starlette:
        """The ASGI application."""
        instances = NamedInstances(self.host)
        episodes = HttpEpisodes(instances, self.hosted)
        agents = McpEndpoint(instances, self.hosted, self.host, self.clock, self._message)
        batches, vagen = Batches(instances), VagenBatches(instances, self.hosted)
        runner = ChallengeRunner(self.hosted, self.host, self.clock)
        secured = bool(self.admission.tokens)
        own: list[tuple[str, str, Handler, Scope]] = [  # they are tried in this order: what is asked most comes first
            ("POST", "/mcp", self._mcp_message(agents), "run"),
            ("POST", "/step", self._stepped(episodes.step), "run"),
            ("POST", "/reset", self._stepped(episodes.reset), "run"),
            ("GET", "/state", self._stepped(episodes.state), "read"),
            ("DELETE", "/mcp", self._mcp_end(agents), "run"),
            ("GET", "/metadata", self._metadata, "read"),
            ("GET", "/schema", self._schema, "read"),
            *(("POST", f"/batch/{kind}", self._batched(kind, batches, vagen), "run") for kind in CALLS),
        ]
        routes: list[Route | WebSocketRoute] = []
        for prefix in ("", PREFIX):
            routes += [
                self._route(method, f"{prefix}{path}", handler, scope=scope) for method, path, handler, scope in own
            ]
            routes.append(WebSocketRoute(f"{prefix}/ws", self._session))
        routes += [
            self._route("GET", "/", self._root, free=True, scope="read"),
            *(self._route(*each, scope="read") for each in Pages(self.hosted, self.only, secured=secured).routes()),
            self._route("GET", "/health", self._health, free=True, scope="read"),
            self._route("GET", f"{PREFIX}/health", self._health, free=True, scope="read"),
            self._route("GET", "/metrics", self._metrics, scope="admin"),
            self._route("POST", "/run-challenge", self._challenge(runner)),
            self._route("POST", "/environments", self._named_by_vagen(vagen)),
        ]
        return Starlette(
            routes=routes,
            middleware=cross_origin(self.admission.origins),
            exception_handlers={HTTPException: no_such_thing, Exception: fault},
        )

    def _route(self, method: str, path: str, handler: Handler, *, free: bool = False, scope: Scope = "run") -> Route:
        """`free`: without a token too; the handler is given no tenant then. `scope`: what a token must be good for."""

        async def endpoint(request: Request) -> Response:
            try:
                tenant = self.admission.tenant(request.headers, free=free, scope=scope)
                response = await handler(request, tenant or "")
            except ClientDisconnect:
                response = Response(status_code=_GONE)
            except EnvironmentException as error:
                response = told(error)
            if response.status_code == 401 and wants_page(request.headers.get("accept", "")):  # noqa: PLR2004
                response.headers["WWW-Authenticate"] = 'Basic realm="prismenv"'  # a browser asks for the token then
            self.meter.requested(path, response.status_code)
            return response

        return Route(path, endpoint, methods=[method])

    def _name(self, given: str | None) -> str:
        """The environment that is spoken of; RegistryException where there is none of that name."""
        if given is None and self.only is None:
            raise RegistryException(
                "several environments are served here: use /environments/NAME as the address of one",
                code="which_environment",
                hint=f"They are {', '.join(self.hosted.names)}.",
            )
        name = given or self.only or ""
        self.hosted.require(name)
        return name

    async def _body(self, request: Request, tenant: str) -> dict[str, Any]:
        most = self.admission.message_bytes(tenant, self.limits.message_bytes)
        return await read_body(request, most, self.limits.body_seconds, optional=True)

    async def _message(self, request: Request, tenant: str) -> dict[str, Any]:
        most = self.admission.message_bytes(tenant, self.limits.message_bytes)
        return await read_body(request, most, self.limits.body_seconds)

    def _mcp_message(self, agents: McpEndpoint) -> Handler:
        async def handler(request: Request, tenant: str) -> Response:
            name = self._name(request.path_params.get("environment"))
            return await agents.post(request, tenant, name, self._metered)

        return handler

    def _mcp_end(self, agents: McpEndpoint) -> Handler:
        async def handler(request: Request, tenant: str) -> Response:
            return await agents.delete(request, tenant, self._name(request.path_params.get("environment")))

        return handler

    def _stepped(self, call: Callable[..., Awaitable[dict[str, Any]]]) -> Handler:
        async def handler(request: Request, tenant: str) -> Response:
            name = self._name(request.path_params.get("environment"))
            kind = request.url.path.rpartition("/")[2]
            body = await self._body(request, tenant) if request.method == "POST" else dict(request.query_params)
            with self._metered(name, kind):
                work = call(tenant, name, request.headers.get("x-session-id", ""), body)
                # A step that has a name may be asked for again, by a client that lost its connection.
                document = await (work if "request_id" in body else while_there(request, work))
            return answered(document)

        return handler

    def _batched(self, kind: str, batches: Batches, vagen: VagenBatches) -> Handler:
        async def handler(request: Request, tenant: str) -> Response:
            body = await self._body(request, tenant)
            given = request.path_params.get("environment")
            if any(key in body for key in KEYS):
                name = given or self.only
                if name is not None:
                    self.hosted.require(name)
                work = vagen.call(kind, tenant, body, name)
            else:
                name = self._name(given)
                work = batches.call(kind, tenant, name, body)
            with self._metered(name or "several", f"batch_{kind}"):
                # As a single step: what has a name may be asked for again.
                document = await (work if "request_id" in body else while_there(request, work))
            return answered(document)

        return handler

    def _named_by_vagen(self, vagen: VagenBatches) -> Handler:
        async def handler(request: Request, tenant: str) -> Response:
            body = await self._body(request, tenant)
            return answered(await while_there(request, vagen.make(tenant, body, self.only)))

        return handler

    @contextmanager
    def _metered(self, name: str, kind: str) -> Iterator[None]:
        begun, outcome = self.clock.monotonic(), "cancelled"
        try:
            yield
            outcome = "ok"
        except EnvironmentException as error:
            outcome = error.code
            raise
        except RpcException as error:
            outcome = f"rpc_{error.code}"
            raise
        finally:
            self.meter.called(name, kind, outcome, self.clock.monotonic() - begun)

    def _challenge(self, runner: ChallengeRunner) -> Handler:
        async def handler(request: Request, tenant: str) -> Response:
            asked = request.query_params.get("environment_name")
            name = asked or self.only or runner.usual
            self.hosted.require(name)
            body = await self._body(request, tenant)
            with self._metered(name, CHALLENGE):
                document = await while_there(request, runner.run(name, body, tenant))
            return answered(document)

        return handler

    async def _root(self, request: Request, tenant: str) -> Response:
        if wants_page(request.headers.get("accept", "")):
            self.admission.tenant(request.headers, scope="read")
            return page_response(landing_page(self.hosted))
        document: dict[str, Any] = {"service": SERVICE, "name": "prismenv", "version": __version__}
        document["links"] = {"health": "/health", "metrics": "/metrics", "run_challenge": "/run-challenge"}
        document["links"].update(openapi="/openapi.json", docs="/docs")
        if tenant or not self.admission.tokens:
            document["environments"] = {
                name: {"faces": list(self.hosted.faces(name)), "address": PREFIX.format(environment=name)}
                for name in self.hosted.names
            }
        return answered(document)

    async def _health(self, request: Request, tenant: str) -> Response:
        """The truth; what it rests on is for those with a token alone."""
        if self.host.stopping:
            return answered({"status": "stopping", "service": SERVICE}, 503)
        found = await self.health.look()
        known = bool(tenant) or not self.admission.tokens
        if known and (name := request.path_params.get("environment")):  # to a stranger, one name is as another
            self.hosted.require(name)
            found = {name: found[name]}
        document: dict[str, Any] = {"status": overall(found), "service": SERVICE}
        if known:
            document["environments"] = found
        return answered(document)

    async def _metrics(self, _request: Request, _tenant: str) -> Response:
        return Response(self.meter.page(), headers={"Content-Type": self.meter.content_type})

    async def _metadata(self, request: Request, _tenant: str) -> Response:
        name = self._name(request.path_params.get("environment"))
        return answered(
            {
                "name": name,
                "description": self.hosted.about(name),
                "readme_content": None,
                "version": __version__,
                "author": None,
                "documentation_url": None,
            }
        )

    async def _schema(self, request: Request, _tenant: str) -> Response:
        name = self._name(request.path_params.get("environment"))
        return answered(EpisodeTypes(type(self.hosted.make(name, 0))).schemas())

    async def _session(self, websocket: WebSocket) -> None:
        headers = websocket.headers
        try:
            tenant = self.admission.tenant(headers) or ""
            name = self._name(websocket.path_params.get("environment"))
            if self.host.stopping:
                raise HostException("the server is stopping", code="stopping")
            own: ClientConnection | None = websocket.scope.get(SCOPE_KEY)
            connection = own or (foreign := AsgiConnection(websocket, self.limits.pending))
            setup = SessionSetup(self.host, self.kept, self.meter, self.limits, self.clock, self.admission)
            session = OpenEnvSession(connection, setup, name, tenant)
            if (token := headers.get("x-session-token")) is not None:
                session.claim(headers.get("x-session-id", ""), token)
        except EnvironmentException as error:
            await websocket.send_denial_response(told(error))
            return
        await websocket.accept()
        connection.limit(self.admission.message_bytes(tenant, self.limits.message_bytes))
        await (session.run() if own is not None else foreign.serve(session.run))
