"""What stands in the judge's process for the solution's objects.

A class of the solution's becomes a real class here, with its name, its bases among classes of the solution's and
builtin exceptions, and the operations that it defines; so isinstance, except and subclassing work as they do. It never
inherits from a builtin data type, unless its instances cross as the data that they are. What an operation may show to
the solution is decided in split_rules: an expected value never is.
"""

import sys
import weakref
from collections.abc import Callable
from typing import Any

from split_codec import MalformedError, wants
from split_names import OF_DATA, OPERATIONS
from split_remote import Method, Remote, RemoteClass, RemoteFunction, RemoteModule, generating, number_of, waiting
from split_rules import answer_of

DATA_BASES = (int, str, float, bytes, tuple, frozenset, complex)
CONTAINER_BASES = (list, dict, set, bytearray)
MOST_NAMES = 5000
set_own = object.__setattr__


class Proxies:
    """Makes and keeps what stands for the solution's objects: one stand-in for an object, for as long as it lives."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self._classes: dict[int, RemoteClass] = {}
        self._living: dict[int, weakref.ref[Any]] = {}
        self._natives: dict[int, int] = {}
        self._lasting: dict[int, Any] = {}
        self._members: dict[Any, Any] = {}
        self._remade: dict[int, Any] = {}  # how to make what stands for an object again
        self.dead: dict[int, None] = {}  # let go here, and not told yet
        Remote.prism_link = link

    def known(self, number: int) -> Any:
        """What stands for a number that was described before. MalformedError for one that was not."""
        if number in self._classes:
            return self._classes[number]
        if number in self._lasting:
            return self._lasting[number]
        found = self._living[number]() if number in self._living else None
        if found is None and number in self.dead:  # let go, which the other side does not know yet
            found = self._remade[number]()
        if found is None:
            raise MalformedError("an object that was never described")
        return found

    def is_living(self, number: int) -> bool:
        """Whether somebody holds what stands for an object."""
        return number in self._living

    def told_dead(self) -> list[int]:
        """The numbers of what was let go, for the other side to let go as well."""
        told = list(self.dead)
        self.dead.clear()
        for number in told:
            self._remade.pop(number, None)
        return told

    def native_number(self, value: Any) -> int:
        """The number of a generator or coroutine that stands for one of the solution's."""
        return self._natives.get(id(value), 0)

    def make(self, number: int, kind: str, name: str, *parts: Any) -> Any:
        """A function, generator, coroutine or module."""
        if kind == "m":
            made: Any = RemoteModule(name)
            made.__dict__.update(_prism=number, _prism_link=self._link)
            self._lasting[number] = made
            return made
        if kind == "f":
            made = RemoteFunction()
            made.__dict__.update(
                _prism=number, __name__=name, _prism_kind=parts[0], __module__=parts[1], _prism_waits=parts[2]
            )
        else:
            made = generating(self._link, number) if kind == "g" else waiting(self._link, number)
            made.__name__ = name
            self._natives[id(made)] = number
        return self._keep(number, made, lambda: self.make(number, kind, name, *parts))

    def instance(self, number: int, kind: Any) -> Any:
        """An instance of a class."""
        if type(kind) is not RemoteClass:
            kind = self._plain_class(kind)
        made = object.__new__(kind)
        set_own(made, "_prism", number)
        return self._keep(number, made, lambda: self.instance(number, kind))

    def data(self, kind: Any, content: Any, state: int) -> Any:
        """Data of a class of the solution's: real data here, of a class that is derived from the plain one."""
        if type(kind) is not RemoteClass or type(content) not in DATA_BASES or not issubclass(kind, type(content)):
            raise MalformedError("data of a class that it cannot be of")
        if not kind.prism_members:
            return self._data(kind, content, state)
        key = (kind.prism_number, content)
        if key not in self._members:
            self._members[key] = self._data(kind, content, state)
        return self._members[key]

    @staticmethod
    def _data(kind: Any, content: Any, state: int) -> Any:
        base = type(content)
        made = base.__new__(kind, content)
        if state:
            made.__dict__["_prism_state"] = state
        return made

    def exception(self, kind: Any, arguments: list[Any], text: str, number: int) -> BaseException:
        """An exception of the solution's, with its arguments."""
        found = self._living.get(number)
        known = found() if found is not None else None
        if isinstance(known, kind):
            return known  # type: ignore[no-any-return]
        if type(kind) is not RemoteClass and number > 0:  # of a class that both sides have: it is made anew here
            self.dead[number], number = None, 0
        if (type(kind) is RemoteClass) != (number > 0):
            raise MalformedError("an exception under a number that it cannot have")
        try:
            made: BaseException = kind.__new__(kind, *arguments)
            BaseException.__init__(made, *arguments) if number else kind.__init__(made, *arguments)
        except Exception:
            made = kind.__new__(kind)
            made.args = (text,)
        if not number:
            return made
        made.__dict__["_prism"] = number
        return self._keep(number, made, lambda: self.exception(kind, arguments, text, number))  # type: ignore[no-any-return]

    def make_class(self, number: int, *parts: Any) -> RemoteClass:
        """A class of the solution's."""
        name, qualname, module, bases, specials, unhashable, methods, fields, named, doc = parts
        _check_description((name, qualname, module), (specials, methods, fields, named or []))
        body: dict[str, Any] = {each: Method(number, each) for each in methods}
        kinds = _bases_of(wants(bases, list))
        own = _base_of_library(module, name)
        kinds = kinds if own is None else [own]
        is_data = any(issubclass(kind, DATA_BASES) for kind in kinds)
        body.update(_operations(specials, is_data=is_data))
        if unhashable and not is_data:
            body["__hash__"] = None
        if any(issubclass(kind, BaseException) for kind in kinds):
            body.update(EXCEPTION_BODY)
        elif is_data:
            body.update(DATA_BODY)
            body.update({each: _field(index) for index, each in enumerate(named or [])})
        body.update({"__dataclass_fields__": _fields(fields)} if fields else {})
        body.update({"_fields": tuple(named)} if named is not None else {})
        body["prism_members"] = any(_has_members(base) for base in kinds)
        body["prism_container"] = _container_of(bases, kinds)
        if body["prism_container"] is not None:
            body["__class__"] = _shown_as(type(name, (body["prism_container"],), {"__module__": module}))
        if not is_data and not any(issubclass(kind, BaseException) for kind in kinds):
            body["__dict__"] = property(_attributes)
        body["__doc__"] = wants(doc, str, type(None))
        body.update(prism_number=number, prism_link=self._link, __module__=module, __qualname__=qualname)
        made = self._classes[number] = _class_of(name, kinds, body)
        if module == "collections.abc" and name in ABSTRACT:
            getattr(sys.modules[module], name).register(made)  # so that isinstance knows what derives from it
        return made

    def define(self, kind: RemoteClass, names: dict[str, Any], options: dict[str, Any]) -> int:
        """Tell the solution's process of a class that the tests derive from one of its."""
        link = self._link
        for name in CONCEALED:
            names.pop(name, None)
        known = set().union(*(base.__dict__ for base in kind.__mro__[1:] if isinstance(base, RemoteClass)))
        known |= {"__init__", "__str__", "__repr__", "__eq__", "__lt__", "__hash__", "__len__", "__call__"}
        overridden = [
            name
            for name, value in names.items()
            if callable(value) and (name in known or kind.prism_link.has(kind, name))
        ]
        plain = {n: v for n, v in names.items() if not callable(v) and not n.startswith("__") and type(v) in PLAIN}
        bases = [base for base in kind.__bases__ if isinstance(base, RemoteClass)]
        read = [name for name, value in names.items() if type(value) is property and link.has(kind, name)]
        packed = [link.pack(each) for each in (plain, options)]
        made = link.request("K", kind.__name__, [link.pack(base) for base in bases], overridden, read, *packed)
        number = number_of(made)
        if number <= 0:
            link.end("forgery", "a class that is none")
        self._classes[number] = kind
        link.overrides[kind] = frozenset([*overridden, *read])
        return number

    def make_twin(self, kind: RemoteClass, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """An instance of such a class: one object here and one there, which are the same."""
        link = self._link
        made: Any = kind.__new__(kind) if not issubclass(kind, BaseException) else kind.__new__(kind, *arguments)
        twin = link.grants.grant(made)
        link.watched_request("N", kind.prism_number, twin, arguments, named)
        return made

    def bind_twin(self, value: Any, number: int) -> Any:
        """Note the solution's number of an instance of a class of the tests'."""
        try:
            known = object.__getattribute__(value, "_prism")
        except AttributeError:
            object.__setattr__(value, "_prism", number)
            self._lasting[number] = value
            return value
        if known != number:
            raise MalformedError("an object under two numbers")
        return value

    def _plain_class(self, kind: Any) -> RemoteClass:
        """A class for objects of a builtin one: nothing of it but a name, and what may be asked of everything."""
        if not isinstance(kind, type):
            raise MalformedError("an instance of what is no class")
        key = -1 - id(kind)
        if key not in self._classes:
            specials = [name for name in OPERATIONS if name in dir(kind)]
            body = {**_operations(specials, is_data=False), "prism_number": 0, "prism_link": self._link}
            body["prism_container"] = kind if kind in CONTAINER_BASES else None
            if kind in SHOWN:
                body["__class__"] = _shown_as(kind)
            self._classes[key] = _class_of(kind.__name__, [Remote], {**body, "__module__": "builtins"})
        return self._classes[key]

    def _keep(self, number: int, made: Any, again: Callable[[], Any]) -> Any:
        def forget(reference: Any) -> None:
            self._natives.pop(mark, None)
            if self._living.get(number) is reference:
                del self._living[number]
                self.dead[number] = None

        mark = id(made)
        self._living[number] = weakref.ref(made, forget)
        self._remade[number] = again
        self.dead.pop(number, None)
        return made


PLAIN = (int, str, float, bool, type(None), bytes, tuple)
ABSTRACT = frozenset({"Sequence", "MutableSequence", "Mapping", "MutableMapping", "Set", "MutableSet"})
RESERVED = frozenset({"_prism", "_prism_of", "_prism_state", "_prism_kind", "_prism_waits"})
CONCEALED = ("__class__", "__dict__")


def _is_own(name: str) -> bool:
    """Whether a name is one that only the solution gives a meaning to."""
    return not (name.startswith("__") and name.endswith("__")) and name not in RESERVED


def _check_description(texts: tuple[Any, ...], lists: tuple[Any, ...]) -> None:
    """MalformedError for a class that no class here may be like."""
    for text in texts:
        wants(text, str)
    for names in lists:
        if len(wants(names, list)) > MOST_NAMES or not all(type(each) is str for each in names):
            raise MalformedError("names that are none")
    _, methods, fields, named = lists
    # They go into a real class here: a special name among them would answer for the data model, past all rules.
    if not all(_is_own(each) or each == "__init__" for each in methods):
        raise MalformedError("a method with a name of the data model's")
    if not all(_is_own(each) for each in (*fields, *named)):
        raise MalformedError("a field with a name of the data model's")


def _has_members(base: type) -> bool:
    return base.__name__ in ("Enum", "Flag") or getattr(base, "prism_members", False)


SHOWN = (property, map, filter, zip, enumerate, reversed)  # which isinstance may be asked about


def _shown_as(kind: type) -> Any:
    """What isinstance goes by beside the real class: what kind of container the solution says that it is."""
    return property(lambda _: kind)


def _container_of(bases: list[Any], kinds: list[Any]) -> Any:
    """The builtin container that a class derives from; None for none."""
    containers = [base for base in bases if base in CONTAINER_BASES]
    inherited = [base.prism_container for base in kinds if getattr(base, "prism_container", None)]
    return next(iter([*containers, *inherited]), None)


def _attributes(self: Any) -> Any:
    """The attributes of an object of the solution's, as vars() shows them."""
    return wants(type(self).prism_link.read(number_of(self), "__dict__"), dict)


def _bases_of(bases: list[Any]) -> list[Any]:
    if not all(isinstance(base, type) for base in bases):
        raise MalformedError("a base that is no class")
    found = [base for base in bases if type(base) is RemoteClass or issubclass(base, (BaseException, *DATA_BASES))]
    if any(issubclass(base, BaseException) for base in found):
        return found
    return found or [Remote]


def _class_of(name: str, bases: list[Any], body: dict[str, Any]) -> RemoteClass:
    for chosen in (bases, bases[:1], bases[-1:]):
        try:
            return RemoteClass(name, tuple(chosen), body)
        except TypeError:
            continue
    return RemoteClass(name, (Remote,), body)


def _base_of_library(module: str, name: str) -> Any:
    """An exception of the standard library that the judge has itself; None for anything else. Outcomes of tests are
    not to be had by their names."""
    if module.partition(".")[0] not in sys.stdlib_module_names or module.startswith(("unittest", "doctest", "bdb")):
        return None
    found = getattr(sys.modules.get(module), name, None)
    return found if type(found) is type and issubclass(found, Exception) else None


def _operations(names: list[str], *, is_data: bool) -> dict[str, Any]:
    return {name: answer_of(name) for name in names if name in OPERATIONS and not (is_data and name in OF_DATA)}


def _field(index: int) -> Any:
    return property(lambda self: tuple.__getitem__(self, index))


def _fields(names: list[str]) -> dict[str, Any]:
    import dataclasses  # noqa: PLC0415 - only dataclasses pay

    found = {}
    for name in names:
        found[name] = field = dataclasses.field()
        field.name, field.type = name, Any
        field._field_type = dataclasses._FIELD  # noqa: SLF001 - how dataclasses.fields() knows a field
    return found


def _read_exception(self: Any, name: str) -> Any:
    number = self.__dict__.get("_prism")
    if number is None or (name.startswith("__") and name.endswith("__")):
        raise AttributeError(name)
    return type(self).prism_link.read(number, name)


def _text_of_exception(self: Any) -> str:
    text = self.__dict__.get("_prismenv_text")
    return BaseException.__str__(self) if text is None else text


def _read_data(self: Any, name: str) -> Any:
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    link = type(self).prism_link
    return link.read(link.target(self), name)


EXCEPTION_BODY: dict[str, Any] = {
    "__getattr__": _read_exception,
    "__str__": _text_of_exception,
    "_prism_of": lambda self: self.__dict__.get("_prism", 0),
}
DATA_BODY: dict[str, Any] = {"__getattr__": _read_data, "_prism_of": lambda _: 0}
