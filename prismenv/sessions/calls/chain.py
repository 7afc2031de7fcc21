"""The chain of wrappers around each provider, put together from a recipe.

From the outside in; what is not configured is left out:

    record      outermost: it keeps what a session was told, so a replay needs nothing of what is below
    retry       asks again, with nothing held while it waits
    boundary    innermost: what a provider's code raises becomes one of our errors
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prismenv.contracts.clock import Clock
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderEntry
from prismenv.sessions.calls import replay
from prismenv.sessions.calls.boundary import Boundary
from prismenv.sessions.calls.recording import Recorded, Recording
from prismenv.sessions.calls.retrying import Retrying
from prismenv.sessions.retry import RetryPolicy
from prismenv.words.errors import ConfigurationException


class CallChain:
    """What the transports of one run share around their providers. Made by `open_chain`."""

    def __init__(self, recipe: Recipe, folder: Path, clock: Clock, recording: Recording | None) -> None:
        self._recipe = recipe
        self._folder = folder
        self._clock = clock
        self._recording = recording

    def wrap(self, reference: ModelReference, entry: ProviderEntry, provider: ChatTransport) -> ChatTransport:
        """The provider's transport within its wrappers."""
        transport: ChatTransport = Boundary(provider)
        if not entry.fixed:
            transport = Retrying(transport, self._clock, RetryPolicy())
        if self._recording is not None:
            if reference.provider == replay.NAME and (self._folder / reference.model) == self._recording.path:
                raise ConfigurationException(
                    f"record: {self._recording.path} is what is replayed; name another file",
                    subject=str(self._recording.path),
                ).at("record")
            transport = Recorded(transport, self._recording, str(reference), self._clock)
        return transport


@asynccontextmanager
async def open_chain(recipe: Recipe, folder: Path, clock: Clock) -> AsyncIterator[CallChain]:
    """The chain of a recipe, with the files that it needs open. Raises ConfigurationException."""
    recording = None if recipe.record is None else Recording(folder / recipe.record, clock)
    try:
        yield CallChain(recipe, folder, clock, recording)
    finally:
        if recording is not None:
            recording.close()
