"""The contract of a session: an interpreter in the sandbox that keeps its state between calls."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

from prismenv.words.coderesult import CodeResult, SessionFiles
from prismenv.words.limits import Limits


class SandboxSession(ABC):
    """One open interpreter; close it, or leave its `async with`. Calls of it go one after the other, in their order.

    Nothing that the code does raises. A session that has ended has no more calls: those are SandboxException, with the
    code `session_ended`.
    """

    language: str
    limits: Limits  # in force: for the session `memory_bytes`, `file_bytes`, `processes`, for each call the others

    @property
    @abstractmethod
    def ended(self) -> str | None:
        """Why there are no more calls, in words; None while it is open."""

    @abstractmethod
    async def execute(
        self,
        code: str,
        *,
        wall_seconds: float | None = None,
        cpu_seconds: float | None = None,
        output_bytes: int | None = None,
    ) -> CodeResult:
        """Run `code` with the names that earlier calls left.

        A limit that is None is the session's own; the host's ceiling holds for all. Code that exceeds one of these
        three is interrupted, and where it does not heed that the session ends. So it is with a caller that is
        cancelled. ConfigurationException for a limit that is none, or code that is too long.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Interrupt the call that runs, as Ctrl-C would; nothing where none does."""

    @abstractmethod
    async def put_files(self, files: Mapping[str, str | bytes]) -> None:
        """Write files, by relative paths with `/`, in the folder that the code works in; those that are there go.

        ConfigurationException for a path that is no plain relative one, or too many or too large files;
        SandboxException (`file_refused`) where the code has put something in the way.
        """

    @abstractmethod
    async def get_files(self) -> SessionFiles:
        """All regular files of that folder, up to a number and a size; links and the like are skipped, and named."""

    @abstractmethod
    async def close(self) -> None:
        """End it. A call that runs is ended with it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
