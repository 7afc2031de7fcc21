"""The tables of phases and of search policies that files register. Loud, as the table of environments is.

Installed packages offer theirs through the hooks `prismenv_phases` and `prismenv_policies`; those are in the tables
before a workspace's files are loaded.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar

from prismenv.contracts.phases import NO_METHODS, PhaseRegistration
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.contracts.scoped import Place, ScopedTable, caller_of, duplicate
from prismenv.words.errors import RegistryException
from prismenv.words.nearness import did_you_mean

# What a phase answers, and what each is given after `self`.
PHASE_METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "initialize_phase": (),
        "select_node": (),
        "evaluate_node": ("node",),
        "calculate_node_value": ("results", "difficulty_level"),
        "backpropagate_node_value": ("node", "reward"),
        "expand_node": ("node",),
    }
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ENGINE = "prismenv."

_Class = TypeVar("_Class", bound=type[Any])
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Build = TypeVar("_Build", bound=Callable[[PolicyContext], SearchPolicy])


@dataclass(frozen=True, slots=True)
class PolicyRegistration:
    """A search policy as it is registered; line 0: by an installed package."""

    entry: PolicyEntry
    origin: str
    line: int
    scope: str = ""
    overrides: bool = False

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.entry.name

    @property
    def where(self) -> str:
        """`FILE:LINE`, or the package, for messages."""
        return f"{self.origin}:{self.line}" if self.line else self.origin


class PhaseRegistry(ScopedTable[PhaseRegistration]):
    """Phases by name. What registers raises RegistryException and then changes nothing."""

    def register_phase(self, name: str, *, overrides: bool = False) -> Callable[[_Class], _Class]:
        """A class decorator: the class below, derived from `prismenv.Phase`, is the phase `name`."""
        place = caller_of(inspect.currentframe())
        _check_name("phase", name, place)

        def take(cls: _Class) -> _Class:
            _check_class(name, cls, place)
            self._claim(name, place, overrides=overrides)
            scope = self._scope or place.file
            self._table[name] = PhaseRegistration(
                name, cls, NO_METHODS, place.file, place.line, scope, overrides=overrides
            )
            return cls

        return take

    def register_phase_method(
        self, phase_name: str, method_name: str, *, overrides: bool = False
    ) -> Callable[[_Function], _Function]:
        """A function decorator: the function below is the method `method_name` of the phase `phase_name`.

        Methods that nobody registers are the usual phase's. With `overrides` a function takes the place of that method
        of a phase of others, whose other methods stay.
        """
        place = caller_of(inspect.currentframe())
        _check_name("phase", phase_name, place)

        def take(function: _Function) -> _Function:
            _check_method(method_name, function, place)
            self._add_method(phase_name, method_name, function, place, overrides=overrides)
            return function

        return take

    def _add_method(
        self, name: str, method: str, function: Callable[..., Any], place: Place, *, overrides: bool
    ) -> None:
        scope = self._scope or place.file
        base = self._table.get(name)
        if base is not None and base.scope == scope:
            if method in base.places:
                raise duplicate(f"{name}.{method}", str(base.places[method]), place)
        else:
            self._claim(name, place, overrides=overrides)
            base = base or PhaseRegistration(name, None, NO_METHODS, place.file, place.line, scope)
            base = replace(base, origin=place.file, line=place.line, scope=scope, overrides=overrides, places={})
        self._table[name] = replace(
            base,
            methods=MappingProxyType({**base.methods, method: function}),
            places=MappingProxyType({**base.places, method: place}),
        )

    def _claim(self, name: str, place: Place, *, overrides: bool) -> None:
        before = self._table.get(name)
        if before is not None and not overrides:
            raise duplicate(name, before.where, place)
        if before is None and overrides:
            raise self.nothing_to_override(name, place)


class PolicyRegistry(ScopedTable[PolicyRegistration]):
    """Search policies by name. What registers raises RegistryException and then changes nothing."""

    def register_policy(
        self,
        name: str,
        *,
        summary: str = "",
        phased: bool = False,
        keeps_tree: bool = False,
        overrides: bool = False,
    ) -> Callable[[_Build], _Build]:
        """A decorator: the class or function below makes the policy `name` from a PolicyContext.

        `summary` empty takes the first line of its docstring. `phased`: it goes through the phases of the recipe's
        experiment. `keeps_tree`: its `tree_json` gives the tree that it searched.
        """
        place = caller_of(inspect.currentframe())
        _check_name("policy", name, place)

        def take(build: _Build) -> _Build:
            _check_build(name, build, place)
            before = self._table.get(name)
            if before is not None and not overrides:
                raise duplicate(name, before.where, place)
            if before is None and overrides:
                raise self.nothing_to_override(name, place)
            about = summary or next(iter((inspect.getdoc(build) or "").splitlines()), "")
            entry = PolicyEntry(name, about, build, origin=place.file, phased=phased, keeps_tree=keeps_tree)
            self._table[name] = PolicyRegistration(
                entry, place.file, place.line, self._scope or place.file, overrides=overrides
            )
            return build

        return take


def _check_name(kind: str, name: object, place: Place) -> None:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return
    raise RegistryException(
        f"{place}: a {kind}'s name has small letters, digits and underscores and begins with a letter, "
        f"found {name!r:.80}",
        code="bad_name",
        subject=str(name)[:80],
    )


def _check_class(name: str, cls: object, place: Place) -> None:
    if not inspect.isclass(cls) or not all(callable(getattr(cls, method, None)) for method in PHASE_METHODS):
        found = f"class {cls.__name__}" if inspect.isclass(cls) else f"{type(cls).__name__} {cls!r:.60}"
        raise RegistryException(
            f"{place}: phase {name!r} must be a class derived from prismenv.Phase, found {found}",
            code="not_a_phase",
            subject=name,
            hint="Functions are registered with register_phase_method(PHASE, METHOD).",
        )
    for klass in cls.__mro__:
        if klass.__module__.startswith(_ENGINE):
            continue
        for member, value in vars(klass).items():
            if member in PHASE_METHODS:
                _check_method(member, value, place)
            elif not member.startswith("_") and inspect.isfunction(value):
                slip = did_you_mean(member, [known for known in PHASE_METHODS if known not in vars(klass)], cutoff=0.85)
                if slip:
                    raise _unknown(member, place, slip)


def _check_method(name: object, function: object, place: Place) -> None:
    if not isinstance(name, str) or name not in PHASE_METHODS:
        raise _unknown(name, place, did_you_mean(str(name), PHASE_METHODS))
    given = PHASE_METHODS[name]
    if not inspect.isfunction(function):
        raise _bad(name, place, f"expected a function, found {type(function).__name__}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise _bad(name, place, "a phase never waits: write `def`, and return what it gives")
    signature = inspect.signature(function)
    try:
        signature.bind(None, *given)
    except TypeError as error:
        raise _bad(
            name, place, f"it is called as ({', '.join(('self', *given))}), found {signature} ({error})"
        ) from error


def _check_build(name: str, build: object, place: Place) -> None:
    wrong = None
    if not callable(build):
        wrong = f"found {type(build).__name__}"
    elif inspect.isclass(build) and not issubclass(build, SearchPolicy):
        wrong = f"class {build.__name__} is not derived from prismenv.SearchPolicy"
    elif inspect.isclass(build) and inspect.isabstract(build):
        wrong = f"class {build.__name__} has no {', '.join(sorted(build.__abstractmethods__))}"
    elif inspect.iscoroutinefunction(build):
        wrong = "it never waits: write `def`"
    else:
        try:
            inspect.signature(build).bind(None)
        except (TypeError, ValueError) as error:
            wrong = f"it is called with a PolicyContext alone ({error})"
    if wrong is not None:
        raise RegistryException(
            f"{place}: policy {name!r} must be a class derived from SearchPolicy or a function that gives one: {wrong}",
            code="not_a_policy",
            subject=name,
        )


def _unknown(name: object, place: Place, slip: str) -> RegistryException:
    return RegistryException(
        f"{place}: unknown method {name!r:.80} of a phase{slip}",
        code="unknown_method",
        subject=str(name)[:80],
        hint=f"Known methods: {', '.join(PHASE_METHODS)}. A helper's name begins with an underscore.",
    )


def _bad(name: str, place: Place, what: str) -> RegistryException:
    return RegistryException(f"{place}: bad signature of {name!r}: {what}", code="bad_signature", subject=name)


phase_registry = PhaseRegistry()
policy_registry = PolicyRegistry()
