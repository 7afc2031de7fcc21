"""MCP over HTTP: `POST /mcp` is a message, `DELETE /mcp` the end of a session.

Theory of operation. `initialize` opens an instance under a name that nobody can guess, which is the session's id from
then on; the instance's lease is the session's, and when it is over the id is unknown (404), whereupon clients begin
anew. A call goes on when its connection is lost, as the protocol wants it, and ends by `notifications/cancelled`, its
own deadline, or with its session. Who names no session speaks OpenEnv's older JSON-RPC: to the session of
`openenv/session/create` that is in the parameters, or to the tenant's default instance; such a call is cancelled when
its client goes away.

This is not the official SDK's server: see docs/decisions/027-tools-and-mcp.md for what that would cost.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response

from prismenv.contracts.clock import Clock
from prismenv.contracts.face import EpisodeTypes
from prismenv.engine.host.host import EnvironmentHost
from prismenv.engine.host.instance import Instance
from prismenv.engine.host.named import NamedInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.application import answered, while_there
from prismenv.server.environments.agenttools import CLOSE, failed, require_nothing, told
from prismenv.server.environments.jsonrpc import (
    CANCELLED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    SERVER_ERROR,
    UNSUPPORTED_VERSION,
    Call,
    RequestId,
    RpcException,
    error_of,
    id_of,
    read_call,
    result_of,
)
from prismenv.server.environments.mcp import (
    CREATE,
    END,
    INITIALIZE,
    METHODS,
    TOOLS_CALL,
    VERSIONS,
    answer,
    answer_at_once,
    asked_tool,
    introduction,
    older,
)
from prismenv.server.environments.progressfeed import ProgressFeed, ProgressResponse
from prismenv.server.refusal import Refusal
from prismenv.words.errors import ActionException, EnvironmentException, HostException

SESSION_HEADER, VERSION_HEADER = "mcp-session-id", "mcp-protocol-version"
CANCEL = "notifications/cancelled"
UNKNOWN = "unknown"  # what counters call a method that there is not
_NOT_JSON = {"bad_json": PARSE_ERROR, "wrong_type": INVALID_REQUEST, "too_deep": INVALID_REQUEST}
_ACCEPTED = 202

Body = Callable[[Request, str], Awaitable[dict[str, Any]]]
Called = Callable[[str, str], AbstractContextManager[None]]  # counts a call of an environment: its name, the method


class McpEndpoint:
    """`read_body` gives the JSON object of a request of a tenant. `instances` are the same that plain HTTP has."""

    def __init__(
        self,
        instances: NamedInstances,
        hosted: HostedEnvironments,
        host: EnvironmentHost,
        clock: Clock,
        read_body: Body,
    ) -> None:
        self._instances = instances
        self._hosted = hosted
        self._host = host
        self._clock = clock
        self._body = read_body
        self._running: dict[tuple[str, RequestId], anyio.CancelScope] = {}

    async def post(self, request: Request, tenant: str, environment: str, called: Called) -> Response:
        """The answer to one message. Raises what the protocol leaves to HTTP: Refusal, ClientDisconnect."""
        given: Mapping[str, Any] = {}
        try:
            given = await self._message(request, tenant)
            self._require_version(request)
            call = read_call(given)
            if call is None or call.notification:
                return self._noted(request, tenant, environment, call)
            method = call.method if call.method in METHODS else UNKNOWN
            if (token := _progress_token(request, call)) is not None:
                instance = self._session(tenant, environment, request.headers.get(SESSION_HEADER))
                return self._streamed(instance, call, token, lambda: called(environment, method))
            with called(environment, method):
                return await self._answered(request, tenant, environment, call)
        except RpcException as error:
            return answered(error_of(id_of(given), error), error.status)

    async def delete(self, request: Request, tenant: str, environment: str) -> Response:
        """End a session, and the calls of it that run."""
        try:
            instance = self._session(tenant, environment, request.headers.get(SESSION_HEADER))
        except RpcException as error:
            return answered(error_of(None, error), error.status)
        await self._end(instance)
        return Response(status_code=204)

    async def _message(self, request: Request, tenant: str) -> dict[str, Any]:
        try:
            return await self._body(request, tenant)
        except Refusal as refusal:
            if refusal.code not in _NOT_JSON or refusal.status == 415:  # noqa: PLR2004 - of another content type
                raise
            raise RpcException(_NOT_JSON[refusal.code], refusal.message, status=400) from refusal

    def _require_version(self, request: Request) -> None:
        version = request.headers.get(VERSION_HEADER)
        if version is not None and version not in VERSIONS:
            known = {"supported": list(VERSIONS), "requested": version[:80]}
            raise RpcException(UNSUPPORTED_VERSION, "Unsupported protocol version", known, status=400)

    def _noted(self, request: Request, tenant: str, environment: str, call: Call | None) -> Response:
        """What wants no answer: the word that a call is given up, and what needs nothing done."""
        session = request.headers.get(SESSION_HEADER)
        if session is not None:
            instance = self._session(tenant, environment, session)
            if call is not None and call.method == CANCEL:
                running = self._running.get((instance.instance_id, id_of({"id": call.params.get("requestId")})))
                if running is not None:
                    running.cancel()
        return Response(status_code=_ACCEPTED)

    async def _answered(self, request: Request, tenant: str, environment: str, call: Call) -> Response:
        if call.method == INITIALIZE:
            return await self._initialize(request, tenant, environment, call)
        session = request.headers.get(SESSION_HEADER)
        if session is None:
            work = self._without_session(tenant, environment, call)
            return answered(result_of(call.request_id, await while_there(request, work)))
        instance = self._session(tenant, environment, session)
        return answered(result_of(call.request_id, await self._in_session(instance, call)))

    def _streamed(
        self, instance: Instance, call: Call, token: str | int, called: Callable[[], AbstractContextManager[None]]
    ) -> Response:
        async def work() -> dict[str, Any]:
            try:
                with called():
                    return result_of(call.request_id, await self._in_session(instance, call))
            except RpcException as error:
                return error_of(call.request_id, error)

        return ProgressResponse(work, ProgressFeed(token))

    async def _initialize(self, request: Request, tenant: str, environment: str, call: Call) -> Response:
        introduction(environment, call.params.get("protocolVersion"), "")  # refuses it before a place is taken
        session, instance = await while_there(request, self._open(tenant, environment, status=503))
        try:
            prompt = await instance.system_prompt() if instance.face.types.episodes else None
        except EnvironmentException as error:
            await self._host.release(instance, "its system prompt could not be read")
            raise _unopened(error, 500) from error
        words = "\n\n".join(part for part in (self._hosted.about(environment), prompt) if part)
        result = introduction(environment, call.params.get("protocolVersion"), words)
        response = answered(result_of(call.request_id, result))
        response.headers[SESSION_HEADER] = session
        return response

    async def _open(self, tenant: str, environment: str, *, status: int = 200) -> tuple[str, Instance]:
        """A new session. `status` is what HTTP is told where there is none to be had."""
        session = f"{self._clock.new_id('mcp')}-{self._clock.new_id('key')}"  # 96 bits of chance
        try:
            return session, await self._instances.get_or_open(tenant, environment, session)
        except EnvironmentException as error:
            counts = {"active_sessions": self._host.active, "max_sessions": self._host.limits.instances}
            raise _unopened(error, status, **counts) from error

    async def _in_session(self, instance: Instance, call: Call) -> dict[str, Any]:
        key = (instance.instance_id, call.request_id)
        if key in self._running:
            raise RpcException(INVALID_REQUEST, f"a call with the id {call.request_id!r} runs already", status=400)
        with anyio.CancelScope() as scope:
            self._running[key] = scope
            try:
                return await self._done(instance, call)
            except HostException as error:
                raise RpcException(INVALID_REQUEST, f"the session is over: {error.message}", status=404) from error
            finally:
                del self._running[key]
        raise RpcException(CANCELLED, "the call was cancelled")

    async def _done(self, instance: Instance, call: Call) -> dict[str, Any]:
        if call.method in (CREATE, END):
            raise RpcException(INVALID_REQUEST, "this session was begun by initialize, and ends with DELETE")
        if call.method == TOOLS_CALL:
            name, arguments = asked_tool(instance.face.types, call.params)
            if name == CLOSE:
                return await self._close(instance, arguments, (instance.instance_id, call.request_id))
        return await answer(instance, call)

    async def _close(
        self, instance: Instance, arguments: Mapping[str, Any], own: tuple[str, RequestId]
    ) -> dict[str, Any]:
        try:
            require_nothing(CLOSE, arguments)
        except ActionException as error:
            return failed(error.code, str(error))
        await self._end(instance, spared=own)
        return told({"closed": True})

    async def _end(self, instance: Instance, spared: tuple[str, RequestId] | None = None) -> None:
        for key, scope in list(self._running.items()):
            if key[0] == instance.instance_id and key != spared:
                scope.cancel()
        await self._host.release(instance, "its client closed it")

    async def _without_session(self, tenant: str, environment: str, call: Call) -> dict[str, Any]:
        if call.method == CREATE:
            return {"session_id": (await self._open(tenant, environment))[0]}
        named = call.params.get("session_id")
        if call.method == END:
            await self._end(self._named(tenant, environment, named))
            return {"session_id": named, "closed": True}
        instance = self._instances.find(tenant, environment, "") if named is None else None
        if named is not None:
            instance = self._named(tenant, environment, named)
        if instance is None:
            found = answer_at_once(EpisodeTypes(type(self._hosted.make(environment, 0))), call)
            if found is not None:
                return found
            instance = await self._default(tenant, environment)
        try:
            result = await self._done(instance, call)
        except HostException as error:
            raise _unopened(error, 200) from error
        return older(result) if call.method == TOOLS_CALL else result

    async def _default(self, tenant: str, environment: str) -> Instance:
        try:
            return await self._instances.get_or_open(tenant, environment, "")
        except EnvironmentException as error:
            raise _unopened(error, 200) from error

    def _session(self, tenant: str, environment: str, session: str | None) -> Instance:
        """The session of a header; an empty name is no session's."""
        instance = self._instances.find(tenant, environment, session) if session else None
        if instance is None:
            raise RpcException(INVALID_REQUEST, "there is no such session, or it is over: initialize", status=404)
        return instance

    def _named(self, tenant: str, environment: str, session: Any) -> Instance:
        known = isinstance(session, str) and session
        instance = self._instances.find(tenant, environment, session) if known else None
        if instance is None:
            raise RpcException(INVALID_PARAMS, f"unknown session_id: {session!r:.200}")
        return instance


def _progress_token(request: Request, call: Call) -> str | int | None:
    """What a client wants notifications of progress under; None: it wants none, takes no stream, or has no session."""
    if SESSION_HEADER not in request.headers:
        return None
    meta = call.params.get("_meta")
    token = id_of({"id": meta.get("progressToken")}) if isinstance(meta, Mapping) else None
    return token if "text/event-stream" in request.headers.get("accept", "") else None


def _unopened(error: EnvironmentException, status: int, **more: Any) -> RpcException:
    return RpcException(SERVER_ERROR, str(error), {"code": error.code, **more}, status=status)
