"""The sessions that clients have opened: by ids that cannot be guessed, each its opener's alone.

A session belongs to whose token it was opened with; to anybody else there is none of that id. How many there may be,
what they may hold, and when one that nobody uses is ended, is the sandbox's business; what has ended there is forgotten
here when somebody asks for it, or opens another.
"""

import base64
import binascii
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.sandboxwire import ExecuteQuestion, PutQuestion, SessionQuestion
from prismenv.server.refusal import Refusal
from prismenv.words.coderesult import CodeResult, SessionFiles
from prismenv.words.errors import SandboxException


@dataclass(frozen=True, slots=True)
class _Kept:
    owner: str
    session: SandboxSession


class ServedSessions:
    """Those of one service. `new_id` makes ids; `per_token` is how many one token may have open, None: any number."""

    def __init__(self, sandbox: Sandbox, new_id: Callable[[], str], per_token: int | None) -> None:
        self._sandbox = sandbox
        self._new_id = new_id
        self._per_token = per_token
        self._kept: dict[str, _Kept] = {}
        self._opening: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(kept.session.ended is None for kept in self._kept.values())

    async def open(self, owner: str, asked: SessionQuestion) -> tuple[str, SandboxSession]:
        """Open one, and its id."""
        self._forget_ended()
        mine = self._opening[owner] + sum(kept.owner == owner for kept in self._kept.values())
        if self._per_token is not None and mine >= self._per_token:
            message = f"{mine} sessions of this token are open, and it may have no more"
            raise SandboxException(message, code="sessions_full")
        self._opening[owner] += 1
        try:
            session = await self._sandbox.open(asked.language, limits=asked.limits)
        finally:
            self._opening[owner] -= 1
            if not self._opening[owner]:
                del self._opening[owner]
        session_id = self._new_id()
        self._kept[session_id] = _Kept(owner, session)
        return session_id, session

    async def execute(self, owner: str, session_id: str, asked: ExecuteQuestion) -> CodeResult:
        """Run code in it. SandboxException `session_ended` where there is none, as for all below."""
        return await self._of(owner, session_id).execute(
            asked.code,
            wall_seconds=asked.wall_seconds,
            cpu_seconds=asked.cpu_seconds,
            output_bytes=asked.output_bytes,
        )

    def ended(self, session_id: str) -> str | None:
        """Why a session that was there a moment ago has no more calls; None: it has."""
        kept = self._kept.get(session_id)
        return None if kept is None else kept.session.ended

    def interrupt(self, owner: str, session_id: str) -> None:
        """Interrupt what runs in it."""
        self._of(owner, session_id).interrupt()

    async def put(self, owner: str, session_id: str, asked: PutQuestion) -> None:
        """Write files. Refusal for what is no base64."""
        try:
            files = {path: base64.b64decode(content, validate=True) for path, content in asked.files.items()}
        except (binascii.Error, ValueError) as error:
            raise Refusal(422, "wrong_shape", f"files: what is no base64: {error}") from error
        await self._of(owner, session_id).put_files(files)

    async def get(self, owner: str, session_id: str) -> SessionFiles:
        """Read its files."""
        return await self._of(owner, session_id).get_files()

    async def close(self, owner: str, session_id: str) -> None:
        """End it."""
        session = self._of(owner, session_id)
        self._kept.pop(session_id, None)
        await session.close()

    def _of(self, owner: str, session_id: str) -> SandboxSession:
        kept = self._kept.get(session_id)
        if kept is None or kept.owner != owner:
            raise SandboxException("there is no such session, or not any more", code="session_ended")
        if kept.session.ended is not None:
            del self._kept[session_id]
            raise SandboxException(f"the session has ended: {kept.session.ended}", code="session_ended")
        return kept.session

    def _forget_ended(self) -> None:
        for session_id in [each for each, kept in self._kept.items() if kept.session.ended is not None]:
            del self._kept[session_id]
