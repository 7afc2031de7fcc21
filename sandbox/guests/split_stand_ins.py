"""What stands in the solution's process for objects of the tests: functions to call, objects with operations.

The solution may call what it was handed, use the operations of the data model that the object's class defines, and read
its public attributes. That is decided in the judge, not here: whatever this module sends, the answer is a refusal for
anything else.
"""

import builtins
from types import FunctionType
from typing import Any

WAIT_SECONDS = 0.0005
KINDS = {
    "p": "POSITIONAL_ONLY",
    "a": "POSITIONAL_OR_KEYWORD",
    "*": "VAR_POSITIONAL",
    "k": "KEYWORD_ONLY",
    "**": "VAR_KEYWORD",
}


class JudgeClass(type):
    """The class of what stands for the suite's classes. Calling one makes an instance there."""

    judge_link: Any
    judge_number: int

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return cls.judge_link.call_back(cls.judge_number, arguments, named)


class Awaited:
    """A coroutine of the tests, which runs there; whoever awaits it here asks whether it is done."""

    def __init__(self, link: Any, number: int) -> None:
        self._link = link
        self._awaited = number

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        import asyncio  # noqa: PLC0415 - it is running

        while True:
            done, value = self._link.outcome_of(self._awaited)
            if done:
                return value
            await asyncio.sleep(WAIT_SECONDS)


class StandIns:
    """Makes stand-ins and keeps them: the judge's number of an object to what stands for it here."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self._kept: dict[int, Any] = {}
        self._classes: dict[tuple[str, tuple[str, ...]], type] = {}

    def known(self, number: int) -> Any:
        """The stand-in that was made for a number."""
        return self._kept[number]

    def make(self, number: int, kind: str, *parts: Any) -> Any:
        """One for an object that is new here."""
        made = getattr(self, f"_{kind}")(number, *parts)
        self._kept[number] = made
        self._link.codec.stand_ins[id(made)] = number
        return made

    def exception(self, number: int, name: str, members: list[BaseException]) -> BaseException:
        """A token for an exception of the tests: its builtin class, and nothing of what it says."""
        if number not in self._kept:
            base: Any = vars(builtins).get(name, Exception)
            try:
                made = base("", members) if members else base()
            except TypeError:  # a class that wants arguments
                made = base.__new__(base)
            self._kept[number] = made
            self._link.codec.stand_ins[id(made)] = number
        error: BaseException = self._kept[number]
        return error

    def _f(self, number: int, name: str, doc: str | None, parameters: Any, *parts: Any) -> Any:
        link = self._link
        waits, annotated = parts
        annotations = {each: vars(builtins)[kind] for each, kind in annotated}

        def stand_in(*arguments: Any, **named: Any) -> Any:
            return link.call_back(number, arguments, named)

        async def waiting(*arguments: Any, **named: Any) -> Any:
            found = link.call_back(number, arguments, named)
            return await found if type(found) is Awaited else found

        made: Any = waiting if waits else stand_in
        made.__name__ = made.__qualname__ = name
        made.__doc__, made.__module__ = doc, "tests"
        made.__annotations__ = annotations
        if parameters is not None:
            made.__signature__ = _signature(parameters, annotations)
        return made

    def _u(self, number: int) -> Any:
        return Awaited(self._link, number)

    def _c(self, number: int, name: str, bases: list[Any], specials: list[str]) -> Any:
        """A class of the suite: a real class here, so that isinstance and the order of its bases work."""
        own = tuple(base for base in bases if type(base) is JudgeClass)
        made = JudgeClass(name, own, {**self._body(specials), "judge_link": self._link})
        made.judge_number = number
        return made

    def _i(self, number: int, kind: type) -> Any:
        """An instance of such a class."""
        made = object.__new__(kind)
        object.__setattr__(made, "_number", number)
        return made

    def _o(self, number: int, name: str, specials: list[str]) -> Any:
        """Anything else that has operations."""
        key = (name, tuple(specials))
        if key not in self._classes:
            self._classes[key] = type(name, (), self._body(specials))
        return self._i(number, self._classes[key])

    def _body(self, specials: list[str]) -> dict[str, Any]:
        link = self._link
        body: dict[str, Any] = {special: _operation(link, special) for special in specials}
        if "__eq__" in body and "__hash__" not in body:
            body["__hash__"] = None
        if "__next__" in body and "__iter__" not in body:
            body["__iter__"] = lambda self: self
        body["__getattr__"] = lambda self, asked: link.attribute_of(object.__getattribute__(self, "_number"), asked)
        body["__setattr__"] = lambda self, name, value: link.set_attribute(
            object.__getattribute__(self, "_number"), name, value
        )
        return {**body, "__module__": "tests"}


def _signature(parameters: list[list[Any]], annotations: dict[str, Any]) -> Any:
    """What inspect is told of parameters: names and kinds. A default is shown as `...`, whatever it is."""
    import inspect  # noqa: PLC0415 - only who is handed a function pays

    none = inspect.Parameter.empty
    made = [
        inspect.Parameter(
            name,
            getattr(inspect.Parameter, KINDS[kind]),
            default=... if optional else none,
            annotation=annotations.get(name, none),
        )
        for name, kind, optional in parameters
    ]
    return inspect.Signature(made, return_annotation=annotations.get("return", none))


def _operation(link: Any, name: str) -> FunctionType:
    def operation(self: Any, *arguments: Any, **named: Any) -> Any:
        number = object.__getattribute__(self, "_number")
        if name == "__call__":
            return link.call_back(number, arguments, named)
        return link.operate(number, name, arguments)

    operation.__name__ = name
    return operation
