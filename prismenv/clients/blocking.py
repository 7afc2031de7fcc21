"""What the clients for code that is not async have in common: an event loop in a thread of its own."""

from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Any, ClassVar, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from prismenv.words.errors import ConfigurationException


class BlockingForm:
    """`held` is open while the `with` block lasts."""

    _hint: ClassVar[str]  # what is told to who calls it outside

    def __init__(self, held: AbstractAsyncContextManager[Any]) -> None:
        self._held = held
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self._held))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._portal = None
        self._stack.close()

    @property
    def _open(self) -> BlockingPortal:
        if self._portal is None:
            raise ConfigurationException(self._hint, code="not_open")
        return self._portal
