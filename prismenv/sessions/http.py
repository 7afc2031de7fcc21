"""The LLM interface as a service: ours, and any other in both of PrismBench's shapes.

full: a session id is chosen here; POST /interact carries what the session is about and answers with everything that is
known of the outcome, so that a run through the service is the same as one in process. One request for a question.
message: a session id is chosen here and begins with its first call; POST /interact answers with the text.
task: POST /initialize opens the session; POST /interact answers with a task, which GET /task_status/{id} is asked for,
with `wait` so that a service that knows it answers as soon as it is done, and every POLL_SECONDS where it does not.
`auto` asks once what GET / says: a service of ours says that it is one. To any other it tries /initialize once: a
service that has no such path speaks the message shape. Whatever the shape, an answer
to /interact that holds a task is waited for, and one that holds a message is taken.

POST /interact may have been done although its answer was lost. Before it is sent again, /session_history is asked: if
the exchange is there, its response is the answer. Where the service keeps no history, the question is asked twice. Ours
knows a question by its Idempotency-Key, and answers the same one again.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

import anyio
from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.interface import InterfaceClient
from prismenv.contracts.recipe import HttpInterface
from prismenv.contracts.turn import Turn
from prismenv.network.retry import RetryPolicy
from prismenv.network.secret import read_secret
from prismenv.sessions.agentfile import AgentFile, unknown_role
from prismenv.sessions.answer import MAX_ANSWER_BYTES, excerpt, extract, receive
from prismenv.sessions.full import DIALECT, read_outcome, speaks_full
from prismenv.sessions.local import RAW_LABEL
from prismenv.sessions.service import Ask, Reply, ServiceConnection
from prismenv.sessions.template import CompiledTemplate, Question, fit, require_fit, text_of
from prismenv.words.chat import Answer, TokenWatcher
from prismenv.words.errors import (
    AgentCommunicationException,
    ConfigurationException,
    EnvironmentException,
    ProtocolException,
)
from prismenv.words.jsonkind import json_kind
from prismenv.words.usage import Usage

POLL_SECONDS = 0.5
WAIT_SECONDS = 20
CLEANUP_SECONDS = 5.0
_MAX_BODY_BYTES = 6 * MAX_ANSWER_BYTES + 2**16  # JSON may write one byte as six
_NO_INITIALIZE = frozenset({404, 405, 422})
_REFUSALS = frozenset(range(400, 500)) - {408, 409, 429}
_ASKED_WRONG = frozenset({404, 422})
_GONE = frozenset({404, 410})
_PLAIN = CompiledTemplate("", (), frozenset(), ("",), frozenset(), "text")

Shape = Literal["full", "message", "task"]


@dataclass(slots=True)
class _Session:
    """`remote_id` is the service's name for it; `exchanges` counts those done, None once that is not certain."""

    role: str
    remote_id: str
    templates: tuple[CompiledTemplate, ...]
    raw: bool
    shape: Shape
    about: dict[str, Any]  # what the full shape says of a session
    turn: Turn = field(default_factory=Turn)
    calls: int = 0
    exchanges: int | None = 0

    @property
    def path(self) -> str:
        return quote(self.remote_id, safe="")

    @property
    def begun(self) -> bool:
        """True when the service may know it."""
        return self.shape == "task" or self.calls > 0


class HttpInterfaceClient(InterfaceClient):
    """Sessions at the service that `settings` name. An interaction that is cancelled deletes its session.

    `agents` say how answers are extracted; a role that they do not know goes to the service as it is, and its answers
    are taken as they come. `environ` None is the process's own.
    """

    def __init__(
        self,
        settings: HttpInterface,
        agents: Mapping[str, AgentFile],
        clock: Clock,
        *,
        environ: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        secret = read_secret(settings.token_variable, os.environ if environ is None else environ)
        self._service = ServiceConnection(settings.url, secret, clock, retry or RetryPolicy(), _MAX_BODY_BYTES)
        self._timeout_seconds = settings.timeout
        self._shape: Shape | None = None if settings.dialect == "auto" else settings.dialect
        self._probe = anyio.Lock()
        self._agents = agents
        self._compiled: dict[str, tuple[CompiledTemplate, ...]] = {}
        self._clock = clock
        self._sessions: dict[str, _Session] = {}

    async def initialize_session(
        self,
        role: str,
        *,
        seed: int | None = None,  # PrismBench's shapes have no place for it
        labels: Mapping[str, Any] | None = None,
    ) -> str:
        templates = self._templates(role)
        with self._deadline(role):
            shape, remote_id = await self._begin(role)
        raw = (labels or {}).get(RAW_LABEL) is True
        session_id = self._clock.new_id("session")
        about = {"seed": seed, "labels": dict(labels or {}), "full": True} if shape == DIALECT else {}
        self._sessions[session_id] = _Session(role, remote_id or session_id, templates, raw, shape, about)
        return session_id

    async def interact(
        self,
        session_id: str,
        role: str,
        inputs: Mapping[str, Any],
        *,
        watch: TokenWatcher | None = None,  # noqa: ARG002 - the service's shape has no streams
    ) -> Answer:
        session = self._session(session_id, role)
        full = session.shape == DIALECT
        plain = full or not session.templates  # the service fits the question to its template
        question = Question(_PLAIN, inputs) if plain else fit(role, session.templates, inputs)
        async with session.turn:
            try:
                with self._deadline(role):
                    if full:
                        return await self._full(session, inputs)
                    text = await self._exchange(session, question)
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):  # the service must not keep what nobody will ask for
                    await self.cleanup_session(session_id)
                raise
            except EnvironmentException:
                session.exchanges = None  # the service may have done it after all
                raise
        return self._answer(session, question, text)

    async def cleanup_session(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is None or not session.begun:
            return
        ask = Ask("DELETE", f"/session/{session.path}", read_seconds=CLEANUP_SECONDS, tries=1)
        try:
            with anyio.fail_after(CLEANUP_SECONDS):
                await self._service.ask(ask, expect=_GONE)
        except (EnvironmentException, TimeoutError) as error:  # it is forgotten here in any case
            logger.warning("a session of {} was not deleted at the service: {}", session.role, error)

    async def ping(self, role: str) -> None:
        with self._deadline(role):
            reply = await self._service.ask(Ask("GET", "/health", tries=1, read_seconds=10.0))
        status, roles = reply.data.get("status"), reply.data.get("roles")
        own = roles.get(role) if isinstance(roles, dict) else None
        if isinstance(own, dict) and own.get("status") == "unreachable":
            status = f"unable to reach the model of {role}: {excerpt(str(own.get('error')))}"
        elif status not in ("unhealthy", "down", "error"):
            return
        raise AgentCommunicationException(
            f"{self._service.url}: the service says that it is {status}", code="unavailable", subject=role
        )

    async def require_access(self) -> None:
        await self._service.require_access()

    def templates(self, role: str) -> Sequence[tuple[str, ...]]:
        return tuple(template.inputs for template in self._templates(role))

    def require_template(self, role: str, inputs: Sequence[str]) -> None:
        if templates := self._templates(role):
            require_fit(role, templates, inputs)

    async def aclose(self) -> None:
        with anyio.move_on_after(CLEANUP_SECONDS):
            for session_id in list(self._sessions):
                await self.cleanup_session(session_id)
        self._sessions.clear()
        await self._service.aclose()

    def _templates(self, role: str) -> tuple[CompiledTemplate, ...]:
        compiled = self._compiled.get(role)
        if compiled is None:
            agent = self._agents.get(role)
            if agent is None and role in getattr(self._agents, "broken", {}):
                raise unknown_role(role, self._agents)
            compiled = self._compiled[role] = agent.compiled() if agent else ()
        return compiled

    def _session(self, session_id: str, role: str) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise AgentCommunicationException(
                f"{role}: there is no session {session_id!r}; it was never opened, or is closed",
                code="unknown_session",
                subject=session_id,
            )
        if session.role != role:
            raise ConfigurationException(
                f"the session {session_id!r} was opened for {session.role!r}, not for {role!r}", subject=role
            )
        return session

    @contextmanager
    def _deadline(self, role: str) -> Iterator[None]:
        try:
            with anyio.fail_after(self._timeout_seconds):
                yield
        except TimeoutError as error:
            raise AgentCommunicationException(
                f"{role}: no answer from {self._service.url} within {self._timeout_seconds:g} s",
                code="timed_out",
                subject=role,
            ) from error

    async def _begin(self, role: str) -> tuple[Shape, str]:
        """The shape that the service speaks and the session it opened; empty where the first call begins one."""
        if self._shape is None:
            async with self._probe:
                if self._shape is None:
                    return await self._try_shapes(role)
        if self._shape != "task":
            return self._shape, ""
        reply = await self._service.ask(Ask("POST", "/initialize", {"role": role}))
        return "task", self._text(reply.data, "session_id", "/initialize")

    async def _is_ours(self) -> bool:
        """What the service says of itself. One that cannot be asked now is an error: nobody knows what it is then."""
        try:
            reply = await self._service.ask(Ask("GET", "/"), expect=_REFUSALS)
        except ProtocolException:  # a page, or a redirect to one: some other service, and what it says is no matter
            return False
        return speaks_full(reply.data)

    async def _try_shapes(self, role: str) -> tuple[Shape, str]:
        if await self._is_ours():
            self._shape = "full"
            return "full", ""
        reply = await self._service.ask(Ask("POST", "/initialize", {"role": role}), expect=_NO_INITIALIZE)
        if reply.status not in _NO_INITIALIZE:
            self._shape = "task"
            return "task", self._text(reply.data, "session_id", "/initialize")
        if reply.status == 404 and "role" in reply.detail.lower():  # noqa: PLR2004 - the path is there; the role is not
            raise ConfigurationException(
                f"{self._service.url} does not know the role {role!r}: {reply.detail}",
                code="unknown_role",
                subject=role,
            )
        self._shape = "message"
        return "message", ""

    async def _full(self, session: _Session, inputs: Mapping[str, Any]) -> Answer:
        """The answer of a service of ours. It has asked its model again where that was worth it."""
        session.calls += 1
        body = {"session_id": session.remote_id, "role": session.role, "input_data": dict(inputs), **session.about}
        ask = Ask("POST", "/interact", body, key=f"{session.remote_id}-{session.calls}", read_seconds=None)
        reply = await self._service.ask(ask, expect=_ASKED_WRONG)
        if reply.code == "unknown_session":
            raise AgentCommunicationException(
                f"{session.role}: {self._service.url} has forgotten the session, and what was said in it",
                code="unknown_session",
                subject=session.remote_id,
                hint="It was idle for too long, or the service was started again.",
            )
        if reply.status in _ASKED_WRONG:
            code = reply.code or None
            raise ConfigurationException(f"{self._service.url}: {reply.detail}", code=code, subject=session.role)
        session.about["continues"] = True
        return read_outcome(reply.data, f"{self._service.url}/interact")

    async def _exchange(self, session: _Session, question: Question) -> str:
        """The service's answer, as it came."""
        session.calls += 1
        body: dict[str, Any] = {"session_id": session.remote_id, "input_data": dict(question.inputs)}
        if session.shape == "message":
            body["role"] = session.role
        body["use_agent"] = False
        ask = Ask(
            "POST",
            "/interact",
            body,
            key=f"{session.remote_id}-{session.calls}",
            prefer=f"wait={WAIT_SECONDS}" if session.shape == "task" else "",
            read_seconds=None,
            recover=partial(self._recovered, session, question),
        )
        reply = await self._service.ask(ask)
        if "task_id" in reply.data:
            text = await self._finished(self._text(reply.data, "task_id", "/interact"), reply)
        else:
            text = self._text(reply.data, "message", "/interact")
        if session.exchanges is not None:
            session.exchanges += 1
        return text

    async def _finished(self, task_id: str, begun: Reply) -> str:
        """The response of a task once it is completed; the reply that it begun with may have it."""
        path = f"/task_status/{quote(task_id, safe='')}"
        ask = Ask("GET", path, query={"wait": str(WAIT_SECONDS)}, read_seconds=WAIT_SECONDS + 10.0)
        reply = begun if begun.data.get("status") in ("completed", "failed") else None
        while True:
            started = self._clock.monotonic()
            reply = reply or await self._service.ask(ask)
            status = reply.data.get("status")
            if status == "completed":
                result = reply.data.get("result")
                return self._text(result if isinstance(result, dict) else {}, "response", f"{path}: result")
            if status == "failed":
                raise AgentCommunicationException(
                    f"{self._service.url}: the task failed: {excerpt(str(reply.data.get('error')))}",
                    code="task_failed",
                    subject=self._service.url,
                )
            if status not in ("pending", "processing"):
                raise ProtocolException(
                    f"{self._service.url}{path}: status: found {excerpt(str(status))}; expected pending, processing, "
                    f"completed or failed",
                    subject=self._service.url,
                )
            await self._clock.sleep(max(0.0, POLL_SECONDS - (self._clock.monotonic() - started)))
            reply = None

    async def _recovered(self, session: _Session, question: Question) -> dict[str, Any] | None:
        """The answer to `question` from the session's history, None where it does not show that it was done."""
        if session.exchanges is None:
            return None
        ask = Ask("GET", f"/session_history/{session.path}", tries=1, read_seconds=CLEANUP_SECONDS)
        try:
            reply = await self._service.ask(ask)
        except EnvironmentException as error:
            logger.debug("no history of a session of {}: {}", session.role, error)
            return None
        done = _entries(reply, session.role)
        if len(done) != session.exchanges + 1 or not isinstance(done[-1], dict):
            return None
        response = done[-1].get("response")
        asked = {name: done[-1].get(name) for name in question.inputs}
        return {"message": response} if isinstance(response, str) and asked == question.inputs else None

    def _text(self, data: Mapping[str, Any], key: str, where: str) -> str:
        value = data.get(key)
        if not isinstance(value, str) or (not value and key.endswith("_id")):
            text = value if isinstance(value, str) else json.dumps(value)
            found = "nothing" if key not in data else f"{json_kind(value)} {excerpt(text)}"
            raise ProtocolException(
                f"{self._service.url}{where}: {key}: found {found}; expected text", subject=self._service.url
            )
        return value

    def _answer(self, session: _Session, question: Question, text: str) -> Answer:
        prompt_length = sum(len(text_of(value)) for value in question.inputs.values())
        usage = Usage(
            calls=1,
            prompt_tokens=prompt_length // 4,
            completion_tokens=len(text) // 4,
            cost_usd=None,  # the service does not say
            estimated=True,
        )
        raw = ""
        try:
            raw = receive(session.role, text, MAX_ANSWER_BYTES)
            usable = raw if session.raw else extract(session.role, question.template, raw)
        except AgentCommunicationException as error:
            error.usage, error.raw = usage, raw
            raise
        return Answer(usable, raw, usage, template=question.template.name, appended=question.appended)


def _entries(reply: Reply, role: str) -> list[Any]:
    """The exchanges of `role` in a session's history; empty where it has another shape."""
    histories = reply.data.get("history")
    own = histories.get(role) if isinstance(histories, dict) else None
    entries = own.get("history") if isinstance(own, dict) else None
    return entries if isinstance(entries, list) else []
