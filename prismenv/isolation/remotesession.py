"""A session on another machine, kept by `prismenv sandbox serve`.

What code does to a session cannot be done again, so a call whose connection broke is not repeated: nobody knows how far
it came, and the session ends for its user. The service ends it by itself when nobody uses it any more.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel, ValidationError

from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.sandboxwire import CodeAnswer, FilesAnswer, PlainAnswer
from prismenv.isolation.serviceline import ServiceLine, Unanswered, complaint
from prismenv.words.coderesult import CodeError, CodeResult, SessionFiles
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits

MOST_BYTES = 2**28  # of one answer
CLOSE_SECONDS = 10.0
_ENDED = "session_ended"
_TOLD = (_ENDED, "sessions_full", "file_refused")  # codes of the contract, which the service tells
A = TypeVar("A", bound=BaseModel)


class RemoteSession(SandboxSession):
    """The session that the service calls `session_id`; `limits` are in force there."""

    def __init__(self, line: ServiceLine, session_id: str, language: str, limits: Limits) -> None:
        self.language = language
        self.limits = limits
        self._line = line
        self._path = f"/sessions/{session_id}"
        self._turn = anyio.Lock()
        self._ended: str | None = None
        self._interrupting: anyio.Event | None = None

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
        asked = {"wall_seconds": wall_seconds, "cpu_seconds": cpu_seconds, "output_bytes": output_bytes}
        question = {"code": code, **{name: value for name, value in asked.items() if value is not None}}
        async with self._turn:
            self._check_open()
            try:
                answer = await self._interruptible(question)
            except Unanswered as trouble:
                self._raise_told(trouble)
                self._ended = f"nobody knows how far its last call came: {trouble}"
                error = CodeError(name="SandboxException", message=str(trouble))
                return CodeResult(outcome="infrastructure_error", error=error, session_ended=True)
            if answer.result.session_ended:
                self._ended = answer.ended or f"its last call ended it: {answer.result.outcome}"
            return answer.result

    def interrupt(self) -> None:
        if self._interrupting is not None:
            self._interrupting.set()

    async def put_files(self, files: Mapping[str, str | bytes]) -> None:
        told = {}
        for path, content in files.items():
            if not isinstance(content, str | bytes):
                raise ConfigurationException(f"{path}: a file is text or bytes, found {type(content).__name__}")
            raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            told[path] = base64.b64encode(raw).decode()
        await self._plain("put", {"files": told})

    async def get_files(self) -> SessionFiles:
        async with self._turn:
            self._check_open()
            answer = await self._told("get", {}, FilesAnswer)
        try:
            files = {path: base64.b64decode(content, validate=True) for path, content in answer.files.items()}
        except (binascii.Error, ValueError) as error:
            message = f"{self._line.url}: the files that came are none: {error}"
            raise SandboxException(message, subject="session") from error
        return SessionFiles(files=files, skipped=answer.skipped)

    async def close(self) -> None:
        if self._ended is not None:
            return
        self._ended = "it was closed"
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._line.post(f"{self._path}/close", {}, MOST_BYTES)
            except (Unanswered, ConfigurationException):  # it is gone, or ends there by itself
                return

    async def _interruptible(self, question: Mapping[str, Any]) -> CodeAnswer:
        asked = self._interrupting = anyio.Event()
        failed: Exception | None = None

        async def pass_on() -> None:
            await asked.wait()
            try:
                await self._line.post(f"{self._path}/interrupt", {}, MOST_BYTES)
            except Unanswered:  # the call itself will tell of it
                return

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(pass_on)
                try:
                    body = await self._line.post(f"{self._path}/execute", question, MOST_BYTES, once=True)
                except (Unanswered, ConfigurationException) as error:
                    failed = error
                group.cancel_scope.cancel()
        finally:
            self._interrupting = None
        if failed is not None:
            raise failed
        return _read(CodeAnswer, body, self._line.url)

    async def _plain(self, what: str, document: Mapping[str, Any]) -> None:
        async with self._turn:
            self._check_open()
            await self._told(what, document, PlainAnswer)

    async def _told(self, what: str, document: Mapping[str, Any], answer: type[A]) -> A:
        try:
            return _read(answer, await self._line.post(f"{self._path}/{what}", document, MOST_BYTES), self._line.url)
        except Unanswered as trouble:
            self._raise_told(trouble)
            raise SandboxException(str(trouble), subject="session") from trouble

    def _raise_told(self, trouble: Unanswered) -> None:
        """SandboxException for what the contract has a code for."""
        if trouble.code == _ENDED:
            self._ended = self._ended or str(trouble)
        if trouble.code in _TOLD:
            raise SandboxException(str(trouble), code=trouble.code, subject="session") from trouble

    def _check_open(self) -> None:
        if self._ended is not None:
            raise SandboxException(
                f"the session has ended: {self._ended}", code=_ENDED, subject="session", hint="Open another."
            )


def _read(answer: type[A], body: bytes, url: str) -> A:
    try:
        return answer.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise Unanswered(f"{url}: the answer is none: {complaint(error)}") from error
