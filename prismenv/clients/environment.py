"""One environment, wherever it is: reset, step and read it, asynchronously or not.

async with EnvironmentClient("http://127.0.0.1:8000", "environment_echo") as env:   # on a server
async with EnvironmentClient.local("environment_echo") as env:                      # in this process
with EnvironmentClient.local("environment_echo").sync() as env:                     # without async
"""

from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from pydantic import TypeAdapter

from prismenv.clients.blocking import BlockingForm
from prismenv.clients.lasting import LastingLink
from prismenv.clients.links import Link, LocalLink, WebSocketLink
from prismenv.clients.reading import ResultReader, action_document, read_by
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.episode import StepResult
from prismenv.contracts.face import CALL_TOOL, LIST_TOOLS
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.words.errors import (
    ActionException,
    ConfigurationException,
    DeadlineException,
    EnvironmentException,
    EnvironmentExecutionException,
    ProtocolException,
)

ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")
TIMEOUT_SECONDS = 330.0  # more than an environment's own, so that it is the environment that ends a call


class EnvironmentClient(Generic[ObservationT, StateT]):
    """A session with one instance of an environment, which is made when the client is entered and closed at its end.

    `url` is a server's, `environment` a name there; None: the address is that of one environment, ours or any server's
    that speaks OpenEnv. `observation` and `state` are types that results are read into; None: mappings as they come.
    `token` None: none. `timeout_seconds`: an answer that takes longer is given up, and the session with it.
    `reconnect_seconds`: for so long a connection that was lost is made again, to the same instance, and what was asked
    last is asked again and done once; a call that was given up does not end the session then. For servers of ours
    alone. None: a lost connection is the session's end.

    A subclass may override `_step_payload`, `_parse_result` and `_parse_state`. What goes wrong is raised as it is in
    one process: ActionException (the episode goes on), EnvironmentExecutionException and DeadlineException (it ended,
    but for the codes `no_episode` and `episode_over`), HostException (the session is over).
    """

    def __init__(  # noqa: PLR0913 - each is optional
        self,
        url: str,
        environment: str | None = None,
        *,
        observation: type[ObservationT] | None = None,
        state: type[StateT] | None = None,
        token: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        reconnect_seconds: float | None = None,
    ) -> None:
        connect = partial(WebSocketLink, _address(url, environment), token, timeout_seconds)
        link = connect() if reconnect_seconds is None else LastingLink(connect, SystemClock(), reconnect_seconds)
        self._prepare(link, observation, state)

    @classmethod
    def local(  # noqa: PLR0913 - each is optional
        cls,
        environment: str,
        *,
        observation: type[ObservationT] | None = None,
        state: type[StateT] | None = None,
        config: Mapping[str, Any] | EnvironmentConfig | None = None,
        services: Services | None = None,
        seed: int = 0,
    ) -> Self:
        """The same without a server. `config`, `services` and `seed` are BaseEnvironment's."""
        client = cls.__new__(cls)
        client._prepare(  # noqa: SLF001 - its own
            LocalLink(environment, config, services, seed), observation, state
        )
        return client

    def _prepare(self, link: Link, observation: Any, state: Any) -> None:
        self._link = link
        self._reader: ResultReader[ObservationT] = ResultReader(observation)
        self._reads_state = None if state is None else TypeAdapter(state)
        self._rewards: list[float] = []

    async def __aenter__(self) -> Self:
        await self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._link.close()

    async def reset(self, **options: Any) -> StepResult[ObservationT]:
        """Begin an episode. `seed`, `episode_id`, and what the environment's reset takes."""
        result = self._result(await self._link.call("reset", options))
        self._rewards = []
        return result

    async def step(self, action: Any) -> StepResult[ObservationT]:
        """One step: a mapping, text, a pydantic model or a dataclass."""
        result = self._result(await self._link.call("step", self._step_payload(action)))
        if result.reward is not None:
            self._rewards.append(result.reward)
        return result

    async def state(self) -> StateT:
        """The state of the episode, with `episode_id` and `step_count`."""
        return self._parse_state(self._known(await self._link.call("state"), "state"))

    async def system_prompt(self) -> str | None:
        """What a policy is to be told before the first observation; None: nothing, or the server cannot say."""
        told = await self._link.call("system_prompt")
        return None if told is None else cast(str | None, told.get("system_prompt"))

    async def compute_reward(self) -> float | None:
        """The reward of the episode so far; where the server cannot say, the sum of its steps'. None: there is none."""
        told = await self._link.call("compute_reward")
        if told is None:
            return sum(self._rewards) if self._rewards else None
        return cast(float | None, told.get("reward"))

    async def schemas(self) -> dict[str, Any]:
        """JSON Schemas of `action`, `observation` and `state`. HostException where the server does not tell them."""
        return await self._link.schemas()

    async def list_tools(self) -> list[dict[str, Any]]:
        """The environment's tools: `name`, `description`, and `input_schema`, the JSON Schema of the arguments."""
        seen = self._known(await self._link.call("step", {"type": LIST_TOOLS}), "step").get("observation")
        tools = seen.get("tools") if isinstance(seen, dict) else None
        if not isinstance(tools, list):
            raise ProtocolException("the environment did not list its tools", code="bad_result")
        return tools

    async def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """What a tool returns, as JSON has it. A reward that it gives is in `compute_reward`.

        ActionException: there is no such tool, or it does not take these arguments, and nothing happened;
        EnvironmentExecutionException: it failed; DeadlineException: it did not end in time, and the episode is over.
        """
        action = {"type": CALL_TOOL, "tool_name": name, "arguments": arguments}
        payload = self._known(await self._link.call("step", action), "step")
        seen, reward = payload.get("observation"), payload.get("reward")
        if not isinstance(seen, dict) or "tool_name" not in seen:
            raise ProtocolException("the environment did not answer as a tool does", code="bad_result")
        if isinstance(error := seen.get("error"), dict):
            raise _tool_error(str(error.get("error_type")), str(error.get("message")))
        if isinstance(reward, int | float):
            self._rewards.append(float(reward))
        return seen.get("result")

    def sync(self) -> "SyncEnvironmentClient[ObservationT, StateT]":
        """The same for code that is not async: `with client.sync() as env: env.reset()`."""
        return SyncEnvironmentClient(self)

    def _step_payload(self, action: Any) -> dict[str, Any]:
        """An action as an object of JSON."""
        return action_document(action)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ObservationT]:
        """A result of `{"observation", "reward", "done", "metadata"?}`."""
        return self._reader.read(payload)

    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        """A state of `{"episode_id", "step_count", …}`."""
        if self._reads_state is None:
            return cast(StateT, payload)
        return cast(StateT, self._reads_state.validate_python(payload))

    def _result(self, payload: dict[str, Any] | None) -> StepResult[ObservationT]:
        return read_by(self._parse_result, self._known(payload, "reset and step"))

    @staticmethod
    def _known(payload: dict[str, Any] | None, what: str) -> dict[str, Any]:
        if payload is None:
            raise ProtocolException(f"the server does not know {what}", code="unknown_type")
        return payload


class SyncEnvironmentClient(BlockingForm, Generic[ObservationT, StateT]):
    """An EnvironmentClient for code that is not async. Its event loop runs in a thread of its own."""

    _hint = "the client is not open: use `with client.sync() as env`"

    def __init__(self, client: EnvironmentClient[ObservationT, StateT]) -> None:
        self._client = client
        super().__init__(client)

    def reset(self, **options: Any) -> StepResult[ObservationT]:
        """See EnvironmentClient.reset."""
        return self._open.call(lambda: self._client.reset(**options))

    def step(self, action: Any) -> StepResult[ObservationT]:
        """See EnvironmentClient.step."""
        return self._open.call(self._client.step, action)

    def state(self) -> StateT:
        """See EnvironmentClient.state."""
        return self._open.call(self._client.state)

    def system_prompt(self) -> str | None:
        """See EnvironmentClient.system_prompt."""
        return self._open.call(self._client.system_prompt)

    def compute_reward(self) -> float | None:
        """See EnvironmentClient.compute_reward."""
        return self._open.call(self._client.compute_reward)

    def schemas(self) -> dict[str, Any]:
        """See EnvironmentClient.schemas."""
        return self._open.call(self._client.schemas)

    def list_tools(self) -> list[dict[str, Any]]:
        """See EnvironmentClient.list_tools."""
        return self._open.call(self._client.list_tools)

    def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """See EnvironmentClient.call_tool."""
        return self._open.call(lambda: self._client.call_tool(name, **arguments))


def _tool_error(kind: str, message: str) -> EnvironmentException:
    """The exception that a tool's error comes to."""
    if kind in ("tool_not_found", "invalid_args"):
        return ActionException(message, code=kind)
    if kind == "timeout":
        return DeadlineException(message)
    return EnvironmentExecutionException(message, code="environment_raised")


def _address(url: str, environment: str | None) -> str:
    """The WebSocket's address; ConfigurationException for what is no address of a server."""
    scheme, found, rest = url.rstrip("/").partition("://")
    kinds = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if not found or scheme.lower() not in kinds or not rest:
        raise ConfigurationException(
            "url must be an address such as http://127.0.0.1:8000", code="bad_url", subject="url"
        )
    path = "" if environment is None else f"/environments/{environment}"
    return f"{kinds[scheme.lower()]}://{rest}{path}/ws"
