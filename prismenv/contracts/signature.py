"""What the registry demands of the functions and classes that authors hand in. Pure checks, read from signatures."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from prismenv.contracts.environment import AWAITED_METHODS, KNOWN_METHODS, MARK, MARKS
from prismenv.contracts.tool import read_tools
from prismenv.words.errors import RegistryException
from prismenv.words.nearness import did_you_mean

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
_HELPERS = "A helper's name begins with an underscore."
_NODE_PARAMETERS = ("concept", "difficulty_level")


def mark_of(member: object) -> str | None:
    """The mark of a tool, function, reward or health check; None for anything else."""
    mark = getattr(inspect.unwrap(member) if callable(member) else member, MARK, None)
    return mark if isinstance(mark, str) and mark in MARKS else None


def check_method_name(name: object, function: object, where: str) -> None:
    """RegistryException unless `name` is a known method, a helper that begins with `_`, or `function` is marked."""
    if not isinstance(name, str) or not name.isidentifier():
        raise RegistryException(
            f"{where}: a method's name must be an identifier, found {name!r}", code="unknown_method", subject=str(name)
        )
    if name.startswith("__"):
        raise RegistryException(
            f"{where}: {name!r} belongs to the language; a helper's name begins with a single underscore",
            code="unknown_method",
            subject=name,
        )
    if name in KNOWN_METHODS or name.startswith("_") or mark_of(function):
        return
    raise RegistryException(
        f"{where}: unknown method {name!r}{did_you_mean(name, KNOWN_METHODS)}",
        code="unknown_method",
        subject=name,
        hint=f"Known methods: {', '.join(KNOWN_METHODS)}. {_HELPERS}",
    )


def check_method(name: str, function: Callable[..., Any], where: str) -> None:
    """RegistryException unless `function` can stand as the method `name` of an environment, or as a tool of it."""
    read_tools({name: function}, where)
    if not callable(function) or inspect.isclass(function):
        raise _bad(name, where, f"expected a function, found {type(function).__name__}")
    parameters = _parameters(name, function, where)
    first = next(iter(parameters.values()), None)
    if (
        first is None
        or first.kind not in _BY_POSITION
        or (first.name != "self" and first.kind is not first.VAR_POSITIONAL)
    ):
        found = "no parameter" if first is None else f"{first.name!r} first"
        raise _bad(name, where, f"a method takes 'self' first, found {found}")
    check_flow(name, function, parameters, where)


def check_members(members: Mapping[str, Any], where: str) -> None:
    """Check the methods and tools that an environment class brings, and look for slips of known names."""
    read_tools(members, where)
    for name, member in members.items():
        if isinstance(member, property | staticmethod | classmethod) or not inspect.isfunction(inspect.unwrap(member)):
            if name in AWAITED_METHODS:
                raise _bad(name, where, f"expected an `async def` method, found {type(member).__name__}")
            continue
        if name in KNOWN_METHODS:
            check_method(name, member, where)
        elif not name.startswith("_") and not mark_of(member):
            _refuse_slip(name, members, where)


def check_flow(
    name: str, function: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], where: str
) -> None:
    """RegistryException unless an awaited method can be awaited, execute_node takes a node, and step an action."""
    if name in AWAITED_METHODS and not inspect.iscoroutinefunction(inspect.unwrap(function)):
        raise _bad(name, where, "it is awaited, so it must be written `async def`")
    if name == "step" and not _takes_action(parameters):
        raise _bad(name, where, "it must take the action by position, after 'self' and alone")
    if name != "execute_node" or any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return
    missing = [key for key in _NODE_PARAMETERS if key not in parameters or parameters[key].kind not in _BY_KEYWORD]
    if missing:
        slips = "".join(did_you_mean(key, (item for item in parameters if item != "self")) for key in missing)
        raise _bad(
            name,
            where,
            f"it must take {' and '.join(repr(key) for key in missing)} by keyword, or **kwargs; "
            f"found ({', '.join(parameters)}){slips}",
        )


def _takes_action(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether a method can be called with one thing."""
    items = list(parameters.values())
    own = items[1:] if items and items[0].kind is not inspect.Parameter.VAR_POSITIONAL else items
    needed = [item for item in own if item.default is item.empty and item.kind in _BY_KEYWORD]
    return any(item.kind in _BY_POSITION for item in own[:1]) and all(item is own[0] for item in needed)


def _refuse_slip(name: str, members: Mapping[str, Any], where: str) -> None:
    absent = [known for known in KNOWN_METHODS if known not in members]
    slip = did_you_mean(name, absent, cutoff=0.85)
    if slip:
        raise RegistryException(
            f"{where}: method {name!r} looks like a slip of a known one{slip}",
            code="unknown_method",
            subject=name,
            hint=_HELPERS,
        )


def _parameters(name: str, function: Callable[..., Any], where: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise _bad(name, where, f"its signature cannot be read ({error})") from error


def _bad(name: str, where: str, what: str) -> RegistryException:
    return RegistryException(f"{where}: bad signature of {name!r}: {what}", code="bad_signature", subject=name)
