"""Many instances in one call: each is answered by itself, with a result or an error of its own."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio

from prismenv.contracts.episode import StepResult
from prismenv.engine.host.instance import Instance
from prismenv.engine.host.named import NamedInstances
from prismenv.words.errors import EnvironmentException, EnvironmentExecutionException, HostException

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchStep:
    """A step of one instance. `timeout_seconds` None: the environment's. `request_id` None: the step has no name."""

    action: Any
    timeout_seconds: float | None = None
    request_id: str | None = None


class InstanceBatch:
    """A tenant's instances of one environment, by names that the tenant chose. They run beside each other.

    Every call gives a mapping with the names that were asked for, in their order: what each came to, or the
    EnvironmentException that it raised. A name without an instance is such an error but in `reset`, which makes one.
    """

    def __init__(self, instances: NamedInstances, tenant: str, environment: str) -> None:
        self._instances = instances
        self._tenant = tenant
        self._environment = environment

    async def reset(
        self, resets: Mapping[str, Mapping[str, Any]], request_id: str | None = None
    ) -> dict[str, StepResult[Any] | EnvironmentException]:
        """Begin an episode of each, by name with the options of its reset. `request_id`: see Instance.reset."""

        async def call(name: str) -> StepResult[Any]:
            instance = await self._instances.get_or_open(self._tenant, self._environment, name)
            return await instance.reset(resets[name], request_id=request_id)

        return await _each(resets, call)

    async def step(self, steps: Mapping[str, BatchStep]) -> dict[str, StepResult[Any] | EnvironmentException]:
        """One step of each."""

        async def call(name: str) -> StepResult[Any]:
            step = steps[name]
            return await self._there(name).step(step.action, step.timeout_seconds, request_id=step.request_id)

        return await _each(steps, call)

    async def state(self, names: Iterable[str]) -> dict[str, dict[str, Any] | EnvironmentException]:
        """The state of each."""
        return await _each(names, lambda name: self._there(name).state())

    async def system_prompt(self, names: Iterable[str]) -> dict[str, str | EnvironmentException | None]:
        """What a policy is told before the first observation of each. One that is not there yet is made."""

        async def call(name: str) -> str | None:
            instance = await self._instances.get_or_open(self._tenant, self._environment, name)
            return await instance.system_prompt()

        return await _each(names, call)

    async def compute_reward(self, names: Iterable[str]) -> dict[str, float | EnvironmentException | None]:
        """The reward of each episode so far. None: nothing was measured."""
        return await _each(names, lambda name: self._there(name).compute_reward())

    async def open(self, names: Iterable[str]) -> dict[str, EnvironmentException | None]:
        """Make those that are not there yet. One that had to make room for another of them is an error."""

        async def call(name: str) -> None:
            await self._instances.get_or_open(self._tenant, self._environment, name)

        made = await _each(names, call)
        for name, error in made.items():
            if error is None and self._instances.find(self._tenant, self._environment, name) is None:
                made[name] = HostException("there is no room for all of them", code="capacity_reached")
        return made

    async def close(self, names: Iterable[str]) -> dict[str, EnvironmentException | None]:
        """Let go of each; one that is not there is no error."""
        return await _each(names, lambda name: self._instances.close(self._tenant, self._environment, name))

    def _there(self, name: str) -> Instance:
        instance = self._instances.find(self._tenant, self._environment, name)
        if instance is None:
            raise EnvironmentExecutionException(
                f"there is no episode {name!r:.80} of {self._environment!r} here, or its lease is over; reset it",
                code="no_episode",
                subject=self._environment,
            )
        return instance


async def _each(names: Iterable[str], call: Callable[[str], Awaitable[T]]) -> dict[str, T | EnvironmentException]:
    outcomes: dict[str, T | EnvironmentException] = {}

    async def run(name: str) -> None:
        try:
            outcomes[name] = await call(name)
        except EnvironmentException as error:
            outcomes[name] = error

    wanted = list(dict.fromkeys(names))
    async with anyio.create_task_group() as group:
        for name in wanted:
            group.start_soon(run, name)
    return {name: outcomes[name] for name in wanted}
