"""Episodes of somebody else's environment, on a server that speaks OpenEnv, played by a model and measured as nodes."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import anyio
from pydantic import Field

from prismenv import (
    ActionException,
    AgentCommunicationException,
    AgentHandle,
    BaseEnvironment,
    ConfigurationException,
    DeadlineException,
    EnvironmentClient,
    EnvironmentException,
    EnvironmentExecutionException,
    HostException,
    ProtocolException,
    StrictEnvironmentConfig,
    TrailRecord,
    environment_registry,
    openenv_server,
    read_action,
)

from ._problem import concepts_of, fault_of, number_of

PLAYER = "episode_player"
SHOWN_CHARACTERS = 20_000  # of an observation
SHOWN_NAME = 100  # of a rubric's part
NO_INSTRUCTIONS = "The environment gives no instructions beside what you see."


class OpenEnvConfig(StrictEnvironmentConfig):
    """Where it is, and what counts as solved. `num_problems` episodes make a node, `batch_size` are played at once."""

    agents: list[str] = Field(default=[PLAYER])
    url: str | None = None  # the server's address; or:
    manifest: str | None = None  # an openenv.yaml or its folder: its server is started here
    python: str | None = None  # the Python that has the manifest's packages; null: this one
    variables: tuple[str, ...] = ()  # of the environment, which a started server is given beside the usual ones
    name: str | None = None  # of the environment, where a server has several
    token_variable: str | None = None  # the variable that holds the server's token
    max_steps: int = Field(default=30, ge=1, le=10_000)  # of an episode
    success_reward: float = 1.0  # an episode whose reward is at least this is solved
    reset: Mapping[str, Any] = Field(default_factory=dict)  # given to each; "{concept}" and "{difficulty}" are filled


class _Episode:
    """What became of one episode so far."""

    def __init__(self) -> None:
        self.first = self.last = ""
        self.actions: list[str] = []
        self.refused = 0
        self.truncated = False
        self.reward: float | None = None
        self.parts: dict[str, float] = {}  # of the environment's rubric, over all steps

    def note(self, info: Mapping[str, Any]) -> None:
        """Add what a step's rubric gave, where the server told it."""
        told = info.get("rubric")
        for name, value in told.items() if isinstance(told, Mapping) else ():
            if isinstance(value, int | float):
                self.parts[str(name)[:SHOWN_NAME]] = self.parts.get(str(name)[:SHOWN_NAME], 0.0) + value


@environment_registry.register("environment_openenv", config=OpenEnvConfig)
class OpenEnvEpisodes(BaseEnvironment):
    """Episodes of an environment on a server that speaks OpenEnv, played by a model."""

    config: OpenEnvConfig
    _url: str | None = None
    _server: AsyncExitStack | None = None

    def agent_questions(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """The first question of an episode, and all others."""
        return {PLAYER: (("instructions", "action_schema", "observation"), ("observation", "report"))}

    async def initialize(self) -> None:
        """Start the manifest's server, where one is named."""
        self._url = self.config.url
        if self.config.url is None and self.config.manifest is not None:
            place = self.services.folder / os.path.expanduser(self.config.manifest)  # noqa: PTH111, ASYNC240 - no file is read
            stack = AsyncExitStack()
            opener = openenv_server(place, python=self.config.python, variables=self.config.variables)
            self._url = await stack.enter_async_context(opener)
            self._server = stack

    async def close(self) -> None:
        """End the server, where one was started."""
        stack, self._server = self._server, None
        if stack is not None:
            await stack.aclose()

    async def execute_node(
        self,
        concept: str | Sequence[str],
        difficulty_level: str,
        num_problems: int | None = None,
    ) -> dict[str, Any]:
        """Play `num_problems` episodes; the node is solved where all are."""
        about = {"{concept}": ", ".join(concepts_of(concept)), "{difficulty}": difficulty_level}
        options = {
            name: about.get(each, each) if isinstance(each, str) else each for name, each in self.config.reset.items()
        }
        count = number_of("num_problems", num_problems, self.config.num_problems)
        slots = anyio.Semaphore(self.config.batch_size)
        records: dict[int, TrailRecord] = {}

        async def play(index: int) -> None:
            async with slots:
                records[index] = await self._play(index, options)

        async with anyio.create_task_group() as group:
            for index in range(count):
                group.start_soon(play, index)
        trail = [records[index] for index in range(count)]
        return {"success": all(record.success for record in trail), "data_trail": trail}

    async def health_check(self) -> dict[str, Any]:
        """Whether the server answers; one that nobody named is no fault."""
        if self._url is None:
            return {"checks": {"server": "not configured: --set config.url=URL or config.manifest=FOLDER names one"}}
        try:
            async with self._client() as client:
                await client.schemas()
        except EnvironmentException as error:
            return {"checks": {"server": f"unhealthy: {error.message}"}}
        return {"checks": {"server": "healthy"}}

    def _client(self) -> EnvironmentClient[Any, Any]:
        if self._url is None:
            raise ConfigurationException(
                "one of url and manifest is needed: where the environment is, or the openenv.yaml that starts it",
                code="no_server",
                subject="url",
                hint="--set config.url=http://127.0.0.1:8000, or --set config.manifest=FOLDER",
            )
        variable = self.config.token_variable
        token = None if variable is None else os.environ.get(variable)
        if variable is not None and not token:
            raise ConfigurationException(
                f"the variable {variable} is not set", code="no_token", subject="token_variable"
            )
        return EnvironmentClient(self._url, self.config.name, token=token)

    async def _play(self, index: int, options: Mapping[str, Any]) -> TrailRecord:
        """One episode, in a session of its own with the server and with the model."""
        begun, seed = self.services.clock.monotonic(), self.random(f"episode {index}").getrandbits(31)
        episode = _Episode()
        async with self.open_agents(("episode", index), episode=index) as crew:
            try:
                async with self._client() as client:
                    await self._steps(client, crew[PLAYER], episode, {**options, "seed": seed})
                fields = self._outcome(episode)
            except AgentCommunicationException as error:
                fields = {"output": f"no action from {PLAYER}: {error}", "fault": fault_of(error, "candidate")}
            except (EnvironmentExecutionException, DeadlineException) as error:
                fields = {"output": f"the environment failed: {error.message}", "fault": "environment"}
            except (HostException, ProtocolException) as error:
                fields = {"output": f"the server failed: {error.message}", "fault": "infrastructure"}
            return self.add_attempt(
                problem_index=index,
                attempt_num=0,
                problem_statement=episode.first,
                solution_code="\n\n".join(episode.actions),
                seed=seed,
                steps=len(episode.actions),
                refused_actions=episode.refused,
                truncated=episode.truncated,
                reward=episode.reward,
                **({"rubric": episode.parts} if episode.parts else {}),
                usage=crew.take_usage(),
                wall_seconds=self.services.clock.monotonic() - begun,
                **fields,
            )

    async def _steps(
        self, client: EnvironmentClient[Any, Any], player: AgentHandle, episode: _Episode, options: Mapping[str, Any]
    ) -> None:
        schema = (await client.schemas())["action"]
        result = await client.reset(**options)
        episode.first = episode.last = _shown(result.observation)
        inputs = {
            "instructions": await client.system_prompt() or NO_INSTRUCTIONS,
            "action_schema": json.dumps(schema, ensure_ascii=False),
            "observation": episode.first,
        }
        while not result.done and len(episode.actions) < self.config.max_steps:
            answer = await player.interact(**inputs)
            episode.actions.append(answer)
            try:
                result = await client.step(read_action(answer, schema))
                episode.note(result.info)
                report = "" if result.reward is None else f"The reward of that step is {result.reward:g}."
                episode.last = _shown(result.observation)
            except ActionException as error:
                episode.refused += 1
                report = f"That action was refused, and nothing happened: {error.message}"
            inputs = {"observation": episode.last, "report": report}
        episode.truncated = result.truncated or not result.done
        episode.reward = await client.compute_reward()

    def _outcome(self, episode: _Episode) -> dict[str, Any]:
        if episode.reward is None:
            return {"output": "the environment gave no reward, so nothing was measured", "fault": "environment"}
        solved = episode.reward >= self.config.success_reward
        told = f"reward {episode.reward:g} in {len(episode.actions)} steps\n\n{episode.last}"
        return {"success": solved, "output": told, "fault": "none" if solved else "candidate"}


def _shown(observation: Any) -> str:
    """An observation as the model is shown it: its text where it is one, else JSON."""
    text = observation.get("obs_str") if isinstance(observation, Mapping) and len(observation) == 1 else None
    return (text if isinstance(text, str) else json.dumps(observation, ensure_ascii=False, indent=1))[:SHOWN_CHARACTERS]
