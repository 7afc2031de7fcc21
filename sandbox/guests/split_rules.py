"""What an operation on an object of the solution's may show to the solution, and what its answer may be.

Everybody's objects may be called, iterated, indexed, entered, measured and printed. What would show the solution a
value that the test expects, or turn its object into a number, is asked of it only where the suite names the object's
class: comparisons, containment, arithmetic. An object equals plain data only if it is data, so that question never
leaves; what two of the solution's objects make of each other is for the solution to say, and the case records that it
did.
"""

from collections.abc import Callable
from typing import Any

from split_names import BINARY, NUMERIC

ANSWERS: dict[str, type] = {
    "__len__": int,
    "__length_hint__": int,
    "__bool__": bool,
    "__str__": str,
    "__repr__": str,
    "__format__": str,
    "__bytes__": bytes,
    "__hash__": int,
    "__contains__": bool,
    "__int__": int,
    "__float__": float,
    "__complex__": complex,
    "__index__": int,
    "__fspath__": str,
}
PLAIN_CONTAINERS = (list, dict, set, bytearray, tuple, frozenset)


def answer_of(name: str) -> Callable[..., Any]:
    """The function that stands for the operation `name` in a class."""
    if name in SPECIAL:
        return SPECIAL[name]
    if name in BINARY:
        return _binary(name)
    if name in NUMERIC:
        return _numeric(name)
    return _free(name)


def checked(name: str, answer: Any) -> Any:
    """The answer of an operation that has to be of one exact type; TypeError for another."""
    wanted = ANSWERS.get(name)
    if wanted is not None and type(answer) is not wanted and answer is not NotImplemented:
        raise TypeError(f"{name} returned non-{wanted.__name__} (type {type(answer).__name__})")
    return answer


def _free(name: str) -> Callable[..., Any]:
    def operation(self: Any, *arguments: Any) -> Any:
        link = type(self).prism_link
        return checked(name, link.operate(name, self, *arguments))

    operation.__name__ = name
    return operation


def _binary(name: str) -> Callable[..., Any]:
    def operation(self: Any, other: Any, *more: Any) -> Any:
        link = type(self).prism_link
        if not link.is_remote(other) and not (link.is_named(type(self)) and link.is_plain(other)):
            return NotImplemented
        link.decided = True
        return link.operate(name, self, other, *more)

    operation.__name__ = name
    return operation


def _numeric(name: str) -> Callable[..., Any]:
    def operation(self: Any, *arguments: Any) -> Any:
        link = type(self).prism_link
        if not link.is_named(type(self)):
            raise TypeError(f"an object of a class that the tests do not name ({type(self).__name__}) is no number")
        link.decided = True
        return checked(name, link.operate(name, self, *arguments))

    operation.__name__ = name
    return operation


def _equal(self: Any, other: Any) -> Any:
    link = type(self).prism_link
    if link.is_remote(other):
        link.decided = link.decided or other is not self
        return link.operate("__eq__", self, other)
    if type(self).prism_container and type(other) in PLAIN_CONTAINERS:
        return link.request("V", link.target(self)) == other
    return NotImplemented


def _unequal(self: Any, other: Any) -> Any:
    if not type(self).prism_link.is_remote(other):
        equal = _equal(self, other)
        return equal if equal is NotImplemented else not equal
    link = type(self).prism_link
    link.decided = True
    return link.operate("__ne__", self, other)


def _hash(self: Any) -> int:
    link = type(self).prism_link
    if not link.is_named(type(self)):
        return object.__hash__(self)
    return int(checked("__hash__", link.operate("__hash__", self)))


def _contains(self: Any, item: Any) -> bool:
    link = type(self).prism_link
    if link.is_remote(item) or (link.is_named(type(self)) and link.is_plain(item)):
        link.decided = True
        return bool(checked("__contains__", link.operate("__contains__", self, item)))
    return any(item is each or item == each for each in iter(self))


def _next(self: Any) -> Any:
    link = type(self).prism_link
    return link.operate("__next__", self, stops=True)


def _exit(self: Any, kind: Any, error: Any, _trace: Any) -> Any:
    link = type(self).prism_link
    link.watch_failure(error)
    done = link.operate("__exit__", self, kind, error, None)
    if not (done is True or (done and type(done) in (int, str))):
        link.failure_came_back(error)
        return False
    return True


def _call(self: Any, *arguments: Any, **named: Any) -> Any:
    link = type(self).prism_link
    return link.call(link.target(self), arguments, named)


def _await(self: Any) -> Any:
    link = type(self).prism_link
    return link.wait(self).__await__()


def _anext(self: Any) -> Any:
    link = type(self).prism_link
    step = link.operate("__anext__", self)
    made = link.wait(step, stops=True)
    if type(step) is type(made):
        step.close()  # it stands for a coroutine, and is not awaited itself
    return made


SPECIAL: dict[str, Callable[..., Any]] = {
    "__eq__": _equal,
    "__ne__": _unequal,
    "__hash__": _hash,
    "__contains__": _contains,
    "__next__": _next,
    "__exit__": _exit,
    "__call__": _call,
    "__await__": _await,
    "__anext__": _anext,
}
