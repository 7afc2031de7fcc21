"""Sessions that a sandbox's service keeps: the same contract, over its line.

Theory of operation. The session's name is made up here, and its calls are counted here. So each question may be asked
again where a connection broke: one that is open already is found again, and a call that was begun is not made twice;
where its answer is lost the result says so, and the session goes on.

A call is spoken by a task that its caller's cancelling does not reach. The caller has the call interrupted then, and
waits for its end as it would in process; a call that does not run yet is dropped with its connection, and so is one
that a service, or the way to it, keeps us waiting for.

What the service does not know any more (it was started again) or does not answer has ended: the call that finds that
out is an `infrastructure_error`, and later ones are SandboxException.
"""

import base64
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel, ValidationError

from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.sessionwire import (
    CallAnswer,
    FilesAnswer,
    InterruptAnswer,
    OpenAnswer,
    PlainAnswer,
)
from prismenv.isolation.launch import StopSignal
from prismenv.isolation.serviceline import Refused, ServiceLine, Unanswered, complaint
from prismenv.isolation.sessionfiles import checked_files
from prismenv.words.coderesult import CodeError, CodeResult, SessionFiles
from prismenv.words.errors import ConfigurationException, EnvironmentException, SandboxException
from prismenv.words.limits import Limits

MOST_BYTES = 2**28  # of one answer
CLOSE_SECONDS = 10.0  # that closing, or the end of a call that was given up, is waited for
_MOST_ESCAPED = 12  # characters of JSON for one of a text
_OVERHEAD = 1024  # of a question, beside what is counted

A = TypeVar("A", bound=BaseModel)


class SessionLine:
    """The service's line, for sessions. `body_bytes` is the longest question that is taken there."""

    def __init__(self, line: ServiceLine, body_bytes: int) -> None:
        self.url = line.url
        self.body_bytes = body_bytes
        self._line = line

    async def ask(self, path: str, document: Mapping[str, Any], answer: type[A]) -> A:
        """The answer to a question. Raises Unanswered, and ConfigurationException for what the service cannot do."""
        body = await self._line.post(f"/sessions{path}", document, MOST_BYTES)
        try:
            return answer.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise Unanswered(f"{self.url}: the answer is none: {complaint(error)}") from error


class RemoteSessions:
    """Those that one sandbox opened."""

    def __init__(self, line: SessionLine) -> None:
        self._line = line
        self._open: set[RemoteSession] = set()

    async def open(self, language: str, limits: Mapping[str, Any]) -> SandboxSession:
        """Open one. SandboxException, ConfigurationException as the contract says."""
        name = secrets.token_hex(16)
        asked = {"session": name, "language": language, "limits": limits}
        try:
            told = await self._line.ask("", asked, OpenAnswer)
        except Refused as trouble:
            raise self._refused(trouble) from trouble
        except Unanswered as trouble:
            raise SandboxException(str(trouble), code="service_gone", subject=self._line.url) from trouble
        except anyio.get_cancelled_exc_class():
            await _close(self._line, name)  # its answer may be on the way
            raise
        session = RemoteSession(self._line, name, language, told.limits, self._open.discard)
        self._open.add(session)
        return session

    async def close(self) -> None:
        """End all of them."""
        async with anyio.create_task_group() as group:
            for session in list(self._open):
                group.start_soon(session.end, "the sandbox was closed")

    def _refused(self, trouble: Refused) -> SandboxException:
        url = self._line.url
        if not trouble.code:  # a path that an older service has not
            return SandboxException(f"{url}: the service keeps no sessions", code="no_sessions", subject=url)
        return SandboxException(trouble.detail, code=trouble.code, subject="sessions")


class RemoteSession(SandboxSession):
    """One of them. `closed` is called with it when it has ended.

    Threads may interrupt it. That it has ended for want of use is known here with the next call.
    """

    def __init__(
        self,
        line: SessionLine,
        name: str,
        language: str,
        limits: Limits,
        closed: Callable[["RemoteSession"], None],
    ) -> None:
        self.language = language
        self.limits = limits
        self._line = line
        self._name = name
        self._closed = closed
        self._turn = anyio.Lock()
        self._edge = threading.Lock()  # guards the one below
        self._stop: StopSignal | None = None
        self._ended: str | None = None
        self._calls = 0

    @property
    def ended(self) -> str | None:
        return self._ended

    async def execute(
        self,
        code: str,
        *,
        wall_seconds: float | None = None,
        cpu_seconds: float | None = None,
        output_bytes: int | None = None,
    ) -> CodeResult:
        limits = {"wall_seconds": wall_seconds, "cpu_seconds": cpu_seconds, "output_bytes": output_bytes}
        self._check_length(code)
        async with self._turn:
            self._check_open()
            self._calls += 1
            return await self._interruptible(_Call(self, self._calls, {"code": code, **limits}))

    def interrupt(self) -> None:
        with self._edge:
            if self._stop is not None:
                self._stop.set()

    async def put_files(self, files: Mapping[str, str | bytes]) -> None:
        content = checked_files(files, self.limits.file_bytes)
        coded = {path: base64.b64encode(data).decode() for path, data in content.items()}
        async with self._turn:
            self._check_open()
            for piece in _pieces(coded, self._line.body_bytes - _OVERHEAD):
                await self.asked("put_files", {"files": piece}, PlainAnswer)

    async def get_files(self) -> SessionFiles:
        async with self._turn:
            self._check_open()
            told = await self.asked("get_files", {}, FilesAnswer)
        return SessionFiles(files=told.files, skipped=told.skipped)

    async def close(self) -> None:
        await self.end("it was closed")

    async def end(self, reason: str) -> None:
        """End it here, and there where the service answers; what does not ends by its own rules."""
        self.over(reason)
        await _close(self._line, self._name)

    def over(self, reason: str) -> None:
        """There are no more calls."""
        self._ended = self._ended or reason
        self._closed(self)

    async def asked(self, action: str, document: Mapping[str, Any], answer: type[A]) -> A:
        """What the service answers. SandboxException: the session has ended, is lost, or refuses."""
        try:
            return await self._line.ask(f"/{self._name}/{action}", document, answer)
        except Refused as trouble:
            if trouble.code == "session_ended":
                self.over(trouble.detail)
                self._check_open()
            if trouble.code in ("file_refused", "call_lost"):
                raise SandboxException(trouble.detail, code=trouble.code, subject="session") from trouble
            lost = trouble.code == "unknown_session"
            why = f"{self._line.url}: the service does not know the session: was it started again?"
            message = why if lost else str(trouble)
        except Unanswered as trouble:
            message = str(trouble)
        self.over(message)
        raise SandboxException(message, code="session_lost", subject=self._line.url)

    async def interrupted(self, call: int) -> bool:
        """Have a call interrupted; whether it ran. False too where the service does not answer."""
        try:
            asked = {"call": call}
            return (await self._line.ask(f"/{self._name}/interrupt", asked, InterruptAnswer)).running
        except (Unanswered, EnvironmentException):
            return False

    async def _interruptible(self, call: "_Call") -> CodeResult:
        """The result of a call, which `interrupt` and the caller's cancelling interrupt."""
        stop = StopSignal()
        with self._edge:
            self._stop = stop
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(call.speak)
                group.start_soon(call.heed, stop)
                try:
                    await call.done.wait()
                finally:
                    if not call.done.is_set():
                        await call.give_up()
                    group.cancel_scope.cancel()
        finally:
            with self._edge:
                self._stop = None
            stop.close()
        return call.result()

    def _check_length(self, code: str) -> None:
        most = self._line.body_bytes - _OVERHEAD
        if len(code) * _MOST_ESCAPED > most and len(json.dumps(code)) > most:
            message = f"the code has {len(code)} characters, more than the service takes at once"
            raise ConfigurationException(message, subject="code", hint="Serve with a larger --max-body-bytes.")

    def _check_open(self) -> None:
        if self._ended is not None:
            message = f"the session has ended: {self._ended}"
            raise SandboxException(message, code="session_ended", subject="session", hint="Open another.")


class _Call:
    """One call on its way. `done` is set when it is over, however."""

    def __init__(self, session: RemoteSession, number: int, asked: Mapping[str, Any]) -> None:
        self.done = anyio.Event()
        self._session = session
        self._number = number
        self._asked = asked
        self._scope = anyio.CancelScope(shield=True)
        self._result: CodeResult | None = None
        self._failed: EnvironmentException | None = None

    def result(self) -> CodeResult:
        """What it gave. SandboxException, ConfigurationException as `execute` raises them."""
        if self._failed is not None:
            raise self._failed
        if self._result is None:
            raise SandboxException("the call was given up", code="call_lost", subject="session")
        return self._result

    async def speak(self) -> None:
        """Make the call."""
        session = self._session
        try:
            with self._scope:
                told = await session.asked("execute", {"call": self._number, **self._asked}, CallAnswer)
                self._result = self._sound(told.result)
                if told.ended is not None or self._result.session_ended:
                    session.over(told.ended or "the service says that it has ended")
        except ConfigurationException as error:
            self._failed = error
        except SandboxException as error:
            if error.code == "session_ended":
                self._failed = error
            else:
                self._result = _broken(error.message, ended=session.ended is not None)
        finally:
            self.done.set()

    async def heed(self, stop: StopSignal) -> None:
        """Have it interrupted whenever the signal is set."""
        while True:
            await anyio.wait_readable(stop.reader)
            os.read(stop.reader, 8)
            await self._session.interrupted(self._number)

    async def give_up(self) -> None:
        """Have it interrupted and wait for its end; drop it where it does not run, or that takes too long."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
            if await self._session.interrupted(self._number):
                await self.done.wait()
        self._scope.cancel()

    def _sound(self, result: CodeResult) -> CodeResult:
        if (result.outcome == "finished") == (result.error is None):
            return result
        message = f"the answer is no result: its outcome is {result.outcome}, and its error {result.error!s:.100}"
        return _broken(message, ended=result.session_ended)


async def _close(line: SessionLine, name: str) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
        try:
            await line.ask(f"/{name}/close", {}, PlainAnswer)
        except (Unanswered, EnvironmentException):
            return  # it is gone, or ends there for want of use


def _pieces(coded: Mapping[str, str], most: int) -> Iterator[Mapping[str, str]]:
    """The files, as many at once as fit into a question. SandboxException for one that does not."""
    piece: dict[str, str] = {}
    size = 0
    for path, text in coded.items():
        own = len(text) + _MOST_ESCAPED * len(path) + 8  # as JSON writes them at most
        if own > most:
            message = f"{path!r} is longer than the service takes at once"
            hint = "Serve with a larger --max-body-bytes."
            raise SandboxException(message, code="too_large", subject=path, hint=hint)
        if size + own > most:
            yield piece
            piece, size = {}, 0
        piece[path] = text
        size += own
    if piece:
        yield piece


def _broken(message: str, *, ended: bool) -> CodeResult:
    error = CodeError(name="SandboxError", message=message)
    return CodeResult(outcome="infrastructure_error", error=error, session_ended=ended)
