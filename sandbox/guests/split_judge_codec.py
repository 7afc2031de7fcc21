"""How the judge's process tells of its values, and what it makes of what the solution's process says.

Everything that comes is checked for its shape before it becomes an object; what does not fit is a MalformedError, which
ends the run as a forgery.
"""

import builtins
import sys
from types import ModuleType
from typing import Any

import split_arrays
from split_codec import Codec, MalformedError, wants
from split_grants import FUNCTIONS, Grants, is_of, library_name
from split_library import is_library
from split_proxies import Proxies
from split_remote import RemoteClass, number_of

TEXT_CHARACTERS = 2**20
TYPES = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and name not in ("__loader__", "super", "memoryview")
}
DATA = (bool, int, str, float, bytes, dict, list, set, frozenset, tuple)
SCALAR_DATA = (int, str, float, bytes)
PARTS = {"f": (str, str, str, bool), "g": (str,), "k": (str,), "m": (str,)}


class JudgeCodec(Codec):
    """The judge's side. `proxies` makes what stands for the solution's objects."""

    def __init__(self, grants: Grants, proxies: Proxies) -> None:
        super().__init__()
        self._grants = grants
        self._proxies = proxies
        self._library: dict[str, Any] = {}  # what was named to the solution, which may name it back
        self.tags.update(
            j=lambda number, _: self._granted(number),
            h=lambda parts, _: self._handle(wants(parts, list)),
            w=lambda parts, _: self._twin(wants(parts, list)),
            q=lambda name, _: TYPES[name],
            y=self._named,
            N=lambda parts, _: self._data(*wants(parts, list)),
            E=lambda parts, _: self._exception(*wants(parts, list)),
        )

    # ---- to the solution

    def refer(self, value: Any) -> Any:
        number = number_of(value) or self._proxies.native_number(value)
        if number:
            return {"g": number}
        kind = type(value)
        if type(kind) is RemoteClass and not isinstance(value, BaseException):
            return {"N": [{"g": kind.prism_number}, self._plain(value), value.__dict__.get("_prism_state", 0)]}
        if is_of(value, (BaseException,)):
            return self._token(value)
        return self._known(value) or self._getter(kind, value) or self._handed(value, kind)

    def _token(self, error: BaseException) -> Any:
        """An exception of the tests: its number and its builtin class; the same of those that are grouped in it."""
        members = [self.refer(member) for member in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
        return {"E": [self._grants.grant(error), _builtin_class(type(error)), members]}

    def _handed(self, value: Any, kind: type) -> Any:
        """What the solution gets for an object of the tests."""
        if is_of(value, DATA) and (kind.__module__ != "tests" or is_of(value, SCALAR_DATA)):
            return self._pack(next(base for base in DATA if isinstance(value, base))(value), 0)
        granted = self._grants.number_of(value)
        if granted is not None:
            return {"j": granted}
        return {"h": [self._grants.grant(value), *map(self._part, self._grants.described(value))]}

    def _part(self, part: Any) -> Any:
        """A part of a description: classes of the tests among them are told of like everything else."""
        if type(part) is list:
            return [self._part(each) for each in part]
        return self.refer(part) if is_of(part, (type,)) else part

    def _known(self, value: Any) -> Any:
        """What stands for something that the solution's process has as well, by its name; None for anything else."""
        if is_of(value, (type,)) and issubclass(value, BaseException):
            return {"q": _builtin_class(value)}
        if is_of(value, (type,)) and TYPES.get(value.__name__) is value:
            return {"q": value.__name__}
        scalars = split_arrays.scalar_type(value)
        if scalars is not None:
            return scalars
        kind = type(value)
        of_numpy = kind.__module__ == "numpy" and callable(value)
        if of_numpy or is_of(value, (type, ModuleType, *FUNCTIONS)) or kind.__name__.endswith("_descriptor"):
            name = library_name(value)
            if name is not None:
                self._library[name] = value
                return {"y": name}
        return None

    def _getter(self, kind: type, value: Any) -> Any:
        if kind.__module__ == "operator" and kind.__name__ in ("itemgetter", "attrgetter"):
            return {"O": [kind.__name__, [self.pack(each) for each in value.__reduce__()[1]]]}
        return None

    def _plain(self, value: Any) -> Any:
        base = next(base for base in type(value).__mro__ if base.__module__ == "builtins" and base is not object)
        return self.pack(base.__new__(base, value) if base is not int else int(value))

    # ---- from the solution

    def _named(self, name: Any, content: dict[str, Any]) -> Any:
        """What was named to the solution before, or an exception of the standard library that the tests have, too."""
        if name in self._library:
            return self._library[name]
        module, _, path = wants(name, str).partition(":")
        found: Any = sys.modules.get(module) if is_open(module) else None
        for part in path.split("."):
            found = None if part.startswith("_") else vars(found).get(part) if found is not None else None
        if isinstance(found, type) and issubclass(found, BaseException) and type(found) is not RemoteClass:
            return found
        return self._handle(wants(content["h"], list))

    def _granted(self, number: Any) -> Any:
        if type(number) is not int or number not in self._grants.objects:
            raise MalformedError("an object that nobody handed over")
        return self._grants.objects[number]

    def _handle(self, parts: list[Any]) -> Any:
        number = _positive(parts[0])
        if len(parts) == 1:
            return self._proxies.known(number)
        kind = parts[1]
        if kind == "c":
            return self._proxies.make_class(number, *parts[2:])
        if kind == "i":
            return self._proxies.instance(number, parts[2])
        for part, wanted in zip(parts[2:], PARTS[kind], strict=True):
            wants(part, wanted)
        return self._proxies.make(number, kind, *parts[2:])

    def _twin(self, parts: list[Any]) -> Any:
        number, twin = parts
        value = self._granted(twin)
        if not isinstance(type(value), RemoteClass):
            raise MalformedError("an object that is no instance of a class of the solution's")
        return self._proxies.bind_twin(value, _positive(number))

    def _data(self, kind: Any, content: Any, state: Any) -> Any:
        return self._proxies.data(kind, content, wants(state, int))

    def _exception(self, *parts: Any) -> BaseException:
        kind, arguments, text, frames, cause, explicit, number, notes, members, attributes = parts
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise MalformedError("an exception of a class that is none")
        wants(text, str)
        frames = [_frame(*wants(frame, list)) for frame in wants(frames, list)]
        if members is not None:
            arguments = [wants(text, str).partition(" (")[0], wants(members, list)]
        error = self._proxies.exception(kind, wants(arguments, list), text, wants(number, int))
        told = error.__dict__
        told.update(
            {name: value for name, value in wants(attributes, dict).items() if not wants(name, str).startswith("_")}
        )
        told["_prismenv_frames"] = frames
        told["_prismenv_text"] = text[:TEXT_CHARACTERS]
        if wants(notes, list):
            told["__notes__"] = [wants(note, str) for note in notes]
        if cause is not None:
            if not isinstance(cause, BaseException):
                raise MalformedError("a cause that is no exception")
            error.__cause__ = cause if wants(explicit, bool) else None
            error.__context__ = cause
        return error


def is_open(module: str) -> bool:
    """Whether exceptions of a module may be named by the solution: the library's, not the tests' own."""
    root = module.partition(".")[0]
    return is_library(module) and root not in ("unittest", "doctest", "bdb", "_bdb")


def _positive(number: Any) -> int:
    """A number of an object of the solution's: zero would be nobody's, negative ones are the judge's own."""
    if wants(number, int) <= 0:
        raise MalformedError("a number that no object has")
    return int(number)


def _frame(file: Any, line: Any, function: Any, text: Any = "") -> tuple[str, int, str, str]:
    return wants(file, str)[:200], wants(line, int), wants(function, str)[:200], wants(text, str)[:200]


def _builtin_class(kind: type) -> str:
    """The name of the first builtin exception among the bases."""
    return next(base.__name__ for base in kind.__mro__ if TYPES.get(base.__name__) is base)
