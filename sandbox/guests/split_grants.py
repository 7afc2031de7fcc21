"""What the solution may do with objects of the tests. It is asked for by strangers: all that is not here is refused.

It may call a function that it was handed. Of an instance of a class that the suite defines it may use the operations
of the data model that the class defines, and read the public names that the suite itself gave to the object or its
class: fakes and stubs are made for that. Of what the standard library makes for tests (mocks, streams, iterators) it
may use the public names that are listed here. Test cases, modules, frames, and whatever begins with an underscore are
out of reach, and an object is known only by the number under which it was granted. Nothing can be set but a public
attribute that an instance of a plain record has: of a class of the suite without methods, as list nodes are.
"""

import builtins
import sys
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

from split_library import is_library
from split_names import ASKED_OF_TESTS, BY_BUILTIN

MOST_GRANTS = 200_000
DOC_CHARACTERS = 2000
FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType)
CONTAINERS = (list, dict, set, bytearray, tuple, frozenset)
DOING = (FunctionType, classmethod, staticmethod, property)
STREAM = "read readline readlines write writelines getvalue seek tell close flush closed truncate"
LENT: dict[tuple[str, str], frozenset[str]] = {
    owner: frozenset(names.split())
    for owner, names in {
        ("_io", "StringIO"): STREAM,
        ("_io", "BytesIO"): STREAM,
        ("_io", "TextIOWrapper"): STREAM,
        ("_io", "BufferedReader"): STREAM,
        ("_io", "BufferedWriter"): STREAM,
        ("random", "Random"): "random randint choice shuffle sample uniform randrange gauss choices",
        ("_thread", "lock"): "acquire release locked",
        ("queue", "Queue"): "put get empty full qsize task_done join put_nowait get_nowait",
        ("threading", "Event"): "set is_set wait clear",
    }.items()
}
ENUM = frozenset({"name", "value"})
MOCKS = frozenset({"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "NonCallableMagicMock"})
MOCK_OWN = ("assert_", "mock_", "method_calls", "call_", "called", "return_value", "side_effect", "attach_mock",
            "configure_mock", "reset_mock")  # fmt: skip


class RefusedError(Exception):
    """The solution asked for what it may not have; `kind` is the builtin exception that it sees."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Begun:
    """A coroutine of the tests that was begun for the solution, which waits for it. `task` None: it is done."""

    def __init__(self, task: Any, result: Any = None) -> None:
        self.task = task
        self._result = result

    def outcome(self) -> tuple[bool, Any]:
        """Whether it is done, and with what. Raises what it raised."""
        if self.task is None:
            return True, self._result
        return (True, self.task.result()) if self.task.done() else (False, None)


def begun(coroutine: Any) -> Begun:
    """A coroutine of the tests, begun in the event loop that runs; where none does it is run at once."""
    import asyncio  # noqa: PLC0415 - only who awaits pays

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return Begun(None, asyncio.run(coroutine))
    return Begun(loop.create_task(coroutine))


class Grants:
    """Objects of the tests that the solution holds, by the numbers under which it got them."""

    def __init__(self) -> None:
        self.objects: dict[int, Any] = {}
        self.read_only = False  # whether what the solution sets is seen by itself alone
        self._held_back: dict[tuple[int, Any], Any] = {}
        self._numbers: dict[Any, int] = {}

    def number_of(self, value: Any) -> int | None:
        """The number of an object that was granted."""
        return self._numbers.get(_mark_of(value))

    def grant(self, value: Any) -> int:
        """Give out an object; it stays alive from then on."""
        mark = _mark_of(value)
        number = self._numbers.get(mark)
        if number is None:
            if len(self.objects) >= MOST_GRANTS:
                raise OverflowError(f"the suite handed over more than {MOST_GRANTS} objects")
            number = self._numbers[mark] = len(self.objects) + 1
            self.objects[number] = value
        return number

    def described(self, value: Any) -> list[Any]:
        """What the solution is told of an object when it gets it."""
        if is_of(value, FUNCTIONS):
            waits = bool(getattr(getattr(value, "__code__", None), "co_flags", 0) & 0x80)
            name = getattr(value, "__name__", "function")
            doc = getattr(value, "__doc__", None)
            shown = doc[:DOC_CHARACTERS] if type(doc) is str else None
            return ["f", name, shown, _parameters(value), waits, _annotations(value)]
        kind = type(value)
        if is_of(value, (type,)):
            return class_described(value)
        if kind is Begun:
            return ["u"]
        return ["i", kind] if is_of_suite(kind) else ["o", kind.__name__, sorted(operations_of(kind))]

    def call(self, number: int, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Call what was granted."""
        value = self._granted(number)
        if is_of(value, (*FUNCTIONS, type)) or "__call__" in operations_of(type(value)):
            return value(*arguments, **named)
        raise RefusedError("TypeError", f"{type(value).__name__!r} object of the tests is not callable")

    def operate(self, number: int, name: Any, arguments: list[Any]) -> Any:
        """Use an operation of the data model."""
        value = self._granted(number)
        if type(name) is not str or name not in operations_of(type(value)):
            raise RefusedError("TypeError", f"the tests' {type(value).__name__} does not define that operation")
        if name in BY_BUILTIN:
            return BY_BUILTIN[name](value, *arguments)
        return getattr(type(value), name)(value, *arguments)

    def attribute(self, number: int, name: Any) -> Any:
        """Read a public attribute."""
        value = self._granted(number)
        if (number, name) in self._held_back:
            return self._held_back[number, name]
        if type(name) is str and not name.startswith("_") and _may_read(value, name):
            return getattr(value, name)
        raise RefusedError(
            "AttributeError", f"{type(value).__name__!r} object of the tests has no attribute {str(name)[:80]!r}"
        )

    def set(self, number: int, name: Any, value: Any) -> None:
        """Set a public attribute that a plain record of the tests has: list nodes and tree nodes are made for that."""
        holder = self._granted(number)
        if type(name) is not str or name.startswith("_") or not is_record(type(holder)) or not _has(holder, name):
            raise RefusedError("AttributeError", f"{type(holder).__name__!r} object of the tests cannot be changed")
        if self.read_only:
            self._held_back[number, name] = value
        else:
            setattr(holder, name, value)

    def _granted(self, number: Any) -> Any:
        if type(number) is not int or number not in self.objects:
            raise RefusedError("ReferenceError", "no such object was handed over")
        return self.objects[number]


def is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """isinstance() by what an object is, whatever it says: a mock says that it is what it stands for."""
    return issubclass(type(value), kinds)


def _mark_of(value: Any) -> Any:
    """What an object is known by: a bound method is another object each time, and yet the same."""
    if type(value) is MethodType:
        return id(value.__self__), id(value.__func__)
    if type(value) is BuiltinFunctionType:
        return id(value.__self__), value.__name__
    return id(value)


def is_of_suite(kind: type) -> bool:
    """Whether the suite defines a class, and it is no test case."""
    return kind.__module__ == "tests" and not hasattr(kind, "assertEqual") and not kind.__name__.startswith("Test")


def class_described(kind: type) -> list[Any]:
    """A class of the tests: its name, its bases among classes of the suite, the operations of its instances."""
    if not is_of_suite(kind):
        return ["o", kind.__name__, ["__call__"]]
    return ["c", kind.__name__, [base for base in kind.__bases__ if is_of_suite(base)], sorted(operations_of(kind))]


def is_record(kind: type) -> bool:
    """Whether a class of the suite holds attributes and does nothing: none of its methods has a public name."""
    if not is_of_suite(kind) or type(kind) is not type:
        return False
    own = [(name, value) for each in kind.__mro__ if is_of_suite(each) for name, value in each.__dict__.items()]
    return not any(isinstance(value, DOING) and not name.startswith("__") for name, value in own)


def _has(holder: Any, name: str) -> bool:
    names = [getattr(holder, "__dict__", {}), *(each.__dict__ for each in type(holder).__mro__ if is_of_suite(each))]
    return any(name in each for each in names)


def operations_of(kind: type) -> frozenset[str]:
    """The operations that the solution may use on instances of a class.

    Those that classes of the suite define, those of the data that they derive from, and what iterators are for.
    """
    found: set[str] = set()
    for each in kind.__mro__:
        if is_of_suite(each):
            found.update(name for name in ASKED_OF_TESTS & each.__dict__.keys() if each.__dict__[name] is not None)
    if is_of_suite(kind) and issubclass(kind, CONTAINERS):
        found.update(name for name in ASKED_OF_TESTS & set(dir(kind)) if getattr(kind, name) is not None)
    if kind.__module__ == "unittest.mock" and kind.__mro__[1].__name__ in MOCKS:
        found.update({"__call__"} if "__call__" in dir(kind) else set())
        found.update({"__enter__", "__exit__", "__iter__", "__len__", "__getitem__"} & set(dir(kind)))
    elif is_iterator(kind):
        found.update({"__iter__", "__next__"})
    elif (kind.__module__, kind.__name__) in LENT or (kind.__module__, kind.__qualname__) == ("functools", "partial"):
        found.update({"__call__", "__enter__", "__exit__", "__iter__", "__next__"} & set(dir(kind)))
    return frozenset(found)


def is_iterator(kind: type) -> bool:
    """A class of iterators of the interpreter's own."""
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def _may_read(value: Any, name: str) -> bool:
    kind = type(value)
    if kind.__module__ == "unittest.mock":
        return not name.startswith(MOCK_OWN)
    if kind.__module__ == "types" and kind.__name__ == "SimpleNamespace":
        return name in value.__dict__
    lent = ("send", "throw", "close") if isinstance(value, GeneratorType) else _lent(kind)
    if lent is not None:
        return name in lent
    return _is_given(value, kind, name)


def _is_given(value: Any, kind: type, name: str) -> bool:
    """Whether the suite gave a name to an object of a class of its own, or the data has it that the class is of."""
    if isinstance(value, (type, ModuleType, BaseException, *FUNCTIONS)) or not is_of_suite(kind):
        return False
    given = [vars(each) for each in kind.__mro__ if is_of_suite(each) or each in CONTAINERS]
    return any(name in names for names in [getattr(value, "__dict__", {}), *given])


def _lent(kind: type) -> frozenset[str] | None:
    return ENUM if type(kind).__module__ == "enum" else LENT.get((kind.__module__, kind.__name__))


def library_name(value: Any) -> str | None:
    """`module:path` of a function, class or module of the library or numpy, which the solution has itself."""
    if isinstance(value, ModuleType):
        known = is_library(value.__name__) and sys.modules.get(value.__name__) is value
        return f"{value.__name__}:" if known and value.__name__ != "__main__" else None
    module, path = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if type(value).__name__ in ("method_descriptor", "wrapper_descriptor"):
        module, path = value.__objclass__.__module__, f"{value.__objclass__.__qualname__}.{value.__name__}"
    if type(value).__module__ == "numpy" and type(value).__name__ == "ufunc":
        module, path = "numpy", value.__name__
    if type(module) is not str or type(path) is not str or not is_library(module):
        return None
    if module == "__main__" or module.startswith("unittest"):
        return None
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return f"{module}:{path}" if found is value else None


def _annotations(function: Any) -> list[list[str]]:
    """(parameter, type) where the annotation is a builtin type."""
    found = getattr(function, "__annotations__", None)
    names = found.items() if type(found) is dict else ()
    return [[name, kind.__name__] for name, kind in names if getattr(builtins, _name_of(kind), None) is kind]


def _name_of(kind: Any) -> str:
    return kind.__name__ if type(kind) is type else ""


def _parameters(function: Any) -> list[list[Any]] | None:
    """(name, kind, whether it is optional) of a function of the suite; None where that is not known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    names, position = code.co_varnames, code.co_argcount
    defaults = len(getattr(function, "__defaults__", None) or ())
    skipped = 1 if isinstance(function, MethodType) else 0
    found: list[list[Any]] = []
    for index in range(skipped, position):
        kind = "p" if index < code.co_posonlyargcount else "a"
        found.append([names[index], kind, index >= position - defaults])
    rest = position + code.co_kwonlyargcount
    if code.co_flags & 0x04:  # *arguments
        found.append([names[rest], "*", False])
        rest += 1
    optional = getattr(function, "__kwdefaults__", None) or {}
    found.extend([name, "k", name in optional] for name in names[position : position + code.co_kwonlyargcount])
    if code.co_flags & 0x08:  # **named
        found.append([names[rest], "**", False])
    return found
