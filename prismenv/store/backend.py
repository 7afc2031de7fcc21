"""What the store needs of a kind of database: everything that SQLite and PostgreSQL do not share."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Engine

from prismenv.words.errors import StorageException


class Backend(ABC):
    """One database, opened by its engine at the first use. Methods may be called from any thread."""

    location: str  # the file or URL, without passwords: for messages and reports
    engine: Engine

    @abstractmethod
    def transaction(self, *, writing: bool, alone: bool = True) -> AbstractContextManager[Connection]:
        """A transaction, committed at the end and rolled back by an error.

        A reading one sees one state of the database. A writing one that is `alone` runs beside no other such one, of
        whatever process: it may look and then write. `alone` false is for what only adds rows, which may go faster.
        """

    @abstractmethod
    def explain(self, error: BaseException) -> tuple[str, str, str]:
        """Machine code, what is wrong and what to do, for an error of the driver."""

    @abstractmethod
    def require(self) -> None:
        """StorageException (`store_missing`) where no store has been made here yet."""

    @abstractmethod
    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        """Hold the run; StorageException (`run_locked`) where somebody else does. Ends with the holder."""

    def is_locked(self, run_id: str) -> bool:
        """Whether somebody holds the run now. Here by taking it for a moment, where there is no way to look alone."""
        try:
            with self.lock_run(run_id):
                return False
        except StorageException as error:
            if error.code != "run_locked":
                raise
            return True

    @abstractmethod
    def hold_session(self, session_id: str) -> AbstractContextManager[None]:
        """Hold the session; StorageException (`session_busy`) where somebody else does. Ends with the holder."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or the connections."""
