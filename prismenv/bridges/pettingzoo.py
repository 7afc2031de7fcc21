"""Episodes as a parallel environment of PettingZoo: each agent has an instance of its own, and all are stepped at once.

from prismenv.bridges.pettingzoo import ParallelEpisodes
env = ParallelEpisodes("environment_coding_challenge", agents=4)
"""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, ClassVar

import numpy as np
from anyio.from_thread import start_blocking_portal
from pettingzoo import ParallelEnv

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
from prismenv.words.errors import ConfigurationException

Told = dict[str, Any]


class ParallelEpisodes(ParallelEnv[str, Any, Any]):  # type: ignore[misc]  # the library has no types
    """`agents` is how many there are (`agent_0`, `agent_1`, ...) or their names.

    An agent whose episode is over is gone until the next reset. `config` are keys of the environment's configuration,
    in this process; with `url` it is on a server (`token`). `options` go to every `reset`. With a seed the first agent
    has it, the others those after it; without one each draws its own. What an environment raises is raised.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "prismenv_v0", "render_modes": [], "is_parallelizable": True}
    render_mode = None

    def __init__(  # noqa: PLR0913 - each is optional
        self,
        environment: str,
        agents: int | list[str] = 2,
        *,
        url: str | None = None,
        token: str | None = None,
        config: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        names = [f"agent_{index}" for index in range(agents)] if isinstance(agents, int) else list(agents)
        if not names or len(set(names)) != len(names):
            raise ConfigurationException("agents: at least one is needed, and each has a name of its own")
        self.possible_agents = names
        self.agents: list[str] = []
        self._options = dict(options or {})
        self._random = np.random.default_rng()
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            self._clients = {name: client_of(environment, url, token, config) for name in names}
            self._schemas = opened(list(self._clients.values()), self._portal, stack)
            self._closing = closed_at_the_end(self, stack.pop_all())
        self._action_spaces = {name: JsonSpace(self._schemas["action"]) for name in names}
        self._observation_spaces = {name: JsonSpace(self._schemas["observation"]) for name in names}

    def action_space(self, agent: str) -> JsonSpace:
        """The same for all, each with a generator of its own."""
        return self._action_spaces[agent]

    def observation_space(self, agent: str) -> JsonSpace:
        """The same for all."""
        return self._observation_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Told, Told]:
        """Begin an episode of each agent: observations and infos by agent."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        given = {**self._options, **(options or {})}
        works = []
        for index, name in enumerate(self.agents):
            chosen = drawn_seed(self._random) if seed is None else seed + index
            works.append(partial(self._clients[name].reset, **{**given, "seed": chosen}))
        results = dict(zip(self.agents, at_once(self._portal, works), strict=True))
        return (
            {name: result.observation for name, result in results.items()},
            {name: dict(result.info) for name, result in results.items()},
        )

    def step(self, actions: Mapping[str, Any]) -> tuple[Told, dict[str, float], dict[str, bool], dict[str, bool], Told]:
        """One step of every agent that is there: observations, rewards, terminations, truncations, infos by agent."""
        missing = [name for name in self.agents if name not in actions]
        if missing:
            raise ConfigurationException(f"there is no action for {missing[0]!r}", code="missing_action")
        schema = self._schemas["action"]
        works = [partial(self._clients[name].step, as_action(actions[name], schema)) for name in self.agents]
        results = dict(zip(self.agents, at_once(self._portal, works), strict=True))
        self.agents = [name for name in self.agents if not results[name].done]
        return (
            {name: result.observation for name, result in results.items()},
            {name: reward_of(result) for name, result in results.items()},
            {name: result.terminated for name, result in results.items()},
            {name: result.truncated for name, result in results.items()},
            {name: info_of(result) for name, result in results.items()},
        )

    def render(self) -> None:
        """There is nothing to see."""

    def close(self) -> None:
        """Let go of the instances; more than once does nothing."""
        self.agents = []
        self._closing()
