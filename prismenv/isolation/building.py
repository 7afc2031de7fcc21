"""What a compiler made of a source: read from the file that its guest filled, and kept for the sandbox's time."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import anyio

from prismenv.words.errors import ProtocolException
from prismenv.words.verdict import Execution

MOST_BYTES = 64 * 2**20  # of all files of one build
MOST_FILES = 200
MOST_KEPT_BYTES = 256 * 2**20
NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Build:
    """`done` is how the compiler ended, `files` what it made: name to content. `problem` empty: it compiled."""

    done: Execution
    files: Mapping[str, bytes] = field(default_factory=dict)
    problem: str = ""

    @property
    def repeats(self) -> bool:
        """Whether the same source would come to the same again: not where a limit or the machine ended it."""
        return self.done.outcome == "exited"

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.files.values())) + len(self.done.stdout)


def read_output(descriptor: int) -> dict[str, bytes]:
    """The files that a compiler's guest handed over. ProtocolException when it is anything else."""
    size = os.fstat(descriptor).st_size
    if size > MOST_BYTES:
        raise ProtocolException(f"the compiler made {size} bytes, at most {MOST_BYTES} are taken")
    data = memoryview(os.pread(descriptor, size, 0))
    files: dict[str, bytes] = {}
    while data:
        length = int.from_bytes(data[:4], "big")
        name = bytes(data[4 : 4 + length])
        rest = data[4 + length :]
        count = int.from_bytes(rest[:8], "big")
        if not 0 < length <= NAME_BYTES or len(rest) < 8 + count or len(files) == MOST_FILES:
            raise ProtocolException("what the compiler made was not handed over whole")
        files[_plain(name)] = bytes(rest[8 : 8 + count])
        data = rest[8 + count :]
    return files


def _plain(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    if text in (".", "..") or "/" in text or not text.isprintable():
        raise ProtocolException("the compiler made a file whose name is none")
    return text


def key_of(*parts: str) -> str:
    """Names what is compiled and how, by its content."""
    digest = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


class BuildCache:
    """Builds by key, the least used ones let go of. Two that ask for the same at once wait for one build."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: dict[str, Build] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self.made = 0  # how often something was compiled

    async def get(self, key: str, make: Callable[[], Awaitable[Build]]) -> tuple[Build, bool]:
        """The build of `key`, made where it is not there, and whether it was made now."""
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                if (kept := self._kept.pop(key, None)) is not None:
                    self._kept[key] = kept
                    return kept, False
                build = await make()
                self.made += 1
                if build.repeats:
                    self._keep(key, build)
                return build, True
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._locks.pop(key, None)

    def _keep(self, key: str, build: Build) -> None:
        self._kept[key] = build
        while sum(each.size for each in self._kept.values()) > self._most_bytes:
            del self._kept[next(iter(self._kept))]
