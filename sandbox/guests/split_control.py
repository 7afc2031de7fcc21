"""Exceptions are control flow: which of the solution's pass through the tests as they are, and what becomes of others.

An exception that would leave a loop, skip a test or end the judge arrives as an ordinary one of the same name, unless
the running assertRaises waits for it.
"""

from typing import Any

from split_codec import MalformedError
from split_remote import RemoteClass, number_of

CONTROL = (StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt)


def steers_tests(kind: type) -> bool:
    """Whether an exception of the tests' own would end an iteration or skip a test wherever the solution likes."""
    if issubclass(kind, (StopIteration, StopAsyncIteration)):
        return True
    return any(base.__module__.startswith("unittest") for base in kind.__mro__ if type(base) is type)


def is_let_through(error: BaseException, expected: list[Any], *, stops: bool) -> bool:
    """Whether an exception from the solution's process is raised as it is; `stops`: it may end an iteration."""
    kind = type(error)
    steers = steers_tests(kind)
    if number_of(error) == 0 and "_prismenv_frames" not in error.__dict__ and not steers:
        return True  # the tests' own
    if issubclass(kind, Exception) and not issubclass(kind, CONTROL) and not steers:
        return True
    if stops and issubclass(kind, (StopIteration, StopAsyncIteration)):
        return True
    return any(issubclass(kind, wanted) for wanted in expected)


def wants_exception(value: Any) -> None:
    """MalformedError for anything else than an exception."""
    if not isinstance(value, BaseException):
        raise MalformedError("an exception that is none")


def ordinary(error: BaseException) -> Exception:
    """An exception that would steer the judge, as one that does not: the same name, the same text."""
    kind = type(error)
    text = error.__dict__.get("_prismenv_text") or ("" if type(kind) is RemoteClass else str(error))
    made: Exception = type(kind.__name__, (Exception,), {"__module__": "solution"})(text)
    made.__dict__.update({name: value for name, value in error.__dict__.items() if name.startswith("_prismenv")})
    return made
