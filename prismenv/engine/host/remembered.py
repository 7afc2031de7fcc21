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
        self._known: dict[tuple[str, str], tuple[Any, StepResult[Any] | EnvironmentException]] = {}

    def answer(self, kind: str, request_id: str | None, asked: Any) -> StepResult[Any] | None:
        """What the call of that name came to, or raises what it raised; None: it is not known.

        ActionException, code `request_id_reused`, where something else was asked by that name.
        """
        if request_id is None or (known := self._known.get((kind, request_id))) is None:
            return None
        before, outcome = known
        if not _is_same(before, asked):
            message = f"request_id {request_id!r:.80} named another {kind} before; a new one needs a name of its own"
            raise ActionException(message, code="request_id_reused")
        if isinstance(outcome, EnvironmentException):
            raise outcome.with_traceback(None)
        return outcome

    @contextmanager
    def noting(self, kind: str, request_id: str | None, asked: Any) -> Iterator[Told]:
        """Around the call, which asks for `asked`: its result is put into what is given.

        An action that was refused is not remembered, for nothing happened; nor a call that was cut off.
        """
        told = Told()
        try:
            yield told
        except ActionException:
            raise
        except EnvironmentException as error:
            self._note(kind, request_id, asked, error)
            raise
        if told.result is not None:
            self._note(kind, request_id, asked, told.result)

    def clear(self) -> None:
        """Forget all: another episode begins."""
        self._known.clear()

    def _note(
        self, kind: str, request_id: str | None, asked: Any, outcome: StepResult[Any] | EnvironmentException
    ) -> None:
        if request_id is None:
            return
        self._known[kind, request_id] = asked, outcome
        if len(self._known) > REMEMBERED_CALLS:
            del self._known[next(iter(self._known))]


def _is_same(before: Any, asked: Any) -> bool:
    """Whether both ask for the same; what cannot be compared is not held against its caller."""
    try:
        return before is asked or bool(before == asked)
    except (ValueError, TypeError):  # an author's objects, in one process: arrays say no single truth
        return True
