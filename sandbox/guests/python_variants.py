"""The variants of a test in pytest's style, and what marks and arguments say of each."""

from collections.abc import Iterator
from types import CoroutineType
from typing import Any, NamedTuple

from python_builtin_fixtures import MISSING
from python_pytest import Mark, ParameterSet
from python_suite import SuiteError


class Variant(NamedTuple):
    """What one test of a function is given: values by argument, parameters by fixture, all marks."""

    values: dict[str, Any]
    params: dict[str, tuple[int, Any]]
    marks: tuple[Mark, ...]
    asked: tuple[str, ...]


def with_param(ids: str, made: Variant, fixture: str, index: int, each: ParameterSet) -> tuple[str, Variant]:
    """The variant with one parameter of a fixture's, and its ids."""
    variant = made._replace(params={**made.params, fixture: (index, each.values[0])}, marks=made.marks + each.marks)
    return (f"{ids}-{each.id}" if ids else each.id), variant


def with_sets(ids: str, made: Variant, mark: Mark) -> Iterator[tuple[str, Variant]]:
    """The variant with each set of a parametrize mark."""
    names, sets = mark.sets
    passed_on = indirect(mark)
    for index, each in enumerate(sets):
        given = dict(zip(names, each.values, strict=True))
        values = {**made.values, **{name: value for name, value in given.items() if name not in passed_on}}
        params = {**made.params, **{name: (index, given[name]) for name in names if name in passed_on}}
        unknown = [name for name in given if name not in made.asked and name not in passed_on]
        if unknown:
            raise SuiteError(f"the test uses no argument {unknown[0]!r}")
        yield f"{ids}-{each.id}" if ids else each.id, Variant(values, params, made.marks + each.marks, made.asked)
    if not sets:
        skipped = Mark("skip", (), {"reason": f"got empty parameter set for {', '.join(names)}"})
        empty = {**made.values, **dict.fromkeys(names)}
        yield f"{ids}-NOTSET" if ids else "NOTSET", Variant(empty, made.params, (*made.marks, skipped), made.asked)


def arguments(function: Any, cls: Any) -> list[str]:
    """Names of the arguments that a function cannot do without; those that mock gives left out."""
    patched = 0
    while hasattr(function, "__wrapped__"):
        patched += len([each for each in getattr(function, "patchings", ()) if is_given(each)])
        function = function.__wrapped__
    function = getattr(function, "__func__", function)
    code = function.__code__
    count = code.co_argcount - len(function.__defaults__ or ())
    optional = function.__kwdefaults__ or {}
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    first = (1 if cls is not None else 0) + patched
    return [*code.co_varnames[first:count], *(name for name in named if name not in optional)]


def is_given(patching: Any) -> bool:
    return not getattr(patching, "attribute_name", None) and repr(getattr(patching, "new", None)) == "sentinel.DEFAULT"


def raw(cls: type, name: str) -> Any:
    return next((vars(owner)[name] for owner in cls.__mro__ if name in vars(owner)), MISSING)


def used(marks: Any) -> list[str]:
    return [name for mark in reversed(marks) if mark.name == "usefixtures" for name in mark.args]


def indirect(mark: Mark) -> list[str]:
    asked = mark.kwargs.get("indirect", mark.args[2] if len(mark.args) > 2 else False)  # noqa: PLR2004 - its third
    return list(mark.sets[0]) if asked is True else list(asked or ())


def holds(mark: Mark) -> bool:
    """Whether a mark with conditions applies."""
    conditions = [*mark.args, *([mark.kwargs["condition"]] if "condition" in mark.kwargs else [])]
    if any(isinstance(each, str) for each in conditions):
        raise SuiteError(f"{mark.name}: a condition that is a text is not supported: give a truth value")
    return not conditions or any(bool(each) for each in conditions)


def skip_reason(mark: Mark) -> str | None:
    """Why a mark skips its test; None when it does not."""
    if mark.name == "skip":
        return str(mark.kwargs.get("reason", mark.args[0] if mark.args else "unconditional skip"))
    if mark.name == "skipif" and holds(mark):
        return str(mark.kwargs.get("reason", ""))
    return None


def call_hook(hook: Any, argument: Any) -> None:
    code = getattr(hook, "__code__", None)
    takes = code is not None and code.co_argcount > (1 if hasattr(hook, "__self__") else 0)
    done = hook(*([argument] if takes else []))
    if isinstance(done, CoroutineType):
        done.close()
        raise SuiteError("a setup that is a coroutine is not supported")
