"""How somebody outside a run stops it: once to finish what runs, twice to stop now."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class StopSwitch:
    """Stops one run. Call it on the event loop that the run is on; signals are the command line's business.

    After `drain()` no further node starts and those running end. After `abort()` those running are cancelled. Both
    leave a run that can be resumed; a node that was cancelled is run again then.
    """

    def __init__(self) -> None:
        self._scopes: list[anyio.CancelScope] = []
        self.draining = False
        self.aborted = False

    def drain(self) -> None:
        """Let what runs finish, and start nothing more."""
        self.draining = True

    def abort(self) -> None:
        """Cancel what runs."""
        self.draining = self.aborted = True
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def watched(self) -> Iterator[anyio.CancelScope]:
        """A scope that `abort()` cancels, at once where it was called already."""
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            if self.aborted:
                scope.cancel()
            try:
                yield scope
            finally:
                self._scopes.remove(scope)
