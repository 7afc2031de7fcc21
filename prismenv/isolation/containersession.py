"""An open session in a container of its own, which is there as long as the session is."""

import os
import signal
from collections.abc import Callable

from prismenv.isolation.container import Container, ContainerGuest, ContainerLostError
from prismenv.isolation.launch import Exit
from prismenv.isolation.processes import TaskUse
from prismenv.isolation.sessionguest import SessionGuest
from prismenv.words.errors import SandboxException
from prismenv.words.limits import Limits


class ContainerSession(SessionGuest):
    """One session. SandboxException when it cannot be begun; the container ends with it, and `leave` is called.

    `owner` is the user that its files belong to. Whatever is signalled, stopped or counted is so by the container's
    first process: it has the user of the session, this one may have another.
    """

    holds_files_in_memory = True

    def __init__(self, container: Container, limits: Limits, owner: int, leave: Callable[[], None]) -> None:
        super().__init__()
        self.owner = owner
        self._container = container
        self._held.callback(leave)
        self._held.callback(container.close)
        try:
            self.files = container.folder()
            self._held.callback(os.close, self.files)
            self._guest = ContainerGuest(container, limits, None, streams_apart=True)
        except (OSError, ContainerLostError) as error:
            self.let_go()
            raise SandboxException(f"a session cannot be started: {error}", subject="session") from error
        except BaseException:
            self.let_go()
            raise
        self._held.callback(self._guest.close)
        self.channel, self.streams = self._guest.channel, list(self._guest.streams)
        self.exit_descriptor = self._guest.exit_descriptor

    def signal(self, number: int) -> None:
        if number == signal.SIGKILL:
            self._guest.kill()
        else:
            self._container.send(f"signal {number}")

    def has_ended(self) -> bool:
        return self._guest.has_ended()

    def use(self) -> TaskUse | None:
        try:
            uses = self._container.uses()
        except (OSError, ContainerLostError):
            return None
        finally:
            self._note_end()
        if not uses:
            return None
        return TaskUse(
            len(uses),
            sum(each.tasks for each in uses),
            sum(each.cpu_seconds for each in uses),
            sum(each.resident_bytes for each in uses),
        )

    def cpu_seconds(self) -> float:
        try:
            return self._container.cpu_seconds()
        except (OSError, ContainerLostError):
            return 0.0
        finally:
            self._note_end()

    def exceeded(self) -> bool:
        return self._guest.has_ended() and self._guest.finish().killed_for is not None

    def begin_call(self) -> None:
        return  # `exceeded` is of the whole session: whatever is killed for want of memory ends it

    def pause(self) -> None:
        self._container.send("pause")

    def finish(self) -> Exit:
        return self._guest.finish()

    def close(self) -> None:
        self.let_go()

    def _note_end(self) -> None:
        """An end that was told in between cannot be waited for any more: it has to be asked for."""
        if self._container.heard_end:
            self.exit_descriptor = None
