"""The table of environments. It is loud: whatever is wrong is said where it was written, with the nearest right name.

Functions of one scope make up one environment; a name that another scope holds can only be taken with `overrides=True`.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from prismenv.contracts.environment import Environment
from prismenv.contracts.scoped import Place, ScopedTable, caller_of, duplicate
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.contracts.signature import check_members, check_method, check_method_name, mark_of
from prismenv.words.errors import RegistryException
from prismenv.words.nearness import did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ENGINE = "prismenv.contracts."  # classes from here are the engine's part of an environment, not an author's
_NO_METHODS: Mapping[str, Callable[..., Any]] = MappingProxyType({})

_Class = TypeVar("_Class", bound=type[Any])
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Registration:
    """One environment as it is registered: a class, or functions that become methods.

    `cls` is None in the function form, `methods` empty in the class form, `config` None without a config class.
    `origin` and `line` say where; in the function form the first of its functions. `overrides` is true when it took
    the place of another.
    """

    name: str
    cls: type[Any] | None
    methods: Mapping[str, Callable[..., Any]]
    config: type[EnvironmentConfig] | None
    origin: str
    line: int
    scope: str
    overrides: bool = False
    places: Mapping[str, Place] = field(default_factory=dict)  # of each function that this scope registered

    @property
    def where(self) -> str:
        """`FILE:LINE`, for messages."""
        return f"{self.origin}:{self.line}"

    def members(self) -> dict[str, Any]:
        """What the author wrote, by name: the functions, or the class's own and inherited members."""
        if self.cls is None:
            return dict(self.methods)
        return _authored(self.cls)

    def faces(self) -> tuple[str, ...]:
        """Which of node, episode, tools and world can be used, in this order."""
        members = self.members()
        marks = {mark_of(member) for member in members.values()} - {None}
        found = {
            "node": "execute_node" in members,
            "episode": {"reset", "step"} <= members.keys(),
            "tools": bool(marks),
            "world": "function" in marks,
        }
        return tuple(face for face, there in found.items() if there)


class EnvironmentRegistry(ScopedTable[Registration]):
    """Environments by name. Every method that registers raises RegistryException and then changes nothing."""

    def register(
        self, name: str, *, config: type[EnvironmentConfig] | None = None, overrides: bool = False
    ) -> Callable[[_Class], _Class]:
        """A class decorator: the class below is the environment `name`."""
        place = caller_of(inspect.currentframe())
        self._check_name(name, place)
        if config is not None and not (inspect.isclass(config) and issubclass(config, EnvironmentConfig)):
            raise RegistryException(
                f"{place}: config of {name!r} must be a class derived from EnvironmentConfig, found {config!r}",
                code="bad_config_class",
                subject=name,
            )

        def take(cls: _Class) -> _Class:
            self._add_class(cls, name, config, place, overrides=overrides)
            return cls

        return take

    def register_environment_method(
        self, environment_name: str, method_name: str, *, overrides: bool = False
    ) -> Callable[[_Function], _Function]:
        """A function decorator: the function below is the method `method_name` of the environment `environment_name`.

        With `overrides` a function takes the place of the same method of an environment in function form, whose other
        methods stay; an environment in class form is replaced as a whole.
        """
        place = caller_of(inspect.currentframe())
        self._check_name(environment_name, place)

        def take(function: _Function) -> _Function:
            check_method_name(method_name, function, str(place))
            check_method(method_name, function, str(place))
            self._add_method(environment_name, method_name, function, place, overrides=overrides)
            return function

        return take

    def get(self, name: str) -> Registration:
        """The registration of `name`; RegistryException with the nearest names when there is none."""
        found = self._table.get(name)
        if found is None:
            known = ", ".join(self.names()) or "none; was the workspace loaded?"
            raise RegistryException(
                f"unknown environment {name!r}{did_you_mean(str(name), self._table)}",
                code="unknown_environment",
                subject=str(name),
                hint=f"Known environments: {known}",
            )
        return found

    def faces(self, name: str) -> tuple[str, ...]:
        """Which of node, episode, tools and world the environment has, in this order."""
        return self.get(name).faces()

    def _add_class(
        self, cls: Any, name: str, config: type[EnvironmentConfig] | None, place: Place, *, overrides: bool
    ) -> None:
        if not inspect.isclass(cls) or not issubclass(cls, Environment):
            found = f"class {cls.__name__}" if inspect.isclass(cls) else f"{type(cls).__name__} {cls!r:.60}"
            raise RegistryException(
                f"{place}: environment {name!r} must be a class derived from BaseEnvironment, found {found}",
                code="not_an_environment",
                subject=name,
                hint="Functions are registered with register_environment_method(NAME, METHOD).",
            )
        check_members(_authored(cls), str(place))
        scope = self._scope or place.file
        before = self._table.get(name)
        if before is not None and not overrides:
            raise duplicate(name, before.where, place)
        if before is None and overrides:
            raise self.nothing_to_override(name, place)
        self._table[name] = Registration(
            name, cls, _NO_METHODS, config, place.file, place.line, scope, overrides=overrides
        )

    def _add_method(
        self, name: str, method: str, function: Callable[..., Any], place: Place, *, overrides: bool
    ) -> None:
        scope = self._scope or place.file
        before = self._table.get(name)
        if before is None:
            if overrides:
                raise self.nothing_to_override(name, place)
            base = Registration(name, None, _NO_METHODS, None, place.file, place.line, scope)
        elif before.scope == scope and before.cls is None:
            if method in before.places:
                raise duplicate(f"{name}.{method}", str(before.places[method]), place)
            if overrides and not before.overrides:
                raise self.nothing_to_override(name, place)
            base = before
        elif not overrides:
            raise duplicate(name, before.where, place)
        else:
            base = replace(before, cls=None, config=None, scope=scope, overrides=True, places={})
        places = {**base.places, method: place}
        own = min(places.values(), key=lambda at: (at.file, at.line))
        self._table[name] = replace(
            base,
            methods=MappingProxyType({**base.methods, method: function}),
            places=MappingProxyType(places),
            origin=own.file,
            line=own.line,
        )

    def _check_name(self, name: object, place: Place) -> None:
        if isinstance(name, str) and _NAME.fullmatch(name):
            return
        hint = (
            None if isinstance(name, str) else 'Write @environment_registry.register("environment_mine") above a class.'
        )
        raise RegistryException(
            f"{place}: an environment's name has small letters, digits and underscores and begins with a letter, "
            f"found {name!r:.80}",
            code="bad_name",
            subject=str(name)[:80],
            hint=hint,
        )


def _authored(cls: type[Any]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for klass in reversed(cls.__mro__):
        if klass is not object and not klass.__module__.startswith(_ENGINE):
            members.update(vars(klass))
    return members


environment_registry = EnvironmentRegistry()
