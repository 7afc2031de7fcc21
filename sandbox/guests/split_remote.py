"""The stand-ins themselves: classes, objects, functions, modules, generators as the tests see them."""

from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import Any

from split_codec import wants
from split_names import READABLE

OPEN = frozenset({"Protocol", "ABC"})  # classes that have instances which do not derive from them


def number_of(value: Any) -> int:
    """The solution's number of what stands for an object of its; 0 for anything else."""
    if type(value) is RemoteClass:
        return value.prism_number
    own = getattr(type(value), "_prism_of", None)
    return own(value) if own is not None else 0


class RemoteClass(type):
    """The class of classes that stand for the solution's, and of those that the tests derive from them."""

    prism_number: int
    prism_link: Any
    prism_defined: bool  # derived by the tests

    def __init__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any], **options: Any) -> None:
        super().__init__(name, bases, names, **options)
        cls.prism_defined = "prism_number" not in names
        if cls.prism_defined:
            cls.prism_number = cls.prism_link.proxies.define(cls, names, options)

    def __new__(mcs, name: str, bases: tuple[type, ...], names: dict[str, Any], **_: Any) -> "RemoteClass":
        return super().__new__(mcs, name, bases, names)

    @property
    def __mro__(cls) -> tuple[type, ...]:  # type: ignore[override]
        """Without the class that only stand-ins have."""
        return tuple(each for each in type.__dict__["__mro__"].__get__(cls) if each is not Remote)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        if cls.prism_defined:
            return cls.prism_link.proxies.make_twin(cls, arguments, named)
        return cls.prism_link.call(cls.prism_number, arguments, named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in READABLE:
            raise AttributeError(name)
        return cls.prism_link.read(cls.prism_number, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name.startswith(("prism_", "__", "_abc")):
            type.__setattr__(cls, name, value)
        else:
            type.__setattr__(cls, name, value) if cls.prism_defined else cls._forget(name)
            cls.prism_link.request("S", cls.prism_number, name, cls.prism_link.pack(value))

    def __delattr__(cls, name: str) -> None:
        cls.prism_link.request("X", cls.prism_number, name)

    def __instancecheck__(cls, value: Any) -> bool:
        if type.__instancecheck__(cls, value):
            return True
        if not number_of(value) or not any(base.__name__ in OPEN for base in cls.__mro__ if type(base) is RemoteClass):
            return False
        cls.prism_link.decided = True
        return wants(cls.prism_link.request("Q", cls.prism_number, number_of(value)), bool) is True

    def _forget(cls, name: str) -> None:
        if name in cls.__dict__:
            type.__delattr__(cls, name)

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls.prism_link.operate("__iter__", cls))

    def __getitem__(cls, key: Any) -> Any:
        return cls.prism_link.operate("__getitem__", cls, key)

    def __len__(cls) -> int:
        return int(wants(cls.prism_link.operate("__len__", cls), int))

    def __contains__(cls, item: Any) -> bool:
        return any(item is each or item == each for each in cls)

    def __bool__(cls) -> bool:
        return True


class Remote:
    """Stands for an object of the solution's."""

    _prism: int
    prism_link: Any

    def _prism_of(self) -> int:
        found: int = object.__getattribute__(self, "_prism")
        return found

    def __getattr__(self, name: str) -> Any:
        if name == "_prism" or (name.startswith("__") and name.endswith("__") and name not in READABLE):
            raise AttributeError(name)
        return self.prism_link.read(object.__getattribute__(self, "_prism"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        link = self.prism_link
        link.request("S", object.__getattribute__(self, "_prism"), name, link.pack(value))

    def __delattr__(self, name: str) -> None:
        self.prism_link.request("X", object.__getattribute__(self, "_prism"), name)

    def __copy__(self) -> Any:
        return self.prism_link.request("Y", self._prism_of(), 0)

    def __deepcopy__(self, _memo: Any) -> Any:
        return self.prism_link.request("Y", self._prism_of(), 1)

    def __repr__(self) -> str:
        return str(wants(self.prism_link.operate("__repr__", self), str))

    def __str__(self) -> str:
        return str(wants(self.prism_link.operate("__str__", self), str))

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """What the solution's process makes of it, as bytes that only that process ever reads."""
        link = self.prism_link
        return link.restore, (link.request("B", self._prism_of()),)


class RemoteFunction(Remote):
    """Stands for a function, or for anything that is called."""

    __module__ = "solution"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.prism_link.call(self.__dict__["_prism"], arguments, named)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None or self.__dict__["_prism_kind"] != "function":
            return self
        return lambda *arguments, **named: self(instance, *arguments, **named)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self.prism_link.read(self._prism_of(), "__doc__")

    @property
    def __annotations__(self) -> Any:  # type: ignore[override]
        return self.prism_link.read(self._prism_of(), "__annotations__")

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":
            return self.prism_link.signature(self._prism_of())
        marks = WAITING.get(name) if self.__dict__.get("_prism_waits") else None
        return marks() if marks is not None else super().__getattr__(name)


def _inspect_mark() -> Any:
    import inspect  # noqa: PLC0415 - only who asks pays

    return getattr(inspect, "_is_coroutine_mark", None)


def _asyncio_mark() -> Any:
    import asyncio.coroutines  # noqa: PLC0415 - as above

    return getattr(asyncio.coroutines, "_is_coroutine", None)


WAITING: dict[str, Callable[[], Any]] = {"_is_coroutine_mark": _inspect_mark, "_is_coroutine": _asyncio_mark}


class RemoteModule(ModuleType):
    """Stands for a module of the solution's process."""

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self.__dict__["_prism_link"].read(self.__dict__["_prism"], "__doc__")

    def _prism_of(self) -> int:
        found: int = self.__dict__["_prism"]
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in READABLE:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        link = self.__dict__["_prism_link"]
        return link.read(self.__dict__["_prism"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            link = self.__dict__["_prism_link"]
            link.request("S", self.__dict__["_prism"], name, link.pack(value))

    def __delattr__(self, name: str) -> None:
        self.__dict__["_prism_link"].request("X", self.__dict__["_prism"], name)


class Method:
    """A method as a class of the solution's has it."""

    def __init__(self, owner: int, name: str) -> None:
        self.owner = owner
        self.name = name

    def __get__(self, instance: Any, kind: Any) -> Any:
        if instance is None:
            return kind.prism_link.read(self.owner, self.name)
        return BoundMethod(instance, self)


class BoundMethod:
    """A method with its object, called in one step."""

    def __init__(self, instance: Any, method: Method) -> None:
        self.__self__ = instance
        self._method = method
        self.__name__ = method.name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        instance, method = self.__self__, self._method
        return type(instance).prism_link.call_method(instance, method.owner, method.name, arguments, named)

    def __getattr__(self, name: str) -> Any:
        return getattr(type(self.__self__).prism_link.read(self._method.owner, self._method.name), name)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is BoundMethod and other.__self__ is self.__self__ and other._method.name == self._method.name
        )

    def __hash__(self) -> int:
        return hash((id(self.__self__), self._method.name))

    def _prism_of(self) -> int:
        found = type(self.__self__).prism_link.request("G", *self._target(), self._method.name)
        return number_of(found)

    def _target(self) -> tuple[Any]:
        return (type(self.__self__).prism_link.target(self.__self__),)


def generating(link: Any, number: int) -> Generator[Any, Any, Any]:
    """A generator that goes where the solution's goes."""
    step: tuple[str, list[Any]] = ("__next__", [])
    while True:
        try:
            item = link.watched_request("M", number, step[0], step[1], {}, stops=True)
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield item
        except GeneratorExit:
            if link.proxies.is_living(number):  # else nobody holds it: it is let go there as it is here
                link.request("M", number, "close", [])
            raise
        except BaseException as error:  # thrown in: it goes on there
            step = ("throw", [error])
        else:
            step = ("send", [sent]) if sent is not None else ("__next__", [])


async def waiting(link: Any, number: int, *, kept: Any = None, stops: bool = False) -> Any:  # noqa: ARG001 - its frame
    """A coroutine that is done when the solution's is. It keeps `kept`; `stops`: StopAsyncIteration is let through."""
    import asyncio  # noqa: PLC0415 - it is running

    task = link.request("A", number)
    try:
        while True:
            done, value = link.request("P", task, stops=stops)
            if done:
                return value
            await asyncio.sleep(value)
    except (asyncio.CancelledError, GeneratorExit):
        link.request("Z", task)
        raise


RemoteFunction.__name__ = RemoteFunction.__qualname__ = "function"
