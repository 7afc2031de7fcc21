"""How the solution's process tells of its objects: what is no data is granted by a number, described once."""

import builtins
import sys
from types import CoroutineType, FunctionType, GeneratorType, ModuleType
from typing import Any

import split_arrays
from split_codec import SCALARS, Codec
from split_library import is_library
from split_names import OPERATIONS

# Operations of the data model that may be asked of an object. What is not here stays on this side.
SPECIAL_NAMES = tuple(sorted(OPERATIONS))
IMMUTABLE_DATA = (int, float, str, bytes, tuple, frozenset, complex)
SHORT_CHARACTERS = 2000
MOST_CAUSES = 4
HIDDEN = ("<prismenv", "<frozen importlib.")  # frames of what runs the solution
MOST_FRAMES = 12
MOST_MEMBERS = 2000
PLAIN_BASES = (object, BaseException, Exception)


def builtin_name(value: Any) -> str | None:
    """The name of a builtin type or exception; None for anything else."""
    if isinstance(value, type) and value.__module__ == "builtins" and vars(builtins).get(value.__name__) is value:
        return value.__name__
    return None


class SolutionCodec(Codec):
    """Grants objects of this process. `stand_ins` maps the id of a stand-in to the judge's number of the object."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[int, Any] = {}
        self.stand_ins: dict[int, int] = {}
        self.twins: dict[int, int] = {}  # id of an instance of a class of the test's: the judge's number of it
        self.library: dict[int, str] = {}  # what the judge named of the standard library, by id
        self.lines: dict[str, list[str]] = {}  # of the solution's files, to show with its frames
        self._numbers: dict[int, int] = {}
        self._next = 1

    def refer(self, value: Any) -> Any:
        known = self._known(id(value))
        if isinstance(value, type):
            return split_arrays.scalar_type(value) or self._class_named(value, known)
        if known is not None:
            return known
        if isinstance(value, BaseException):
            return self.exception(value)
        if isinstance(value, IMMUTABLE_DATA):
            return self._data(value)
        return {"h": [self.grant(value), *self._described(value)]}

    def _class_named(self, kind: type, known: Any) -> Any:
        name = builtin_name(kind)
        told = {"q": name} if name else known or {"h": self._class_granted(kind)}
        if name is None and "h" in told and issubclass(kind, BaseException) and is_of_library(kind):
            return {"y": f"{kind.__module__}:{kind.__qualname__}", **told}  # the tests may have it as well
        return told

    def _class_granted(self, kind: type) -> list[Any]:
        return [self.grant(kind), "c", *self._class(kind)]

    def _known(self, mark: int) -> Any:
        """What stands for an object that the judge has, or has heard of; None for a new one."""
        if mark in self.stand_ins:
            return {"j": self.stand_ins[mark]}
        if mark in self.library:
            return {"y": self.library[mark]}
        if mark in self.twins and mark in self._numbers:
            return {"w": [self._numbers[mark], self.twins[mark]]}
        return {"h": [self._numbers[mark]]} if mark in self._numbers else None

    def grant(self, value: Any) -> int:
        """Give the judge a number for an object of this process."""
        number = self._numbers[id(value)] = self._next
        self._next += 1
        self.objects[number] = value
        return number

    def release(self, numbers: list[int]) -> None:
        """The judge has let go of these."""
        for number in numbers:
            value = self.objects.pop(number, None)
            if self._numbers.get(id(value)) == number:
                del self._numbers[id(value)]

    def exception(self, error: BaseException, depth: int = 0) -> Any:
        """An exception with its arguments, its text and where it was raised; its cause likewise."""
        kind = type(error)
        described = self.pack(kind)  # in the order of the frame: what is described first must be read first
        known = builtin_name(kind)
        number = 0 if known else self._numbers.get(id(error)) or self.grant(error)
        group = isinstance(error, BaseExceptionGroup)
        arguments = [] if group else self._arguments(error)
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        chained = self.exception(cause, depth + 1) if cause is not None and depth < MOST_CAUSES else None
        if cause is not None and id(cause) in self.stand_ins:
            chained = {"j": self.stand_ins[id(cause)]}
        notes = [str(note)[:SHORT_CHARACTERS] for note in getattr(error, "__notes__", ())]
        members = self._members(error) if group else None
        attributes = _plain_attributes(error) if known or is_of_library(kind) else {}
        text, trace = _text(error), frames_of(error, self.lines)
        parts = [described, arguments, text, trace, chained, error.__cause__ is not None]
        return {"E": [*parts, number, notes, members, self.pack(attributes)]}

    def _arguments(self, error: BaseException) -> list[Any]:
        try:
            return [self.pack(argument) for argument in error.args]
        except Exception:
            return []

    def _members(self, error: Any) -> list[Any]:
        members = error.exceptions[:MOST_MEMBERS]
        return [self._known_here(member) or self.exception(member, MOST_CAUSES) for member in members]

    def _known_here(self, error: BaseException) -> Any:
        """What stands for an exception of the tests; None for one of this process."""
        return {"j": self.stand_ins[id(error)]} if id(error) in self.stand_ins else None

    def _described(self, value: Any) -> list[Any]:
        kind = type(value)
        if isinstance(value, GeneratorType):
            return ["g", value.__name__]
        if isinstance(value, CoroutineType):
            return ["k", value.__name__]
        if isinstance(value, ModuleType):
            return ["m", value.__name__]
        if isinstance(value, FunctionType) or (callable(value) and kind.__module__ in ("builtins", "functools")):
            name, where = getattr(value, "__name__", kind.__name__), getattr(value, "__module__", None)
            return ["f", str(name), kind.__name__, str(where), bool(getattr(value, "__code__", None)) and _waits(value)]
        return ["i", self.pack(kind)]

    def _data(self, value: Any) -> Any:
        """Data of a class of its own: what it holds, and the object for what else there is to it."""
        kind = type(value)
        base = next(base for base in kind.__mro__ if base in IMMUTABLE_DATA)
        plain = base.__new__(base, value) if base is not complex else complex(value.real, value.imag)
        if base in (int, str, float, bytes):
            plain = {int: int.__int__, float: float.__float__, str: str.__str__, bytes: bytes.__bytes__}[base](value)
            plain = plain if type(plain) is base else base.__new__(base, plain)
        own = 0 if not getattr(value, "__dict__", None) or is_loaded_enum(kind) else self.grant(value)
        return {"N": [self.pack(kind), self.pack(plain), own]}

    def _class(self, kind: type) -> list[Any]:
        mro = [each for each in kind.__mro__ if each not in PLAIN_BASES]
        own = vars(kind)
        specials = [name for name in SPECIAL_NAMES if any(vars(each).get(name) is not None for each in mro)]
        unhashable = kind.__hash__ is None
        if unhashable and "__hash__" in specials:
            specials.remove("__hash__")
        methods = [
            name
            for name, value in own.items()
            if type(value) is FunctionType and (name == "__init__" or not _is_special(name))
        ]
        fields = list(getattr(kind, "__dataclass_fields__", ())) if "__dataclass_fields__" in dir(kind) else []
        named = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
        names = [name for name in named or () if type(name) is str] if type(named) is tuple else None
        doc = kind.__doc__[:SHORT_CHARACTERS] if type(kind.__doc__) is str else None
        bases = [self.pack(base) for base in kind.__bases__ if base is not object]
        return [
            kind.__name__,
            kind.__qualname__,
            str(kind.__module__),
            bases,
            specials,
            unhashable,
            methods,
            fields,
            names,
            doc,
        ]


def is_of_library(kind: type) -> bool:
    """Whether it is a class of the standard library or numpy, found where it says."""
    found: Any = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is kind and is_library(kind.__module__)


def is_loaded_enum(kind: type) -> bool:
    """Whether it is a class of enum members: there is one object for each value."""
    return hasattr(kind, "_member_map_")


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _waits(function: Any) -> bool:
    return bool(function.__code__.co_flags & 0x80)  # inspect.CO_COROUTINE


def _plain_attributes(error: BaseException) -> dict[str, Any]:
    """What an exception of no class of the solution's was given beside its arguments."""
    given = getattr(error, "__dict__", {})
    return {name: value for name, value in given.items() if type(value) in SCALARS and not name.startswith("_")}


def _text(error: BaseException) -> str:
    try:
        text = str(error)
        return text if type(text) is str else str.__str__(text)
    except BaseException:
        return "(the exception cannot be printed)"


def frames_of(error: BaseException, lines: dict[str, list[str]]) -> list[list[Any]]:
    """(file, line, function, text) of the solution's frames on the way to where it was raised."""
    frames: list[list[Any]] = []
    trace = error.__traceback__
    while trace is not None and len(frames) < 10 * MOST_FRAMES:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(HIDDEN):
            known = lines.get(code.co_filename, ())
            text = known[trace.tb_lineno - 1].strip()[:200] if 0 < trace.tb_lineno <= len(known) else ""
            frames.append([code.co_filename, trace.tb_lineno, code.co_name, text])
        trace = trace.tb_next
    if len(frames) > 2 * MOST_FRAMES:
        frames = [*frames[:MOST_FRAMES], *frames[-MOST_FRAMES:]]
    return frames
