"""The LLM interface over HTTP, in both of PrismBench's shapes and with our extensions: paths, statuses and JSON.

message: POST /interact answers with the text. task: a session that /initialize opened answers /interact with a task.
`full` in the body of an /interact asks for everything that is known of the outcome; a model that gave no answer is then
an outcome like any other, with the status 200, and any other status speaks of the service.

A client that goes away while its answer is waited for has its model call cancelled. A task has no such client; see
tasks.py.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from loguru import logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from prismenv.server.asking import name_in, preferred_wait, read_ask, read_wait
from prismenv.server.body import read_body
from prismenv.server.documents import describe, page
from prismenv.server.guard import SCOPE_KEY
from prismenv.server.health import HealthBoard
from prismenv.server.hosts import require_local_host
from prismenv.server.interface import InterfaceService
from prismenv.server.openapi import PAGE_POLICY
from prismenv.server.refusal import Refusal, of_model, stopping
from prismenv.server.tasks import Task
from prismenv.server.tokens import Tokens
from prismenv.sessions.full import outcome_document
from prismenv.words.errors import AgentCommunicationException, EnvironmentException
from prismenv.words.outcome import Outcome

SERVICE = "llm_interface"
_GONE = 499  # nobody reads it: what logs and counters call a client that went away

T = TypeVar("T")
Handler = Callable[[Request, str], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Application:
    """The handlers. `local` is true where only loopback is listened to and no token is asked for.

    A web page in a browser on this machine reaches such a service too. It cannot send JSON there without asking first,
    which is not answered, nor under a name of its own, which is refused.
    """

    service: InterfaceService
    health: HealthBoard
    tokens: Tokens
    local: bool

    def build(self) -> Starlette:
        """The ASGI application."""
        routes = [  # they are tried in this order
            self._route("POST", "/interact", self._interact),
            self._route("GET", "/", self._root, free=True),
            self._route("GET", "/health", self._health, free=True),
            self._route("GET", "/openapi.json", self._openapi, free=True),
            self._route("GET", "/docs", self._docs, free=True),
            self._route("GET", "/metrics", self._metrics),
            self._route("POST", "/initialize", self._initialize),
            self._route("GET", "/task_status/{task_id:path}", self._task_status),
            self._route("GET", "/session_history/{session_id:path}", self._history),
            self._route("GET", "/active_sessions", self._active),
            self._route("DELETE", "/session/{session_id:path}", self._delete),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: no_such_thing, Exception: fault})

    def _route(self, method: str, path: str, handler: Handler, *, free: bool = False) -> Route:
        """`free`: without a token too; the handler is given no owner then."""
        shown = path.replace(":path}", "}")

        async def endpoint(request: Request) -> Response:
            try:
                response = await handler(request, self._owner(request, free=free))
            except Refusal as refusal:
                response = refused(refusal)
            except ClientDisconnect:
                response = Response(status_code=_GONE)
            except EnvironmentException as error:  # of a kind that the interface's contract does not name
                response = refused(Refusal(500, error.code, str(error)))
            self.service.meter.requested(shown, response.status_code)
            return response

        return Route(path, endpoint, methods=[method])

    def _owner(self, request: Request, *, free: bool) -> str:
        if self.local:
            require_local_host(request.headers.get("host", ""))
        owner = self.tokens.owner(request.headers.get("authorization", ""))
        if owner is None and not free:
            raise Refusal(401, "unauthorised", "a valid token is needed: Authorization: Bearer TOKEN")
        return owner or ""

    async def _object(self, request: Request) -> dict[str, Any]:
        limits = self.service.limits
        return await read_body(request, limits.body_bytes, limits.body_seconds)

    async def _root(self, _request: Request, _owner: str) -> Response:
        links = {"openapi": "/openapi.json", "docs": "/docs", "health": "/health", "metrics": "/metrics"}
        return answered(
            {"service": SERVICE, "name": "prismenv", "dialects": ["message", "task", "full"], "links": links}
        )

    async def _health(self, _request: Request, owner: str) -> Response:
        """The truth; what it rests on is for those with a token alone."""
        if self.service.stopping:
            return answered({"status": "stopping", "service": SERVICE}, 503)
        found = await self.health.look()
        served = [each["status"] for each in found.values() if each["status"] != "not served"]
        healthy = bool(served) and all(status == "healthy" for status in served)
        document: dict[str, Any] = {"status": "healthy" if healthy else "degraded", "service": SERVICE}
        if owner or not self.tokens:
            document["roles"] = found
            if workers := await self.service.workers():
                document["workers"] = workers
        return answered(document)

    async def _openapi(self, _request: Request, _owner: str) -> Response:
        return answered(describe())

    async def _docs(self, _request: Request, _owner: str) -> Response:
        return HTMLResponse(page(), headers={"Content-Security-Policy": PAGE_POLICY})

    async def _metrics(self, _request: Request, _owner: str) -> Response:
        page = await self.service.metrics()
        return Response(page, headers={"Content-Type": self.service.meter.content_type})

    async def _initialize(self, request: Request, owner: str) -> Response:
        role = name_in(await self._object(request), "role")
        session_id = await self.service.initialize(owner, role)
        return answered({"message": "Session initialized successfully", "session_id": session_id})

    async def _interact(self, request: Request, owner: str) -> Response:
        ask = read_ask(await self._object(request), request.headers.get("idempotency-key", ""))
        session = await self.service.session(owner, ask.session_id)
        if session is not None and session.role is not None:
            task = await self.service.begin(owner, ask, session)
            if wait := preferred_wait(request.headers.get("prefer", "")):
                task = await while_there(request, self.service.waited(task, wait))
            return answered({"task_id": task.task_id, **_status(task)})
        outcome = await while_there(request, self.service.interact(owner, ask, session))
        if ask.full:
            return answered(full_answer(ask.session_id, outcome))
        if (text := outcome.shown) is not None:
            return answered({"message": text, "session_id": ask.session_id})
        return refused(of_model(_error_of(outcome)))

    async def _task_status(self, request: Request, owner: str) -> Response:
        wait, task_id = read_wait(request.query_params.get("wait")), request.path_params["task_id"]
        return answered(_status(await while_there(request, self.service.task(owner, task_id, wait))))

    async def _history(self, request: Request, owner: str) -> Response:
        session_id = request.path_params["session_id"]
        return answered({"session_id": session_id, "history": await self.service.history(owner, session_id)})

    async def _active(self, _request: Request, owner: str) -> Response:
        return answered(await self.service.sessions(owner))

    async def _delete(self, request: Request, owner: str) -> Response:
        session_id = request.path_params["session_id"]
        await self.service.delete(owner, session_id)
        return answered({"message": f"Session {session_id} deleted", "session_id": session_id})


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """What `work` gives; ClientDisconnect, and the work cancelled, when the client goes away first."""
    connection = request.scope.get(SCOPE_KEY)
    if connection is None:  # a server of somebody else's
        return await _while_connected(request, work)
    with anyio.CancelScope() as scope:
        connection.on_gone = scope.cancel
        if connection.gone:
            scope.cancel()
        try:
            return await work
        finally:
            connection.on_gone = None
    raise ClientDisconnect


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """The same where the server cannot say by itself that the client is gone; the body was read before."""

    async def watch(scope: anyio.CancelScope) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    failed: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        try:
            return await work
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            failed = error
        finally:
            group.cancel_scope.cancel()
    if failed is not None:
        raise failed
    raise ClientDisconnect


def answered(data: Mapping[str, Any], status: int = 200) -> Response:
    """JSON; ASCII, so that whatever text is in it can be sent."""
    return Response(json.dumps(data).encode(), status, media_type="application/json")


def refused(refusal: Refusal) -> Response:
    """What a client is told that gets nothing else."""
    response = answered({"detail": refusal.message, "code": refusal.code}, refusal.status)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(refusal.retry_after_seconds)))
    if refusal.status == 401:  # noqa: PLR2004
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.status in (408, 413) or refusal.code == stopping().code:
        response.headers["Connection"] = "close"  # what is left of the body is not read
    return response


def full_answer(session_id: str, outcome: Outcome) -> dict[str, Any]:
    """The outcome with all that is known of it."""
    return {"session_id": session_id, **outcome_document(outcome)}


def _error_of(outcome: Outcome) -> AgentCommunicationException:
    assert outcome.error is not None  # noqa: S101 - an outcome has either
    return outcome.error


def _status(task: Task) -> dict[str, Any]:
    if not task.done.is_set():
        return {"status": "processing", "result": None, "error": None}
    outcome, refusal = task.outcome, task.refusal
    if outcome is not None:
        if (text := outcome.shown) is not None:
            return {"status": "completed", "result": {"response": text}, "error": None}
        refusal = of_model(_error_of(outcome))
    assert refusal is not None  # noqa: S101 - a task ends with either
    return {"status": "failed", "result": None, "error": refusal.message, "code": refusal.code}


async def no_such_thing(_request: Request, error: Exception) -> Response:
    """A path or method that there is not."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    response = answered({"detail": error.detail}, error.status_code)
    response.headers.update(error.headers or {})
    return response


async def fault(request: Request, error: Exception) -> Response:
    """A fault of ours: told to the log with its trace, and to the client without."""
    logger.error("{} {}: {}", request.method, request.url.path, error)
    return answered({"detail": "Internal server error", "code": "internal"}, 500)
