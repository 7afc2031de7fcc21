"""What the result of a node means for a run: whose failure it was, and of which kind."""

from collections.abc import Iterator, Sequence
from typing import Any

from prismenv.words.errors import AgentCommunicationException, EnvironmentException, SandboxException
from prismenv.words.nodes import NodeOutcome
from prismenv.words.records import ChallengeResults
from prismenv.words.verdict import Fault

_MEASURED: tuple[Fault, ...] = ("none", "candidate")
_ANSWERING = ("problem_solver", "problem_fixer")
_BLAME: tuple[Fault, ...] = ("infrastructure", "environment", "tests")


def own_keys(result: ChallengeResults | None) -> dict[str, Any] | None:
    """What an environment added to its result, as it is; None where there is no result."""
    return None if result is None else dict(result.__pydantic_extra__ or {})


def fault_of_result(result: ChallengeResults) -> Fault:
    """`none` for a success; `candidate` when any problem could be measured; else what kept them from it."""
    if result.success:
        return "none"
    faults: Sequence[Fault] = [problem.fault for problem in result.problems]
    if not faults:
        faults = [record.fault for record in result.data_trail[-1:]]
    if not faults or any(fault in _MEASURED for fault in faults):
        return "candidate"
    return next(fault for fault in _BLAME if fault in faults)


def fault_of_error(error: BaseException) -> Fault:
    """`infrastructure` when the model or the sandbox broke, `environment` otherwise.

    A model that did answer, but with nothing usable, is no broken one: the failure is the candidate's where the role is
    one that answers the challenge.
    """
    causes: BaseException | None = error
    while causes is not None:
        if isinstance(causes, AgentCommunicationException) and causes.usage is not None:
            return "candidate" if causes.subject in _ANSWERING else "environment"
        if isinstance(causes, AgentCommunicationException | SandboxException):
            return "infrastructure"
        causes = causes.__cause__
    return "environment"


def describe_error(error: BaseException) -> str:
    """An error in one text: its own message for ours, type and message for others."""
    if isinstance(error, EnvironmentException):
        return str(error)
    return f"{type(error).__name__}: {error}"


def complaint(outcome: NodeOutcome) -> str | None:
    """What kept a node from being measured, in words that are equal when the reason is; None when it was measured."""
    if outcome.error is not None:
        return outcome.error
    if outcome.fault not in ("infrastructure", "environment") or outcome.result is None:
        return None
    last = outcome.result.data_trail[-1:]
    return f"{outcome.fault}: {last[0].output}" if last else outcome.fault


def unwrap(error: Exception) -> Exception:
    """The one error that a task group's group stands for: the first of ours in it, else the first."""
    leaves = list(_leaves(error))
    return next((leaf for leaf in leaves if isinstance(leaf, EnvironmentException)), leaves[0])


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
