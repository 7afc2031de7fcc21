"""Events of a run: to its own sink, and to the plugins that observe."""

from collections.abc import Callable, Sequence

from loguru import logger

from prismenv.words.events import Event, EventSink


class Broadcast:
    """An EventSink that passes on to `sink` and to each of `observers`, in this order.

    An observer that raises is told of once in the log and not called again: watching never changes a run.
    """

    def __init__(self, sink: EventSink, observers: Sequence[Callable[[Event], object]] = ()) -> None:
        self._sink = sink
        self._observers = list(observers)

    def __call__(self, event: Event) -> None:
        self._sink(event)
        for observer in tuple(self._observers):
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - boundary: a plugin's own code
                self._observers.remove(observer)
                logger.warning("an observer of events failed and is not called again: {!r} ({!r})", error, observer)
