"""Environments that know nothing of prismenv: any class, or function that makes one, with `reset` and `step`.

Each instance of the adapted environment makes an author's object of its own. What the object's methods are given and
may return is what docs/episodes.md says of every environment, so OpenEnv's own classes are served as they are.
"""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeGuard

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.entry import call_author, own_options
from prismenv.contracts.face import EpisodeTypes, read_member
from prismenv.words.errors import ConfigurationException

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_NAME = re.compile(r"[^a-z0-9_]+")


class AdaptedEnvironment(BaseEnvironment):
    """An author's object behind the engine's environment. `make_author` makes one; `shared`: it gives the only one."""

    make_author: ClassVar[Callable[[], Any]]
    shared: ClassVar[bool] = False
    _author: Any = None

    async def initialize(self) -> None:
        """Make the author's object."""
        self._author = await call_author(self.environment_name, "the factory", type(self).make_author)

    async def reset(self, **options: Any) -> Any:
        """The author's, given what its signature takes."""
        return await self.call_reset(options)

    async def call_reset(self, options: Mapping[str, Any]) -> Any:
        """The author's reset, given those of the options that its signature takes."""
        method = self._author.reset
        return await call_author(self.environment_name, "reset", method, **own_options(method, options))

    async def step(self, action: Any) -> Any:
        """The author's."""
        return await call_author(self.environment_name, "step", self._author.step, action)

    async def state(self) -> Any:
        """The author's method, property or attribute; None: there is none."""
        return await self._read("state")

    async def system_prompt(self) -> Any:
        """The author's; None: there is none."""
        return await self._read("system_prompt")

    async def compute_reward(self) -> Any:
        """The author's; None: there is none."""
        return await self._read("compute_reward")

    async def close(self) -> None:
        """Let the author close what it holds, unless another session will go on with it."""
        author, self._author = self._author, None
        if not self.shared:
            await _close(self.environment_name, author)

    async def _read(self, name: str) -> Any:
        return await read_member(self.environment_name, self._author, name)


def adapted(make: Any, types: Mapping[str, Any]) -> type[BaseEnvironment]:
    """The environment's class. `make`: a class of BaseEnvironment's, what makes an object with `reset` and `step`, or

    such an object, which then is the only one.

    `types` are those of `action`, `observation` and `state`; None: what the author's own signatures say.
    """
    known = {key: kind for key, kind in types.items() if kind is not None}
    if inspect.isclass(make) and not _has_episodes(make):
        raise ConfigurationException(
            f"{make.__name__} has no episodes: it does not define reset and step", code="bad_environment", subject="env"
        )
    if inspect.isclass(make) and issubclass(make, BaseEnvironment):
        return type(make.__name__, (make,), {"episode_types": known, "__doc__": make.__doc__}) if known else make
    if _has_episodes(make) and not inspect.isclass(make):
        return type(type(make).__name__, (adapted(type(make), types),), {"make_author": lambda: make, "shared": True})
    if not callable(make):
        raise ConfigurationException(
            f"env must be an environment, its class, or a function that makes one, found {type(make).__name__}",
            code="bad_environment",
            subject="env",
        )
    members: dict[str, Any] = {"make_author": staticmethod(make), "__doc__": inspect.getdoc(make)}
    if inspect.isclass(make):
        members["reset"] = _resetting(make)
        told = EpisodeTypes(make)
        known = {"action": told.action, "observation": told.observation, "state": told.state, **known}
    return type(getattr(make, "__name__", "Adapted"), (AdaptedEnvironment,), {**members, "episode_types": known})


def shares_its_author(cls: type[Any] | None) -> TypeGuard[type[AdaptedEnvironment]]:
    """Whether one object serves every session of this class."""
    return cls is not None and issubclass(cls, AdaptedEnvironment) and cls.shared


async def close_shared_author(cls: type[Any] | None) -> None:
    """Let the one object close what it holds; nothing where there is none."""
    if shares_its_author(cls):
        await _close(cls.__name__, cls.make_author())


async def _close(name: str, author: Any) -> None:
    if callable(close := getattr(author, "close", None)):
        await call_author(name, "close", close)


def _has_episodes(thing: Any) -> bool:
    return callable(getattr(thing, "reset", None)) and callable(getattr(thing, "step", None))


def _resetting(make: Any) -> Callable[..., Any]:
    """A reset with the author's signature, so that its options are told and read."""

    @functools.wraps(make.reset)
    async def reset(self: AdaptedEnvironment, **options: Any) -> Any:
        return await self.call_reset(options)

    return reset


def name_of(make: Any) -> str:
    """A name for what `adapted` takes: `MyEnvironment` is `my_environment`."""
    written = getattr(make, "__name__", type(make).__name__)
    name = _NO_NAME.sub("_", _WORD.sub("_", written).lower()).strip("_")
    return name if name[:1].isalpha() else f"environment_{name}".rstrip("_")
