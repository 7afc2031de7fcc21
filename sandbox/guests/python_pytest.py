"""Stands in for the module pytest: its marks, its outcomes, raises, approx and warns. python_fixtures runs with it.

A suite that is written for pytest is judged without pytest being there. What is not here says so by name.
"""

import sys
from collections.abc import Callable, Iterable
from itertools import islice
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

from python_approx import Approx
from python_ids import Parameters, set_names, split_names, text_of
from python_marks import SUPPORTED, unsupported
from python_outcomes import Failed, Raises, deprecated_call, fail, importorskip, raises, skip, warns, xfail
from python_suite import SuiteError


class Mark(NamedTuple):
    """A mark as it was put on a test."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    sets: Any = None  # of parametrize: its ParameterSets


class ParameterSet(NamedTuple):
    """One set of values of a test's parameters."""

    values: tuple[Any, ...]
    marks: tuple[Mark, ...] = ()
    id: str = ""


class MarkDecorator:
    """`pytest.mark.NAME`, with or without arguments."""

    def __init__(self, mark: Mark) -> None:
        self.mark = mark
        self.name, self.args, self.kwargs = mark[:3]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ready = self.name != "parametrize" or self.mark.sets is not None
        target = args[0] if len(args) == 1 and not kwargs and ready else None
        if isinstance(target, (FunctionType, type)):
            own = target.__dict__.get("pytestmark", [])
            target.pytestmark = [*(own if isinstance(own, list) else [own]), self.mark]  # type: ignore[union-attr]
            return target
        sets = None
        if self.name == "parametrize":
            sets = parameter_sets(where_called(), *args, **kwargs)
        return MarkDecorator(Mark(self.name, (*self.args, *args), {**self.kwargs, **kwargs}, sets))


class Marks:
    """`pytest.mark`."""

    def __getattr__(self, name: str) -> MarkDecorator:
        if name.startswith("_"):
            raise AttributeError(name)
        return MarkDecorator(Mark(name, (), {}))


def marks_of(target: Any) -> list[Mark]:
    """The marks on a function, class or module itself, the nearest first."""
    own = vars(target).get("pytestmark", [])
    given = own if isinstance(own, list) else [own]
    marks = [each.mark if type(each) is MarkDecorator else each for each in given]
    return [each for each in marks if type(each) is Mark]  # nothing else that a class of the solution's may hold


class Place(NamedTuple):
    """The list of parameters of the call of the suite that is running."""

    found: Parameters
    line: int


study: Any = None  # what python_marks found of this suite


def where_called() -> Place:
    """The parameters of the running call in the suite, two frames above. SuiteError when it is not written there."""
    frame = sys._getframe(2)  # noqa: SLF001 - its public name
    found = None
    if frame.f_code.co_filename == "tests.py":
        found = study.at(_end_of_call(frame.f_code, frame.f_lasti))
    if found is None:
        raise SuiteError(f"tests.py, line {frame.f_lineno}: parameters are understood where the suite writes them only")
    return Place(found, frame.f_lineno)


def _end_of_call(code: CodeType, last: int) -> tuple[int, int]:
    _, line, _, column = next(islice(code.co_positions(), last // 2, None))
    return line or 0, column or 0


def param(*values: Any, marks: Any = (), id: str | None = None) -> ParameterSet:  # noqa: A002 - pytest's name
    """A set of values with marks and an id of its own."""
    given = marks if isinstance(marks, (list, tuple)) else [marks]
    return ParameterSet(
        values, tuple(each.mark if isinstance(each, MarkDecorator) else each for each in given), id or ""
    )


def parameter_sets(  # noqa: PLR0913, PLR0917 - pytest's own arguments
    place: Place,
    argnames: Any,
    argvalues: Iterable[Any],
    indirect: Any = (),  # noqa: ARG001 - read from the mark
    ids: Any = None,
    scope: Any = None,  # noqa: ARG001 - it has no effect on plain values
) -> tuple[list[str], list[ParameterSet]]:
    """The names, and the sets of values with their ids."""
    names = split_names(argnames) if isinstance(argnames, str) else [str(name) for name in argnames]
    count = None if isinstance(argnames, str) and len(names) == 1 else len(names)
    sets = [each if type(each) is ParameterSet else _set_of(each, count, place) for each in argvalues]
    for each in sets:
        if len(each.values) != len(names):
            raise SuiteError(f"tests.py, line {place.line}: {len(names)} names and {len(each.values)} values")
    return names, named_sets(place, names, sets, ids)


def named_sets(place: Place, names: list[str], sets: list[ParameterSet], ids: Any) -> list[ParameterSet]:
    """The same sets with what they are called in the test's name."""
    found = place.found
    if found.elements is not None and len(found.elements) != len(sets):
        raise SuiteError(f"tests.py, line {place.line}: {len(found.elements)} sets are written, there are {len(sets)}")
    called = set_names(names, found, _computed_ids(found, names, sets, ids))
    return [each._replace(id=name) for each, name in zip(sets, called, strict=True)]


def _computed_ids(found: Parameters, names: list[str], sets: list[ParameterSet], ids: Any) -> list[str | None]:
    """Ids that the suite computes from its own values alone; None where the literals or the place decide."""
    listed = list(ids) if found.own_ids and ids is not None and not callable(ids) else []
    made: list[str | None] = []
    for index, each in enumerate(sets):
        own = found.own if found.elements is None else found.elements[index].own
        texts: list[str | None] = [None] * len(names)
        if found.own_ids and callable(ids):
            texts = [text_of(ids(value)) for value in each.values]
        if index < len(listed) and listed[index] is not None:
            made.append(text_of(listed[index]))
        elif own and each.id:
            made.append(text_of(each.id))
        elif any(texts) or (own and found.elements is None):
            texts = [text or text_of(value) for text, value in zip(texts, each.values, strict=True)]
            made.append("-".join(f"{name}{index}" if t is None else t for name, t in zip(names, texts, strict=True)))
        else:
            made.append(None)
    return made


def _set_of(value: Any, count: int | None, place: Place) -> ParameterSet:
    if count is None:
        return ParameterSet((value,))
    values = tuple(value)
    if len(values) != count:
        raise SuiteError(f"tests.py, line {place.line}: {count} names and {len(values)} values")
    return ParameterSet(values)


class Fixture:
    """A fixture as the suite defines it. `sets` None: it has no parameters."""

    def __init__(self, function: Any, scope: str, sets: Any, autouse: bool, name: str | None) -> None:  # noqa: FBT001
        self.function = function
        self.name = name or function.__name__
        self.scope = {"session": "module", "package": "module"}.get(scope, scope)
        self.sets = sets
        self.autouse = autouse
        if self.scope not in ("function", "class", "module"):
            raise SuiteError(
                f"the fixture {self.name} has the scope {scope!r}; there are function, class, module, session"
            )

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise Failed(f'Fixture "{self.name}" called directly. Fixtures are not meant to be called directly')


def fixture(  # noqa: PLR0913 - pytest's own arguments
    function: Any = None,
    *,
    scope: Any = "function",
    params: Iterable[Any] | None = None,
    autouse: bool = False,
    ids: Any = None,
    name: str | None = None,
) -> Any:
    """`@pytest.fixture`, with or without arguments."""
    sets = None
    if params is not None:
        place = where_called()
        each_set = [each if type(each) is ParameterSet else ParameterSet((each,)) for each in params]
        sets = named_sets(place, ["param"], each_set, ids)

    def decorate(each: Any) -> Fixture:
        return Fixture(each, str(scope), sets, autouse, name)

    return decorate if function is None else decorate(function)


def stand_in(fixture_types: dict[str, Any]) -> ModuleType:
    """The module that the suite imports; `fixture_types` are the classes of what fixtures give."""

    def missing(name: str) -> NoReturn:
        raise AttributeError(name if name.startswith("__") else unsupported(name))

    module: Any = ModuleType("pytest")
    functions: list[Callable[..., Any]] = [
        approx, deprecated_call, fail, fixture, importorskip, param, raises, skip, warns, xfail,
    ]  # fmt: skip
    offered = {each.__name__: each for each in functions}
    offered |= {"mark": Marks(), "main": lambda *_, **__: 0, "ExceptionInfo": Raises, **fixture_types}
    module.__dict__.update({name: offered[name] for name in sorted(SUPPORTED)})
    module.__getattr__ = missing
    return module  # type: ignore[no-any-return]


def approx(expected: Any, rel: Any = None, abs: Any = None, nan_ok: bool = False) -> Approx:  # noqa: A002, FBT001, FBT002
    """What compares equal to numbers near `expected`, or to lists and mappings of such."""
    return Approx(expected, rel, abs, nan_ok)
