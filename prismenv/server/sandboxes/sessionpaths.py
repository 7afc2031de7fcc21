"""What is done with open sessions over HTTP. The shapes are in contracts/sessionwire.py.

Opening, calls and files take their turn at a desk of their own; interrupting and closing never wait. A call whose
client goes away is interrupted, and its session goes on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.sandboxwire import PROTOCOL
from prismenv.contracts.sessionwire import (
    CallAnswer,
    CallQuestion,
    FilesAnswer,
    FilesQuestion,
    InterruptAnswer,
    InterruptQuestion,
    OpenAnswer,
    OpenQuestion,
    PlainAnswer,
)
from prismenv.server.refusal import Refusal
from prismenv.server.sandboxes.desk import Desk, Errand
from prismenv.server.sandboxes.kept import KeptSession, KeptSessions
from prismenv.words.coderesult import CodeResult, SessionFiles
from prismenv.words.errors import ConfigurationException, SandboxException

FILES_BYTES = 32 * 2**20  # what a session's files may come to

T = TypeVar("T")
Metered = Callable[[str, Awaitable[CodeResult]], Awaitable[CodeResult]]


@dataclass(frozen=True, slots=True)
class SessionDesk:
    """Answers questions of `owner`s, each `size` bytes long. `metered` counts a call while it is awaited."""

    sandbox: Sandbox
    desk: Desk
    kept: KeptSessions
    metered: Metered

    async def open(self, owner: str, asked: OpenQuestion, size: int) -> OpenAnswer:
        """Open one, or find it again. SandboxException, ConfigurationException, Refusal."""

        async def start() -> SandboxSession:
            made = partial(self.sandbox.open, asked.language, limits=asked.limits)
            return (await self._in_turn(owner, size, made))[0]

        session = await self.kept.open(owner, asked.session, start)
        return OpenAnswer(protocol=PROTOCOL, limits=session.limits)

    async def execute(self, owner: str, name: str, asked: CallQuestion, size: int) -> CallAnswer:
        """Do a call, or say again what it gave."""
        with self.kept.using(owner, name) as (kept, session):
            if (known := self.kept.known_answer(kept, asked.call)) is not None:
                return known
            self.kept.require_open(session)
            return (await self._in_turn(owner, size, partial(self._call, kept, session, asked)))[0]

    async def _call(self, kept: KeptSession, session: SandboxSession, asked: CallQuestion) -> CallAnswer:
        before, kept.last, kept.answer, kept.running = kept.last, asked.call, None, asked.call
        limits: dict[str, Any] = asked.model_dump(include={"wall_seconds", "cpu_seconds", "output_bytes"})
        try:
            result = await self.metered("execute", session.execute(asked.code, **limits))
        except ConfigurationException:  # a limit that is none, or code that is too long: nothing was done
            kept.last = before
            raise
        finally:
            kept.running = None
        kept.answer = CallAnswer(protocol=PROTOCOL, result=result, ended=session.ended)
        return kept.answer

    def interrupt(self, owner: str, name: str, asked: InterruptQuestion) -> InterruptAnswer:
        """Interrupt a call where it runs."""
        return InterruptAnswer(protocol=PROTOCOL, running=self.kept.interrupt(owner, name, asked.call))

    async def put_files(self, owner: str, name: str, asked: FilesQuestion, size: int) -> PlainAnswer:
        """Write files."""
        with self.kept.using(owner, name) as (_, session):
            await self._in_turn(owner, size, partial(session.put_files, asked.files))
        return PlainAnswer(protocol=PROTOCOL)

    async def get_files(self, owner: str, name: str) -> bytes:
        """All files, as JSON."""
        with self.kept.using(owner, name) as (_, session):
            return (await self._in_turn(owner, FILES_BYTES, partial(self._read, session)))[0]

    async def close(self, owner: str, name: str) -> PlainAnswer:
        """End it, also while a call of it runs."""
        await self.kept.close(owner, name)
        return PlainAnswer(protocol=PROTOCOL)

    async def _read(self, session: SandboxSession) -> bytes:
        files = await session.get_files()
        return await anyio.to_thread.run_sync(_files_document, files)  # it may be long

    async def _in_turn(self, owner: str, size: int, work: Callable[[], Awaitable[T]]) -> list[T]:
        return await self.desk.do(Errand(owner, size, [work]))


def _files_document(found: SessionFiles) -> bytes:
    return FilesAnswer(protocol=PROTOCOL, files=found.files, skipped=found.skipped).model_dump_json().encode()


def of_sandbox(error: SandboxException) -> Refusal:
    """What the sandbox itself refuses or could not do; what would not help to ask again has a status of its own."""
    lasting = error.code in ("sessions_full", "file_refused")
    return Refusal(409 if lasting else 500, error.code, error.message)
