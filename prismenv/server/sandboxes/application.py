"""The sandbox over HTTP: paths, statuses and JSON. The shapes are in contracts/sandboxwire.py.

A verdict is an answer like any other, whatever it says; any status but 200 speaks of the service. A client that goes
away while its answer is waited for has its run killed.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from prismenv import __version__
from prismenv.contracts.clock import Clock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.sandboxwire import (
    PROTOCOL,
    SERVICE,
    BatchQuestion,
    CaseAnswer,
    CaseRefusal,
    JudgeQuestion,
    RunQuestion,
    ServiceCard,
)
from prismenv.contracts.sessionwire import (
    CallQuestion,
    FilesQuestion,
    InterruptQuestion,
    OpenQuestion,
    PlainQuestion,
)
from prismenv.finding.complaints import dotted
from prismenv.server.admission import Admission
from prismenv.server.application import answered, fault, no_such_thing, refused, while_there
from prismenv.server.body import read_json_bytes
from prismenv.server.refusal import Refusal, of_configuration
from prismenv.server.sandboxes.desk import Desk, Errand
from prismenv.server.sandboxes.health import SandboxHealth
from prismenv.server.sandboxes.kept import KeptSessions
from prismenv.server.sandboxes.limits import SandboxServiceLimits
from prismenv.server.sandboxes.meter import SandboxMeter
from prismenv.server.sandboxes.sessionpaths import SessionDesk, of_sandbox
from prismenv.words.coderesult import CodeResult
from prismenv.words.errors import ConfigurationException, EnvironmentException, SandboxException
from prismenv.words.judgecase import JudgeCase
from prismenv.words.verdict import Execution, Verdict

_GONE = 499  # nobody reads it: what counters call a client that went away
_HEAD = b'{"protocol":%d,' % PROTOCOL

D = TypeVar("D", Verdict, Execution, CodeResult)
Q = TypeVar("Q", bound=BaseModel)
Handler = Callable[[Request, str | None], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class SandboxApplication:
    """The handlers. `card` is what the service says of itself; `calls` gives calls of sessions their turns."""

    sandbox: Sandbox
    card: ServiceCard
    desk: Desk
    health: SandboxHealth
    meter: SandboxMeter
    admission: Admission
    limits: SandboxServiceLimits
    clock: Clock
    kept: KeptSessions
    calls: Desk

    def build(self) -> Starlette:
        """The ASGI application."""
        routes = [  # they are tried in this order
            self._route("POST", "/judge", self._judge),
            self._route("POST", "/run", self._run),
            self._route("POST", "/batch", self._batch),
            self._route("POST", "/sessions", self._open),
            self._route("POST", "/sessions/{name}/execute", self._execute),
            self._route("POST", "/sessions/{name}/interrupt", self._interrupt),
            self._route("POST", "/sessions/{name}/put_files", self._put_files),
            self._route("POST", "/sessions/{name}/get_files", self._get_files),
            self._route("POST", "/sessions/{name}/close", self._close),
            self._route("GET", "/", self._root, free=True),
            self._route("GET", "/health", self._health, free=True),
            self._route("GET", "/metrics", self._metrics),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: no_such_thing, Exception: fault})

    def _route(self, method: str, path: str, handler: Handler, *, free: bool = False) -> Route:
        """`free`: without a token too; the handler is given None as the owner then."""

        async def endpoint(request: Request) -> Response:
            try:
                response = await handler(request, self.admission.tenant(request.headers, free=free))
            except Refusal as refusal:
                response = refused(refusal)
            except ClientDisconnect:
                response = Response(status_code=_GONE)
            except ConfigurationException as error:
                response = refused(of_configuration(error))
            except SandboxException as error:
                response = refused(of_sandbox(error))
            except EnvironmentException as error:
                response = refused(Refusal(500, error.code, str(error)))
            self.meter.requested(path, response.status_code)
            return response

        return Route(path, endpoint, methods=[method])

    async def _judge(self, request: Request, owner: str | None) -> Response:
        asked, size = await self._asked(request, JudgeQuestion)
        errand = Errand(owner or "", size, [partial(self._judged, asked)])
        verdicts = await while_there(request, self.desk.do(errand))
        return _document(b'"verdict":', verdicts[0].model_dump_json().encode())

    async def _run(self, request: Request, owner: str | None) -> Response:
        asked, size = await self._asked(request, RunQuestion)
        errand = Errand(owner or "", size, [partial(self._executed, asked)])
        executions = await while_there(request, self.desk.do(errand))
        return _document(b'"execution":', executions[0].model_dump_json().encode())

    async def _batch(self, request: Request, owner: str | None) -> Response:
        asked, size = await self._asked(request, BatchQuestion)
        errand = Errand(owner or "", size, [partial(self._answered, case) for case in asked.cases])
        answers = await while_there(request, self.desk.do(errand))
        shown = b",".join(each.model_dump_json(exclude_none=True).encode() for each in answers)
        return _document(b'"answers":', b"[" + shown + b"]")

    async def _open(self, request: Request, owner: str | None) -> Response:
        asked, size = await self._asked(request, OpenQuestion)
        return _shown(await while_there(request, self._sessions.open(owner or "", asked, size)))

    async def _execute(self, request: Request, owner: str | None) -> Response:
        asked, size = await self._asked(request, CallQuestion)
        work = self._sessions.execute(owner or "", request.path_params["name"], asked, size)
        return _shown(await while_there(request, work))

    async def _interrupt(self, request: Request, owner: str | None) -> Response:
        asked, _ = await self._asked(request, InterruptQuestion)
        return _shown(self._sessions.interrupt(owner or "", request.path_params["name"], asked))

    async def _put_files(self, request: Request, owner: str | None) -> Response:
        asked, size = await self._asked(request, FilesQuestion)
        work = self._sessions.put_files(owner or "", request.path_params["name"], asked, size)
        return _shown(await while_there(request, work))

    async def _get_files(self, request: Request, owner: str | None) -> Response:
        await self._asked(request, PlainQuestion)
        work = self._sessions.get_files(owner or "", request.path_params["name"])
        return Response(await while_there(request, work), media_type="application/json")

    async def _close(self, request: Request, owner: str | None) -> Response:
        await self._asked(request, PlainQuestion)
        return _shown(await self._sessions.close(owner or "", request.path_params["name"]))

    @property
    def _sessions(self) -> SessionDesk:
        return SessionDesk(self.sandbox, self.calls, self.kept, self._metered)

    async def _judged(self, case: JudgeCase) -> Verdict:
        verdict = await self._metered("judge", self.sandbox.judge_case(case))
        self.health.judged(verdict)
        return verdict

    async def _executed(self, asked: RunQuestion) -> Execution:
        run = self.sandbox.run(asked.program, stdin=asked.stdin, language=asked.language, limits=asked.limits)
        return await self._metered("run", run)

    async def _answered(self, case: JudgeCase) -> CaseAnswer:
        try:
            return CaseAnswer(verdict=await self._judged(case))
        except ConfigurationException as error:
            refusal = of_configuration(error)
            return CaseAnswer(refusal=CaseRefusal(code=refusal.code, detail=refusal.message))

    async def _metered(self, call: str, work: Awaitable[D]) -> D:
        begun = self.clock.monotonic()
        outcome = "cancelled"
        try:
            done = await work
            outcome = str(done.outcome)
        except EnvironmentException:
            outcome = "refused"
            raise
        else:
            return done
        finally:
            self.meter.ran(call, outcome, self.clock.monotonic() - begun)

    async def _asked(self, request: Request, question: type[Q]) -> tuple[Q, int]:
        """The question in a body and how long that is; Refusal says what is wrong with it."""
        body = await read_json_bytes(request, self.limits.body_bytes, self.limits.body_seconds)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "bad_json", f"the body is no JSON: {error!s:.200}") from error
        spoken = data.get("protocol") if isinstance(data, dict) else None
        if isinstance(spoken, int) and spoken != PROTOCOL:
            message = f"this service ({__version__}) speaks version {PROTOCOL} of the protocol, not {str(spoken)[:20]}"
            raise Refusal(400, "other_version", message)
        try:
            return question.model_validate(data), len(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise Refusal(422, "wrong_shape", f"{dotted(first['loc']) or 'the body'}: {first['msg']}") from error

    async def _root(self, _request: Request, owner: str | None) -> Response:
        if owner is None:
            return answered({"service": SERVICE, "protocol": PROTOCOL, "version": __version__})
        return answered({**self.card.model_dump(mode="json"), "links": {"health": "/health", "metrics": "/metrics"}})

    async def _health(self, _request: Request, owner: str | None) -> Response:
        """The truth; what it rests on is for those with a token alone."""
        document: dict[str, Any] = {"status": "stopping", "service": SERVICE}
        if self.desk.stopping:
            return answered(document, 503)
        found = await self.health.look(busy=self.desk.running >= self.card.workers)
        document["status"] = "healthy" if found == "ok" else "unhealthy"
        if owner is not None:
            document |= {"sandbox": found, "isolation": self.card.isolation}
            document |= {"running": self.desk.running, "waiting": self.desk.waiting}
        return answered(document, 200 if found == "ok" else 503)

    async def _metrics(self, _request: Request, _owner: str | None) -> Response:
        return Response(self.meter.page(), headers={"Content-Type": self.meter.content_type})


def _shown(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _document(name: bytes, inner: bytes) -> Response:
    return Response(_HEAD + name + inner + b"}", media_type="application/json")
