"""What the judge may ask of the solution's objects: everything that Python code may, by a word each."""

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

from split_files import Borrower
from split_names import BY_BUILTIN
from split_solution_link import SolutionLink

NATURAL: dict[str, Callable[..., Any]] = {
    **BY_BUILTIN,
    "__reversed__": reversed,
    "__dir__": dir,
    "__getitem__": lambda value, key: value[key],
    "__contains__": lambda value, item: item in value,
}
LONGEST_NAP_SECONDS = 0.02


def target_of(link: SolutionLink, target: Any) -> Any:
    """The object that a request is about: by its number, or data with a class of its own."""
    return link.codec.objects[target] if type(target) is int else target


def call(link: SolutionLink, target: Any, arguments: list[Any], named: dict[str, Any] | None = None) -> Any:
    """Call an object; `named` None: no named arguments."""
    return target_of(link, target)(*arguments, **named) if named else target_of(link, target)(*arguments)


def call_method(
    link: SolutionLink, target: Any, name: str, arguments: list[Any], named: dict[str, Any] | None = None
) -> Any:
    """Call a method by its name."""
    return getattr(target_of(link, target), name)(*arguments, **(named or {}))


def call_unbound(link: SolutionLink, owner: int, name: str, target: Any, arguments: list[Any], *named: Any) -> Any:
    """Call a method as one class has it, whatever a subclass made of it."""
    kind = link.codec.objects[owner] if type(owner) is int else owner
    return getattr(kind, name)(target_of(link, target), *arguments, **(named[0] if named else {}))


def get(link: SolutionLink, target: Any, name: str) -> Any:
    """Read an attribute."""
    return getattr(target_of(link, target), name)


def put(link: SolutionLink, target: Any, name: str, value: Any) -> None:
    """Set an attribute."""
    setattr(target_of(link, target), name, value)


def drop(link: SolutionLink, target: Any, name: str) -> None:
    """Delete an attribute."""
    delattr(target_of(link, target), name)


def operate(link: SolutionLink, name: str, target: Any, arguments: list[Any], _named: Any = None) -> Any:
    """An operation of the data model, as the interpreter would look it up: on the class."""
    value = target_of(link, target)
    natural = NATURAL.get(name)
    if natural is not None:
        return natural(value, *arguments)
    return getattr(type(value), name)(value, *arguments)


def signature(link: SolutionLink, target: Any) -> list[Any]:
    """(name, kind, whether it is optional, default if that is plain) of the parameters of a function."""
    import inspect  # noqa: PLC0415 - only who asks pays

    none = inspect.Parameter.empty
    return [
        [each.name, each.kind.name, each.default is not none, None if each.default is none else each.default]
        for each in inspect.signature(target_of(link, target)).parameters.values()
    ]


def data_of(link: SolutionLink, target: int) -> Any:
    """What a container of a class of its own holds, as the plain container that it is."""
    value = link.codec.objects[target]
    for base in (list, dict, set, bytearray):
        if isinstance(value, base):
            return base(base.__iter__(value)) if base is not dict else dict(dict.items(value))
    raise TypeError(f"{type(value).__name__} is no container")


def is_instance(link: SolutionLink, kind: int, target: Any) -> bool:
    """What a protocol or an abstract class says of an object."""
    return isinstance(target_of(link, target), link.codec.objects[kind])


def duplicate(link: SolutionLink, target: Any, deep: int) -> Any:
    """Copy an object."""
    import copy  # noqa: PLC0415 - only who copies pays

    value = target_of(link, target)
    return copy.deepcopy(value) if deep else copy.copy(value)


def packed_by_pickle(link: SolutionLink, target: Any) -> bytes:
    """An object as bytes, for unpickled() only."""
    import pickle  # noqa: PLC0415 - as above

    return pickle.dumps(target_of(link, target))


def unpickled(_link: SolutionLink, data: bytes) -> Any:
    """The object again. This process runs whatever it likes anyway; the bytes are read nowhere else."""
    import pickle  # noqa: PLC0415 - as above

    return pickle.loads(data)


def define(link: SolutionLink, name: str, bases: list[Any], overridden: list[str], *parts: Any) -> Any:
    """Make the counterpart of a class that the tests derive from the solution's: what it overrides asks the tests.

    `parts` are the names of its properties, its plain attributes, and the options that it was made with.
    """
    import types  # noqa: PLC0415 - as above

    read, attributes, options = parts
    body: dict[str, Any] = {each: _forwarder(link, each) for each in overridden}
    body.update({each: property(_forwarder(link, each)) for each in read})
    return types.new_class(
        name, tuple(bases), options, lambda names: names.update({**attributes, **body, "__module__": "tests"})
    )


def make(link: SolutionLink, owner: int, twin: int, arguments: list[Any], named: dict[str, Any] | None = None) -> Any:
    """An instance of such a class; `twin` is the judge's number of what stands for it there."""
    kind, named = link.codec.objects[owner], named or {}
    value = kind.__new__(kind, *arguments, **named) if kind.__new__ is not object.__new__ else object.__new__(kind)
    link.codec.grant(value)
    link.codec.twins[id(value)] = twin
    value.__init__(*arguments, **named)
    return value


def _forwarder(link: SolutionLink, name: str) -> FunctionType:
    def forwarder(self: Any, *arguments: Any, **named: Any) -> Any:
        return link.override(self, name, arguments, named)

    forwarder.__name__ = name
    return forwarder


class Tasks:
    """Awaitables of the solution, run in an event loop of this process, a turn at a time."""

    def __init__(self) -> None:
        self._loop: Any = None
        self._tasks: dict[int, Any] = {}
        self._next = 1

    def begin(self, link: SolutionLink, target: Any) -> int:
        """Begin to run an awaitable; gives the number of its task."""
        import asyncio  # noqa: PLC0415 - only who awaits pays

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        number, self._next = self._next, self._next + 1
        self._tasks[number] = self._loop.create_task(_awaited(target_of(link, target)))
        return number

    def turn(self, _link: SolutionLink, number: int) -> list[Any]:
        """Let all tasks go on for a turn: [True, result] when this one is done, else [False, seconds to wait]."""
        task, loop = self._tasks[number], self._loop
        loop.call_soon(loop.stop)
        loop.run_forever()
        if not task.done():
            return [False, self._nap()]
        del self._tasks[number]
        return [True, task.result()]

    def cancel(self, _link: SolutionLink, number: int) -> None:
        """Cancel one, and let it end."""
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def _nap(self) -> float:
        if self._loop._ready:  # noqa: SLF001 - no public word for it
            return 0.0
        scheduled = self._loop._scheduled  # noqa: SLF001 - as above
        until = scheduled[0].when() - self._loop.time() if scheduled else LONGEST_NAP_SECONDS
        return min(max(until, 0.0), LONGEST_NAP_SECONDS)


async def _awaited(value: Any) -> Any:
    return await value


def imported(_link: SolutionLink, name: str) -> Any:
    """A module of a solution of several files."""
    __import__(name)
    return sys.modules[name]


def load(link: SolutionLink, told: list[str]) -> list[Any]:
    """Load the solution."""
    return link.load(link, told)


def operations(borrower: Borrower) -> dict[str, Callable[..., Any]]:
    """The words of the judge, made once where a process serves many runs; what is of one run is the link's."""
    tasks = Tasks()
    return {
        "L": load,
        "C": call,
        "M": call_method,
        "U": call_unbound,
        "G": get,
        "S": put,
        "X": drop,
        "O": operate,
        "I": signature,
        "V": data_of,
        "Q": is_instance,
        "Y": duplicate,
        "B": packed_by_pickle,
        "D": unpickled,
        "K": define,
        "N": make,
        "W": imported,
        "F": borrower.borrow,
        "E": borrower.changed,
        "A": tasks.begin,
        "P": tasks.turn,
        "Z": tasks.cancel,
    }
