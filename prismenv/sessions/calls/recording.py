"""`record: FILE`: every question and what came of it, one JSON object a line.

Theory of operation. A line is written by one call of the system, to a file that is opened for appending: it is in the
operating system's hands before the answer is, so that neither a killed process loses an exchange that counted, nor do
two runs that write to one file mix their lines. Written to the disk itself is when the file is closed. What stands
before is kept: a run that is resumed adds to its recording. A last line that a killed process left without its end is
cut off when the file is opened again. Lines carry the name of their sitting, by which a replay tells what came later.
"""

import json
import os
from pathlib import Path
from typing import Any

from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport
from prismenv.finding.jsonlines import is_packed
from prismenv.sessions.calls.exchange import failure_values, question_of, reply_values
from prismenv.sessions.calls.wrapper import Wrapper
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException, StorageException

FORMAT = 1
_BEGIN = b'{"format":'  # of every line
_TAIL_BYTES = 2**16


class Recording:
    """The file, made when the first exchange is written.

    Raises ConfigurationException (of the recipe's `record`) at once where it cannot be written or holds something else.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._sitting = clock.new_id("sitting")
        self._file: int | None = None
        self._broken: str | None = None  # why a line was not written whole; nothing may stand behind a part of one
        try:
            if path.exists():
                if not path.is_file():  # to open a pipe would wait for its other end
                    raise self._unusable("is no regular file; name a file")
                with path.open("rb") as file:
                    first = file.read(len(_BEGIN))
                if is_packed(first) or not _BEGIN.startswith(first):
                    raise self._unusable("holds something else than a recording; name a new file")
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise self._unusable("cannot be written: its folder is missing, or not yours to write to")
        except OSError as error:
            raise self._unusable(f"cannot be written: {error.strerror}") from error

    def _unusable(self, what: str) -> ConfigurationException:
        return ConfigurationException(f"record: {self.path} {what}", subject=str(self.path)).at("record")

    def write(self, model: str, request: ChatRequest, wall_seconds: float, **outcome: Any) -> None:
        """Add an exchange. StorageException where the file does not take it."""
        line = {
            "format": FORMAT,
            "sitting": self._sitting,
            "at": self._clock.now(),
            "model": model,
            "question": question_of(request),
            "wall_seconds": wall_seconds,
            **outcome,
        }
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if self._broken is not None:
            raise self._unwritten(self._broken)
        try:
            if self._file is None:
                self._file = self._opened()
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self._broken = error.strerror or str(error)
            raise self._unwritten(self._broken) from error

    def _unwritten(self, why: str) -> StorageException:
        return StorageException(f"the recording {self.path} cannot be written: {why}", subject=str(self.path))

    def close(self) -> None:
        """Bring all to the disk and let go of the file."""
        if self._file is None:
            return
        try:
            os.fsync(self._file)
        except OSError as error:  # not every kind of file can; what was written is written
            logger.debug("the recording {} could not be brought to the disk: {}", self.path, error)
        finally:
            os.close(self._file)

    def _opened(self) -> int:
        """The file, open at its end; a last line without its end is cut off."""
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        size = end = os.fstat(file).st_size
        while end:
            start = max(0, end - _TAIL_BYTES)
            found = os.pread(file, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            logger.warning("{}: its last line has no end, and was cut off: one exchange is lost", self.path)
            os.ftruncate(file, end)
        return file


class Recorded(Wrapper):
    """Writes down what comes of each question: the reply, or the failure that the caller is told."""

    def __init__(self, inner: ChatTransport, recording: Recording, model: str, clock: Clock) -> None:
        super().__init__(inner)
        self._recording = recording
        self._model = model
        self._clock = clock

    async def complete(self, request: ChatRequest) -> ChatReply:
        started = self._clock.monotonic()
        try:
            reply = await self._inner.complete(request)
        except AgentCommunicationException as error:
            self._write(request, started, failure=failure_values(error))
            raise
        self._write(request, started, reply=reply_values(reply))
        return reply

    def _write(self, request: ChatRequest, started: float, **outcome: Any) -> None:
        self._recording.write(self._model, request, self._clock.monotonic() - started, **outcome)
