"""Stubs: solutions that solve nothing. A suite that one of them passes tests nothing, and is no measure.

A stub defines every name that the suite expects of a solution. It returns None, returns one of its arguments, clears
its argument, always raises, or returns an object that agrees with everything.
"""

import ast
import builtins
import keyword
from collections.abc import Iterable
from dataclasses import dataclass

from prismenv.answers.rename import PLACEHOLDER, SOLUTION
from prismenv.answers.syntax import bound, loaded, parse

MOST_ARGUMENTS = 4  # further arguments are seldom what a function returns
MOST_NAMES = 50

_NONE = "def {name}(*args, **kwargs):\n    return None\n"
_ARGUMENT = """def {name}(*args, **kwargs):
    values = [*args, *kwargs.values()]
    return values[{number}] if len(values) > {number} else None
"""
_CLEARS = """def {name}(*args, **kwargs):
    values = [*args, *kwargs.values()]
    for value in values:
        if isinstance(value, (list, dict, set, bytearray)):
            value.clear()
    return values[0] if values else None
"""
_ERROR = """class _AnyError(ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, OverflowError,
                NotImplementedError, AssertionError):
    pass


"""
_RAISES = "def {name}(*args, **kwargs):\n    raise _AnyError('stub')\n"
_AGREEING = """class _Agreeing:
    def __init__(self, *args, **kwargs):
        pass
    def __getattr__(self, name):
        if name.startswith('__') and name.endswith('__'):
            raise AttributeError(name)
        return self
    def __call__(self, *args, **kwargs):
        return self
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return True
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    def __hash__(self):
        return 0
    def __bool__(self):
        return True
    def __len__(self):
        return 1
    def __iter__(self):
        return iter((self,))
    def __getitem__(self, key):
        return self
    def __enter__(self):
        return self
    def __exit__(self, *args):
        return True
    def __int__(self):
        return 1
    __index__ = __int__
    def __float__(self):
        return 1.0
    def __add__(self, other):
        return self
    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __floordiv__ = __add__
    __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __and__ = __or__ = __xor__ = __add__
    def __neg__(self):
        return self
    __pos__ = __abs__ = __invert__ = __neg__
    def __round__(self, digits=None):
        return self


"""
_AGREES = "def {name}(*args, **kwargs):\n    return _Agreeing()\n"


@dataclass(frozen=True, slots=True)
class Stub:
    """A solution that solves nothing: what it does, as a sentence goes on after `a stub that`, and its program."""

    does: str
    program: str


def stubs_for(tests: str) -> tuple[Stub, ...]:
    """The stubs against which a suite has to fail; empty where the suite does not parse or expects no name at all."""
    suite = parse(tests)
    if suite is None:
        return ()
    names = expected_names(suite)
    if not names:
        return ()
    positions = range(max(1, min(MOST_ARGUMENTS, _most_arguments(suite, names))))
    returning = (
        Stub(f"returns its argument {number + 1}", _program(names, _ARGUMENT, number=number)) for number in positions
    )
    return (
        Stub("returns None", _program(names, _NONE)),
        *returning,
        Stub("clears its argument", _program(names, _CLEARS)),
        Stub("always raises", _ERROR + _program(names, _RAISES)),
        Stub("returns an object that agrees with everything", _AGREEING + _program(names, _AGREES)),
    )


def expected_names(suite: ast.Module) -> list[str]:
    """Names that a suite reads and only a solution can give, sorted: free ones, and those it takes from `solution`."""
    own = bound(suite)
    names = {name for name in loaded(suite) if name not in own and not hasattr(builtins, name)}
    for node in ast.walk(suite):
        if isinstance(node, ast.ImportFrom) and node.module == SOLUTION:
            names |= {alias.name for alias in node.names if alias.name != "*"}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == SOLUTION:
            names.add(node.attr)
    if SOLUTION in names and names - {SOLUTION, PLACEHOLDER}:
        names.discard(SOLUTION)  # the module, whose attributes are in the set
    usable = (name for name in names if not keyword.iskeyword(name) and not name.startswith("__"))
    return sorted(usable)[:MOST_NAMES]


def _most_arguments(suite: ast.Module, names: Iterable[str]) -> int:
    wanted = set(names)
    counts = [0]
    for node in ast.walk(suite):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called in wanted:
                counts.append(len(node.args) + len(node.keywords))
    return max(counts)


def _program(names: Iterable[str], template: str, **values: int) -> str:
    return "\n\n".join(template.format(name=name, **values) for name in names)
