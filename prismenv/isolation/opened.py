"""One open session: its calls in their order, its files, its end."""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
from pydantic import ValidationError

from prismenv.contracts.jailsession import SandboxSession
from prismenv.isolation.errand import Errand
from prismenv.isolation.launch import StopSignal
from prismenv.isolation.processes import TaskUse
from prismenv.isolation.sessionbook import SessionBook
from prismenv.isolation.sessioncall import CallEnd, SessionCall
from prismenv.isolation.sessionfiles import checked_files, read_tree, write_tree
from prismenv.isolation.sessionguest import SessionGuest
from prismenv.isolation.sessionresult import code_result, why_ended
from prismenv.words.coderesult import CodeResult, SessionFiles
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits

SIGKILL = 9
MOST_CODE_CHARACTERS = 4 * 2**20
T = TypeVar("T")


class OpenSession(SandboxSession):
    """A session over its guest. `ceiling` is the host's; `threads` holds how many calls run at once."""

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        guest: SessionGuest,
        *,
        nonce: str,
        language: str,
        limits: Limits,
        ceiling: Limits,
        book: SessionBook,
        threads: anyio.CapacityLimiter,
    ) -> None:
        self.language = language
        self.limits = limits
        self._guest = guest
        self._nonce = nonce
        self._ceiling = ceiling
        self._book = book
        self._threads = threads
        self._turn = anyio.Lock()
        self._held = threading.Lock()  # whoever has it may use the guest
        self._edge = threading.Lock()  # guards the three below
        self._stop: StopSignal | None = None
        self._ended: str | None = None
        self._gone = False
        self._idle_since: float | None = book.now()
        self._calls = 0
        self._first_resident = 0

    @property
    def ended(self) -> str | None:
        return self._ended

    @property
    def idle_since(self) -> float | None:
        """For its book."""
        return self._idle_since

    def start(self, chunks: Sequence[bytes]) -> None:
        """In a thread: wait until it can be called. SandboxException when it cannot."""
        end = SessionCall(self._guest, self._nonce, self.limits, lambda _: False).start(chunks)
        if end.told is None or end.exit is not None:
            said = end.message or (end.stderr or end.stdout).decode("utf-8", "replace")[-400:]
            message = f"a session ended before its first call: {said or end.reason or end.exit}"
            raise SandboxException(message, subject="session")
        self._first_resident = self._guest.used.resident_bytes if self._guest.used is not None else 0

    async def execute(
        self,
        code: str,
        *,
        wall_seconds: float | None = None,
        cpu_seconds: float | None = None,
        output_bytes: int | None = None,
    ) -> CodeResult:
        asked = {"wall_seconds": wall_seconds, "cpu_seconds": cpu_seconds, "output_bytes": output_bytes}
        limits = self._limits_of({name: value for name, value in asked.items() if value is not None})
        if len(code) > MOST_CODE_CHARACTERS:
            message = f"the code has {len(code)} characters, at most {MOST_CODE_CHARACTERS} are run at once"
            raise ConfigurationException(message, subject="code", hint="Write it to a file, and import that.")
        async with self._turn:
            self._check_open()
            self._idle_since = None
            try:
                end = await Errand(partial(self._call, code, limits), _broken, self._threads).run()
            finally:
                self._idle_since = self._book.now()
            if end.broken and self._ended is None:
                await self._in_thread(partial(self.end, end.broken))
        return code_result(end, limits)

    def interrupt(self) -> None:
        with self._edge:
            if self._stop is not None:
                self._stop.set()

    async def put_files(self, files: Mapping[str, str | bytes]) -> None:
        content = checked_files(files, self.limits.file_bytes)
        await self._with_files(lambda guest: write_tree(guest.files, content, guest.owner))

    async def get_files(self) -> SessionFiles:
        return await self._with_files(lambda guest: read_tree(guest.files))

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._in_thread(partial(self.end, "it was closed"))

    def end(self, reason: str) -> None:
        """In a thread: end it, a call that runs as well, and wait until nothing of it is left."""
        with self._edge:
            if not self._gone:
                self._guest.signal(SIGKILL)
        with self._held:
            self._end(reason)

    def end_if_idle_since(self, when: float, reason: str) -> None:
        """In a thread: end it if it was not used since."""
        if not self._held.acquire(blocking=False):
            return
        try:
            since = self._idle_since
            if since is not None and since <= when:
                self._end(reason)
        finally:
            self._held.release()

    def _end(self, reason: str) -> None:
        """By whoever has the guest."""
        with self._edge:
            gone, self._gone = self._gone, True
        self._ended = self._ended or reason
        if not gone:
            self._guest.close()
            self._book.leave(self)

    def _call(self, code: str, limits: Limits, stop: StopSignal) -> CallEnd:
        with self._held:
            self._check_open()
            with self._edge:
                self._stop = stop
            try:
                self._calls += 1
                end = SessionCall(self._guest, self._nonce, limits, self._charge).run(self._calls, code, stop.reader)
            finally:
                with self._edge:
                    self._stop = None
            reason = why_ended(end, code_result(end, limits))
            if reason is not None:
                self._end(reason)
            return end

    def _charge(self, use: TaskUse | None) -> bool:
        grown = max(0, use.resident_bytes - self._first_resident) if use is not None else 0
        return self._book.charge(self, grown + self._guest.file_bytes())

    def _limits_of(self, asked: Mapping[str, float]) -> Limits:
        if not asked:
            return self.limits
        try:
            return Limits(**{**self.limits.model_dump(), **asked}).within(self._ceiling)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigurationException(f"{name}: {first['msg']}, found {first['input']!r}", subject=name) from error

    async def _with_files(self, work: Callable[[SessionGuest], T]) -> T:
        def held() -> T:
            with self._held:
                self._check_open()
                return work(self._guest)

        async with self._turn:
            self._check_open()
            try:
                return await self._in_thread(held)
            finally:
                self._idle_since = self._book.now()

    def _check_open(self) -> None:
        if self._ended is not None:
            raise SandboxException(
                f"the session has ended: {self._ended}", code="session_ended", subject="session", hint="Open another."
            )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))


def _broken(message: str) -> CallEnd:
    return CallEnd(broken=f"the sandbox could not work: {message}")
