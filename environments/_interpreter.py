"""The interpreter of an episode: one that can be had anew, its files in and out as JSON carries them."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prismenv import ActionException, BaseEnvironment, CodeResult, ConfigurationException, SandboxException
from prismenv import SandboxSession as Session

WHOLE = "*"  # in a list of files to read: all there are
SOLUTION = "solution.py"


@dataclass(frozen=True, slots=True)
class FilesRead:
    """Files of the interpreter: those that are text, the others in base64, and why some are not here."""

    files: dict[str, str] = field(default_factory=dict)
    files_base64: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


class Interpreter:
    """Opens a session when it is first needed, and another one where that has ended.

    `files` are written into each, and the generator of its `random` is seeded, so that the same steps do the same.
    """

    def __init__(
        self, environment: BaseEnvironment, files: Mapping[str, bytes], limits: Mapping[str, float | int]
    ) -> None:
        self._environment = environment
        self._files = files
        self._limits = limits
        self._session: Session | None = None
        self.opened = 0

    async def run(self, code: str, files: Mapping[str, bytes]) -> CodeResult:
        """Write files and run code. ActionException where a file cannot be written: nothing ran."""
        session = await self._usable()
        try:
            await self._put(session, files)
            return await session.execute(code)
        except SandboxException as error:
            if error.code != "session_ended":
                raise
        session = await self._usable()  # nobody had used it for long
        await self._put(session, files)
        return await session.execute(code)

    async def read(self, names: Sequence[str], most_bytes: int) -> FilesRead:
        """The files that are asked for, as many as `most_bytes` allow."""
        found = FilesRead()
        if not names or self._session is None or self._session.ended is not None:
            found.left_out.update(dict.fromkeys(names, "there is no such file"))
            return found
        there = await self._session.get_files()
        wanted = [*there.files, *there.skipped] if WHOLE in names else names
        for name in dict.fromkeys(wanted):
            data = there.files.get(name)
            if data is None:
                found.left_out[name] = there.skipped.get(name, "there is no such file")
            elif len(data) > most_bytes:
                found.left_out[name] = f"there is no room for its {len(data)} bytes"
            else:
                most_bytes -= len(data)
                _tell(found, name, data)
        return found

    async def solution(self) -> str | None:
        """The text of the file that is judged where a submission names no code; None: there is none."""
        read = await self.read([SOLUTION], 2**20)
        return read.files.get(SOLUTION)

    async def close(self) -> None:
        """Let go of it."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _usable(self) -> Session:
        if self._session is not None and self._session.ended is None:
            return self._session
        await self.close()
        self.opened += 1
        session = self._session = await self._environment.open_session("python", **self._limits)
        await self._put(session, self._files)
        seed = self._environment.random("interpreter", self.opened).getrandbits(32)
        await session.execute(f"import random\nrandom.seed({seed})\ndel random")
        return session

    @staticmethod
    async def _put(session: Session, files: Mapping[str, bytes]) -> None:
        if not files:
            return
        try:
            await session.put_files(files)
        except (ConfigurationException, SandboxException) as error:
            if isinstance(error, SandboxException) and error.code != "file_refused":
                raise
            raise ActionException(f"files: {error.message}") from error


def _tell(found: FilesRead, name: str, data: bytes) -> None:
    try:
        found.files[name] = data.decode()
    except UnicodeDecodeError:
        found.files_base64[name] = base64.b64encode(data).decode("ascii")


def as_bytes(files: Mapping[str, str], files_base64: Mapping[str, str]) -> dict[str, bytes]:
    """Both kinds as bytes. ActionException for what is no base64, or named in both."""
    if both := sorted(files.keys() & files_base64.keys()):
        raise ActionException(f"files and files_base64 both have {both[0]!r:.200}")
    content = {}
    for name, text in files.items():
        try:
            content[name] = text.encode()
        except UnicodeEncodeError as error:
            raise ActionException(f"files: {name!r:.200} is no text: {error.reason}") from error
    for name, text in files_base64.items():
        try:
            content[name] = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ActionException(f"files_base64: {name!r:.200} is no base64: {error}") from error
    return content
