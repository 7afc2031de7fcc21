"""Episodes as Gymnasium's environments, one or many at once.

import prismenv.bridges.gym                                                    # makes them known to Gymnasium

gymnasium.make("prismenv/CodingChallenge-v0")                                  # all that come with prismenv
gymnasium.make("prismenv/Environment-v0", environment="environment_guess")     # any other one
gymnasium.make_vec("prismenv/CodingChallenge-v0", num_envs=8, vectorization_mode="vector_entry_point")

An observation is what `reset` and `step` tell, as a mapping. An action is a mapping, or a text where the environment's
action has one text and needs nothing else. A step that measured nothing has the reward 0 and `unmeasured` in its info.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
from anyio.from_thread import start_blocking_portal
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from prismenv.bridges.spaces import JsonSpace
from prismenv.bridges.steps import (
    as_action,
    at_once,
    client_of,
    closed_at_the_end,
    drawn_seed,
    info_of,
    opened,
    reward_of,
)
from prismenv.finding.discovery import discover_environments
from prismenv.finding.folders import builtin_workspace
from prismenv.words.errors import ConfigurationException

PREFIX = "environment_"
ANY = "Environment-v0"


def _register() -> None:
    """Tell Gymnasium of the environments that come with prismenv."""
    folder = builtin_workspace().root / "environments"
    made = {_title(name): {"environment": name} for name in discover_environments(str(folder))}
    for title, options in {**made, ANY: {}}.items():
        gymnasium.register(
            id=f"prismenv/{title}",
            entry_point="prismenv.bridges.gym:GymEnvironment",
            vector_entry_point="prismenv.bridges.gym:GymVectorEnvironment",
            kwargs=options,
            disable_env_checker=True,  # it runs the environment once more, and warns of spaces that are no arrays
        )


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.removeprefix(PREFIX).split("_")) + "-v0"


class GymEnvironment(gymnasium.Env[Any, Any]):
    """One instance of an environment, in this process or, with `url`, on a server (`token`).

    `config` are keys of the environment's configuration, in this process. `options` go to every `reset`, below those
    that a reset is given itself. Without a seed an episode's comes from `np_random`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]  # Gymnasium has it on objects

    def __init__(  # noqa: PLR0913 - each is optional
        self,
        environment: str,
        *,
        url: str | None = None,
        token: str | None = None,
        config: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise ConfigurationException(f"render_mode is None or 'ansi', found {render_mode!r}", code="bad_option")
        self.render_mode = render_mode
        self._options = dict(options or {})
        self._shown = ""
        with ExitStack() as stack:
            self._client = stack.enter_context(client_of(environment, url, token, config).sync())
            self._schemas = self._client.schemas()
            self._closing = closed_at_the_end(self, stack.pop_all())
        self.action_space = JsonSpace(self._schemas["action"])
        self.observation_space = JsonSpace(self._schemas["observation"])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. What the environment raises is raised."""
        super().reset(seed=seed)
        chosen = drawn_seed(self.np_random) if seed is None else seed
        result = self._client.reset(**{**self._options, **(options or {}), "seed": chosen})
        return self._show(result.observation), dict(result.info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step. ActionException: the action was refused, and the episode goes on as if it had not been sent."""
        result = self._client.step(as_action(action, self._schemas["action"]))
        seen = self._show(result.observation)
        return seen, reward_of(result), result.terminated, result.truncated, info_of(result)

    def render(self) -> str | None:
        """The last observation, a line for each of its parts; None without a render mode."""
        return self._shown if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Let go of the instance; more than once does nothing."""
        self._closing()

    def _show(self, seen: Any) -> Any:
        self._shown = "\n".join(f"{name}: {each}" for name, each in seen.items())
        return seen


class GymVectorEnvironment(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """Several instances that are stepped at once: while one is judged the others are.

    An instance whose episode is over is reset by the next step, whatever its action (`AutoresetMode.NEXT_STEP`).
    Observations and actions are tuples with one part for each. The other arguments are GymEnvironment's.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # type: ignore[misc]

    def __init__(  # noqa: PLR0913 - each is optional
        self,
        environment: str,
        num_envs: int = 1,
        *,
        url: str | None = None,
        token: str | None = None,
        config: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if num_envs < 1:
            raise ConfigurationException(f"num_envs must be at least 1, found {num_envs}", code="bad_option")
        self.num_envs = num_envs
        self.render_mode = None
        self._options = dict(options or {})
        self._over = np.zeros(num_envs, dtype=np.bool_)
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            clients = [client_of(environment, url, token, config) for _ in range(num_envs)]
            self._clients, self._schemas = clients, opened(clients, self._portal, stack)
            self._closing = closed_at_the_end(self, stack.pop_all())
        self.single_action_space = JsonSpace(self._schemas["action"])
        self.single_observation_space = JsonSpace(self._schemas["observation"])
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Begin an episode in each. A single `seed` is the first one's; the others have those after it."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        count = self.num_envs
        if isinstance(seed, int):
            seeds: list[int | None] = list(range(seed, seed + count))
        else:
            seeds = [None] * count if seed is None else list(seed)
        if len(seeds) != count:
            raise ConfigurationException(f"there are {len(seeds)} seeds for {count} environments")
        results = at_once(
            self._portal, [self._reset(index, seeds[index], options or {}) for index in range(self.num_envs)]
        )
        self._over[:] = False
        return tuple(result.observation for result in results), self._gathered([dict(each.info) for each in results])

    def step(self, actions: Sequence[Any]) -> tuple[tuple[Any, ...], Any, Any, Any, dict[str, Any]]:
        """One step of each, all at once. One that raises ends the call with an error when all have ended."""
        if len(actions) != self.num_envs:
            raise ConfigurationException(f"there are {len(actions)} actions for {self.num_envs} environments")
        works = [
            self._reset(index, None, {}) if self._over[index] else self._step(index, actions[index])
            for index in range(self.num_envs)
        ]
        results = at_once(self._portal, works)
        rewards = np.array([reward_of(result) for result in results], dtype=np.float64)
        terminated = np.array([result.terminated for result in results], dtype=np.bool_)
        truncated = np.array([result.truncated for result in results], dtype=np.bool_)
        infos = [dict(each.info) if begun else info_of(each) for each, begun in zip(results, self._over, strict=True)]
        self._over = np.logical_or(terminated, truncated)
        seen = tuple(result.observation for result in results)
        return seen, rewards, terminated, truncated, self._gathered(infos)

    def close_extras(self, **_: Any) -> None:
        """Let go of the instances."""
        self._closing()

    def _reset(self, index: int, seed: int | None, options: Mapping[str, Any]) -> Any:
        chosen = drawn_seed(self.np_random) if seed is None else seed
        return partial(self._clients[index].reset, **{**self._options, **options, "seed": chosen})

    def _step(self, index: int, action: Any) -> Any:
        return partial(self._clients[index].step, as_action(action, self._schemas["action"]))

    def _gathered(self, told: Sequence[dict[str, Any]]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for index, info in enumerate(told):
            infos = self._add_info(infos, info, index)
        return infos


_register()
