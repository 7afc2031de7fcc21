"""What became of calls that have names, so that one that is sent again is answered and not done again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prismenv.contracts.episode import StepResult
from prismenv.words.errors import ActionException, EnvironmentException

REMEMBERED_CALLS = 16  # of an episode, the last ones that have names


@dataclass(slots=True)
class Told:
    """What a call came to; None: it is not done."""

    result: StepResult[Any] | None = None


class RememberedCalls:
    """Results, and errors that ended an episode, of the last calls; what came before them is forgotten."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], StepResult[Any] | EnvironmentException] = {}

    def answer(self, kind: str, request_id: str | None) -> StepResult[Any] | None:
        """What the call of that name came to, or raises what it raised; None: it is not known."""
        if request_id is None:
            return None
        known = self._known.get((kind, request_id))
        if isinstance(known, EnvironmentException):
            raise known.with_traceback(None)
        return known

    @contextmanager
    def noting(self, kind: str, request_id: str | None) -> Iterator[Told]:
        """Around the call: its result is put into what is given.

        An action that was refused is not remembered, for nothing happened; nor a call that was cut off.
        """
        told = Told()
        try:
            yield told
        except ActionException:
            raise
        except EnvironmentException as error:
            self._note(kind, request_id, error)
            raise
        if told.result is not None:
            self._note(kind, request_id, told.result)

    def clear(self) -> None:
        """Forget all: another episode begins."""
        self._known.clear()

    def _note(self, kind: str, request_id: str | None, outcome: StepResult[Any] | EnvironmentException) -> None:
        if request_id is None:
            return
        self._known[kind, request_id] = outcome
        if len(self._known) > REMEMBERED_CALLS:
            del self._known[next(iter(self._known))]
