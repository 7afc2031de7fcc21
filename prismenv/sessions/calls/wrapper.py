"""The part that all wrappers of a transport share."""

from prismenv.contracts.transport import ChatTransport


class Wrapper(ChatTransport):
    """A transport around another one, which it closes."""

    def __init__(self, inner: ChatTransport) -> None:
        self._inner = inner
        self.patient = inner.patient

    async def ping(self) -> None:
        await self._inner.ping()

    async def aclose(self) -> None:
        await self._inner.aclose()
