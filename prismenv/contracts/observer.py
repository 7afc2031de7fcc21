"""Who is told what an environment does while it does it."""

from abc import ABC, abstractmethod

from prismenv.contracts.archive import CallRecord
from prismenv.words.chat import TokenWatcher
from prismenv.words.records import TrailRecord


class NodeObserver(ABC):
    """Watches one execution of a node. Calls come from the event loop and must return at once."""

    @abstractmethod
    def attempt_judged(self, record: TrailRecord) -> None:
        """An attempt was made and judged."""

    @abstractmethod
    def model_called(self, call: CallRecord) -> None:
        """A model call ended, well or not."""

    def token_watcher(self, role: str) -> TokenWatcher | None:  # noqa: ARG002
        """Who takes the text of an answer of `role` while it comes; None: nobody, so it need not be streamed."""
        return None


class SilentObserver(NodeObserver):
    """Watches nothing."""

    def attempt_judged(self, record: TrailRecord) -> None:  # noqa: ARG002
        return

    def model_called(self, call: CallRecord) -> None:  # noqa: ARG002
        return
