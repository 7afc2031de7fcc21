"""A lock that is nearly free while nobody waits for it."""

from collections import deque

import anyio


class Turn:
    """Lets one task in at a time, in the order in which they came: `async with turn:`.

    Each session and each role has one, and hardly any is ever waited for. So an untaken one is taken without a
    checkpoint: what is done inside is what notices a cancellation. A task that takes its own turn again waits for ever.
    """

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[anyio.Event] | None = None  # made by the first that has to wait

    def is_taken(self) -> bool:
        """Whether a task is in, or one was just called in."""
        return self._taken

    async def __aenter__(self) -> None:
        if not self._taken:
            self._taken = True
            return
        if self._waiting is None:
            self._waiting = deque()
        called = anyio.Event()
        self._waiting.append(called)
        try:
            await called.wait()
        except BaseException:
            if called.is_set():  # the turn came together with the cancellation
                self.pass_on()
            else:
                self._waiting.remove(called)
            raise

    async def __aexit__(self, *_: object) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        """Let in the next: what the end of `async with` does."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._taken = False
