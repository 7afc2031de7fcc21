"""One environment that somebody steps: what its episode may do when, one caller at a time, each call within a time.

The rules are on one page, docs/episodes.md. An instance is `new` until it is reset, then its episode `runs` until it is
`over`; one whose episode ended by an error or by a call that was cut off is `broken`, because nobody knows what the
author's code left behind. Each of them can be reset.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

import anyio

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.clock import Clock
from prismenv.contracts.episode import StepResult
from prismenv.contracts.face import CALL_TOOL, LIST_TOOLS, EpisodeFace, EpisodeTypes
from prismenv.contracts.requests import positive_option, whole_option
from prismenv.contracts.settings import HOST_TIMEOUT_SECONDS
from prismenv.contracts.tool import FaultKind, ToolAnswer, ToolFault
from prismenv.engine.host.remembered import RememberedCalls
from prismenv.engine.host.use import Use
from prismenv.words.errors import (
    ActionException,
    DeadlineException,
    EnvironmentException,
    EnvironmentExecutionException,
    HostException,
)
from prismenv.words.nearness import did_you_mean
from prismenv.words.seeding import derive_seed

Stage = Literal["new", "running", "over", "broken"]
MAX_ID = 200  # characters of an episode's id
CLOSING_SECONDS = 10.0
_ENGINE_KEYS = ("seed", "episode_id")

T = TypeVar("T")


class Instance:
    """`environment` is open. `seed` is what the seeds of its episodes come from, where a reset names none.

    `lease_seconds`: how long nobody may use it before whoever holds it may take it away, see `expired`.
    """

    def __init__(  # noqa: PLR0913 - what an instance is
        self,
        instance_id: str,
        environment: BaseEnvironment,
        clock: Clock,
        *,
        seed: int,
        lease_seconds: float,
        types: EpisodeTypes | None = None,
        owner: str = "",
    ) -> None:
        self.instance_id = instance_id
        self.owner = owner
        self.environment = environment
        self.face = EpisodeFace(environment, types)
        self.stage: Stage = "new"
        self.closed = False
        self.on_close: Callable[[str], None] | None = None
        self._clock = clock
        self._seed = seed
        self._lease_seconds = lease_seconds
        self._running: anyio.CancelScope | None = None  # of the call that runs
        self._left: anyio.Event | None = None  # set when that has ended, where somebody waits for it
        self._use = Use(clock)
        self._episodes = 0
        self._episode_id: str | None = None
        self._steps = 0
        self._rewards: list[float] = []
        self._remembered = RememberedCalls()
        self._why = ""

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.environment.environment_name

    @property
    def busy(self) -> bool:
        """Whether a call runs or waits."""
        return self._use.busy > 0

    @property
    def idle(self) -> bool:
        """Whether nobody calls, and no episode runs."""
        return not self._use.busy and self.stage != "running"

    @property
    def used_at(self) -> float:
        """When it was last used, on the clock's scale."""
        return self._use.used_at

    @property
    def expired(self) -> bool:
        """Whether nobody used it for as long as its lease is."""
        return not self._use.busy and self._clock.monotonic() - self._use.used_at >= self._lease_seconds

    @property
    def lease_seconds(self) -> float:
        """How long nobody may use it before it may be taken away."""
        return self._lease_seconds

    async def reset(
        self,
        options: Mapping[str, Any] | None = None,
        timeout_seconds: float | None = None,
        *,
        request_id: str | None = None,
    ) -> StepResult[Any]:
        """Begin a new episode, also in the middle of one, which is left then.

        `options`: `seed` (None: the next of the instance's own), `episode_id` (None: a new one), and what the author's
        reset takes. `timeout_seconds` None: the environment's. `request_id` names the call: the same again within the
        episode that it began is answered as before, and not done. None: it has no name.
        """
        options = options or {}
        seed = whole_option(options, "seed", least=0)
        episode_id = _id_of(options.get("episode_id"))
        seconds = self._seconds(timeout_seconds)
        async with self._use:
            if (before := self._remembered.answer("reset", request_id, options)) is not None:
                return before
            self._episodes += 1
            if seed is None:
                seed = derive_seed(self._seed, "episode", self._episodes)
            self._episode_id = episode_id or self._clock.new_id("episode")
            self._steps, self._rewards = 0, []
            self._remembered.clear()
            own = {key: value for key, value in options.items() if key not in _ENGINE_KEYS}
            self._break("reset of the last episode failed")
            with self._remembered.noting("reset", request_id, options) as told:
                told.result = result = await self._in_time(
                    "reset", seconds, lambda: self.face.reset(seed, {**own, "episode_id": self._episode_id})
                )
            self._note(result)
            return result

    async def step(
        self, action: Any, timeout_seconds: float | None = None, *, request_id: str | None = None
    ) -> StepResult[Any]:
        """One step of the episode; `timeout_seconds` None: the environment's.

        `request_id` names the step: the same again within the episode is answered as before, be it by a result or by
        the error that ended the episode, and not done. None: it has no name.

        ActionException: the action is refused, nothing happened. EnvironmentExecutionException: `no_episode` before
        reset, `episode_over` after the end; any other, and DeadlineException, ended the episode.

        Where the environment has tools, `{"type": "list_tools"}` and `{"type": "call_tool", "tool_name", "arguments"}`
        are actions too; see `call_tool`.
        """
        if self.face.types.tools and isinstance(action, Mapping) and action.get("type") in (LIST_TOOLS, CALL_TOOL):
            return await self._tool_step(action, timeout_seconds, request_id)
        if not self.face.types.steps:
            raise ActionException(f"{self.name!r} has tools alone: an action is of type {LIST_TOOLS} or {CALL_TOOL}")
        seconds = self._seconds(timeout_seconds)
        async with self._use:
            if (before := self._remembered.answer("step", request_id, action)) is not None:
                return before
            self._require_running()
            read = self.face.types.read_action(action)
            self._break("the last step was cut off")
            try:
                with self._remembered.noting("step", request_id, action) as told:
                    told.result = result = await self._in_time("step", seconds, lambda: self.face.step(read))
            except ActionException:
                self.stage = "running"
                raise
            except EnvironmentException as error:
                self._break(f"the last step failed: {error.message}")
                raise
            self._steps += 1
            self._note(result)
            return result

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        timeout_seconds: float | None = None,
        *,
        request_id: str | None = None,
    ) -> StepResult[Any]:
        """One call of a tool, within the episode where the environment has episodes; its observation is a ToolAnswer.

        What the tool raises is told in the answer, and the episode goes on. A call that was cut off by its deadline or
        by the caller ended it. EnvironmentExecutionException: `no_episode`, `episode_over`.
        """
        seconds = self._seconds(timeout_seconds)
        async with self._use:
            if (before := self._remembered.answer("call_tool", request_id, (name, arguments))) is not None:
                return before
            tools = self.face.types.tools
            if name not in tools:
                return _fault(name, "tool_not_found", f"there is no tool {name!r:.80}{did_you_mean(name, tools)}")
            if self.face.types.episodes:
                self._require_running()
            try:
                read = tools[name].read(arguments)
                self._break("the last call of a tool was cut off")
                with self._remembered.noting("call_tool", request_id, (name, arguments)) as told:
                    told.result = result = await self._in_time(
                        name, seconds, lambda: self.face.call_tool(tools[name], read)
                    )
            except ActionException as error:
                self.stage = "running"
                return _fault(name, "invalid_args", error.message)
            except DeadlineException as error:
                self._break(error.message)
                return _fault(name, "timeout", error.message, over=self.face.types.episodes)
            self._steps += 1
            self._note(result)
            return result

    async def _tool_step(
        self, action: Mapping[str, Any], timeout_seconds: float | None, request_id: str | None
    ) -> StepResult[Any]:
        unknown = action.keys() - {"type", "metadata", "tool_name", "arguments"}
        name, arguments = action.get("tool_name"), action.get("arguments", {})
        if action["type"] == LIST_TOOLS:
            async with self._use:
                return StepResult({"tools": self.tool_documents()}, done=self.stage == "over")
        if unknown or not isinstance(name, str) or not isinstance(arguments, Mapping):
            raise ActionException(f'an action of type {CALL_TOOL} is {{"type", "tool_name", "arguments"?}}')
        return await self.call_tool(name, arguments, timeout_seconds, request_id=request_id)

    def tool_documents(self) -> list[dict[str, Any]]:
        """The tools as OpenEnv tells them: `name`, `description`, and `input_schema`, JSON Schema of the arguments."""
        return [
            {"name": each.name, "description": each.description, "input_schema": dict(each.schema)}
            for each in self.face.types.tools.values()
        ]

    async def state(self) -> dict[str, Any]:
        """The state as JSON has it, with `episode_id` and `step_count`; before the first reset only these."""
        async with self._use:
            if self.stage == "new":
                return {"episode_id": None, "step_count": 0}
            return await self._in_time("state", self._seconds(), lambda: self.face.state(self._episode_id, self._steps))

    async def system_prompt(self) -> str | None:
        """See EpisodeFace; may be asked at any time."""
        async with self._use:
            return await self._in_time("system_prompt", self._seconds(), self.face.system_prompt)

    async def compute_reward(self) -> float | None:
        """The reward of the episode so far: the author's, or the sum of the steps'. None: nothing was measured."""
        async with self._use:
            if self.stage == "new":
                raise _no_episode(self.name)
            own = await self._in_time("compute_reward", self._seconds(), self.face.compute_reward)
            return own if own is not None else sum(self._rewards) if self._rewards else None

    async def close(self, why: str = "it was closed") -> None:
        """Let go of it; a call that runs is given up first, those that come later are refused.

        Says nothing of what the author's close raises.
        """
        if self.closed:
            return
        self.closed = True
        self._why = why
        self._use.refusal = self._gone
        if self.on_close is not None:
            self.on_close(why)
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            if self._running is not None:
                self._left = anyio.Event()
                self._running.cancel()
                await self._left.wait()
            await self.environment.close()

    def _gone(self) -> HostException:
        return HostException(f"the instance {self.instance_id} is gone: {self._why}", code="closed", subject=self.name)

    async def _in_time(self, what: str, seconds: float, call: Callable[[], Awaitable[T]]) -> T:
        with anyio.move_on_after(seconds) as scope:
            self._running = scope
            try:
                return await call()
            finally:
                self._running = None
                if self._left is not None:
                    self._left.set()
        if self.closed:
            raise self._gone()
        raise DeadlineException(f"{what} of {self.name!r} did not end within {seconds:g} s", subject=self.name)

    def _seconds(self, asked: float | None = None) -> float:
        if asked is not None:
            asked = positive_option({"timeout": asked}, "timeout")
        return min(asked or self.environment.config.timeout, HOST_TIMEOUT_SECONDS)

    def _require_running(self) -> None:
        if self.stage == "new":
            raise _no_episode(self.name)
        if self.stage != "running":
            why = "it came to its end" if self.stage == "over" else self._why
            raise EnvironmentExecutionException(
                f"the episode of {self.name!r} is over: {why}; reset begins a new one",
                code="episode_over",
                subject=self.name,
            )

    def _note(self, result: StepResult[Any]) -> None:
        self.stage = "over" if result.done else "running"
        if result.reward is not None:
            self._rewards.append(result.reward)

    def _break(self, why: str) -> None:
        """Broken unless what follows ends well."""
        self.stage, self._why = "broken", why


def _fault(name: str, kind: FaultKind, message: str, *, over: bool = False) -> StepResult[Any]:
    return StepResult(ToolAnswer(name[:MAX_ID], error=ToolFault(kind, message)), done=over, truncated=over)


def _no_episode(name: str) -> EnvironmentExecutionException:
    return EnvironmentExecutionException(
        f"there is no episode of {name!r} yet: reset begins one", code="no_episode", subject=name
    )


def _id_of(given: Any) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID:
        raise ActionException(f"episode_id must be text of 1 to {MAX_ID} characters, found {given!r:.80}")
    return given
