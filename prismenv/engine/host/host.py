"""The host: instances of environments for whoever asks, as many as there is room for.

Theory of operation. A place is taken before an environment is made and given back when it has closed. Who finds none
waits in one queue, in the order of coming, for a limited time; a place that becomes free goes to the first in it whose
tenant has not got all of his own. Nothing else is shared: instances run beside each other, and each lets in one caller
at a time. Who stops using an instance loses it when its lease is over: `sweep` looks for those.
"""

import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from loguru import logger

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.clock import Clock
from prismenv.contracts.face import EpisodeTypes
from prismenv.engine.host.instance import Instance
from prismenv.words.errors import EnvironmentException, HostException
from prismenv.words.seeding import derive_seed

SWEEP_SECONDS = 1.0
# A new environment by name and seed; not open yet. RegistryException or ConfigurationException where there is none.
MakeEnvironment = Callable[[str, int], BaseEnvironment]


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What a host holds at most. `per_tenant` None: a tenant may have all places.

    `lease_seconds`: an instance that nobody used for so long is closed. `queue_seconds`: how long somebody waits for a
    place; `waiting`: how many do at once.
    """

    instances: int = 1024
    per_tenant: int | None = None
    lease_seconds: float = 1800.0
    queue_seconds: float = 30.0
    waiting: int = 4096


@dataclass(slots=True)
class _Waiter:
    tenant: str
    called: anyio.Event = field(default_factory=anyio.Event)


class EnvironmentHost:
    """`seed` is what the seeds of instances come from that name none in their resets."""

    def __init__(self, make: MakeEnvironment, clock: Clock, limits: HostLimits, *, seed: int) -> None:
        self.limits = limits
        self._make = make
        self._clock = clock
        self.seed = seed
        self._opened = 0
        self._taken: Counter[str] = Counter()
        self._queue: deque[_Waiter] = deque()
        self._instances: dict[str, Instance] = {}
        self._types: dict[type[BaseEnvironment], EpisodeTypes] = {}
        self._stopping = False

    @property
    def active(self) -> int:
        """How many places are taken."""
        return self._taken.total()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._queue)

    @property
    def stopping(self) -> bool:
        """Whether nothing new is begun any more."""
        return self._stopping

    async def open(self, name: str, tenant: str = "", *, lease_seconds: float | None = None) -> Instance:
        """A new instance of the environment, which `release` gives back.

        HostException `capacity_reached` where no place became free in time, `stopping` where there will be none; and
        what making the environment raises.
        """
        await self._take_place(tenant)
        try:
            self._opened += 1
            seed = derive_seed(self.seed, "instance", self._opened)
            environment = self._make(name, seed)
            instance = Instance(
                self._clock.new_id("instance"),
                environment,
                self._clock,
                seed=seed,
                lease_seconds=lease_seconds or self.limits.lease_seconds,
                types=self._types_of(environment),
                owner=tenant,
            )
            with anyio.fail_after(environment.config.timeout):
                await environment.initialize()
        except TimeoutError as error:
            self._give_back(tenant)
            raise HostException(f"{name!r} was not ready in time", code="not_ready", subject=name) from error
        except BaseException:
            self._give_back(tenant)
            raise
        self._instances[instance.instance_id] = instance
        return instance

    async def release(self, instance: Instance, why: str = "it was closed") -> None:
        """Close the instance, whatever it does, and give its place to the next."""
        if self._instances.pop(instance.instance_id, None) is None:
            return
        try:
            await instance.close(why)
        except EnvironmentException as error:  # boundary: nobody is left who could do something about it
            logger.warning("{} did not close in good order: {}", instance.name, error)
        finally:
            self._give_back(instance.owner)

    @asynccontextmanager
    async def place(self, tenant: str = "") -> AsyncIterator[None]:
        """A place for work that is no episode, such as a whole challenge; waits and refuses as `open` does."""
        await self._take_place(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def sweep(self) -> None:
        """Close what nobody uses any more, for ever; one that takes its time to close holds up no other."""
        async with anyio.create_task_group() as closing:
            while True:
                await self._clock.sleep(SWEEP_SECONDS)
                for instance in list(self._instances.values()):
                    if instance.expired:
                        closing.start_soon(self.release, instance, "nobody used it within its lease")

    async def drain(self, grace_seconds: float) -> None:
        """Begin nothing new, let calls that run end within the grace, and close everything."""
        self._stopping = True
        for waiter in self._queue:
            waiter.called.set()
        end = self._clock.monotonic() + grace_seconds
        while self._works() and self._clock.monotonic() < end:
            await self._clock.sleep(0.05)
        await self.close()

    async def close(self) -> None:
        """Close everything now."""
        self._stopping = True
        async with anyio.create_task_group() as closing:
            for instance in list(self._instances.values()):
                closing.start_soon(self.release, instance, "the host stopped")

    def _works(self) -> bool:
        """Whether a call runs or waits, or a place is taken by what is no instance: a challenge, or one that opens."""
        return self.active > len(self._instances) or any(each.busy for each in self._instances.values())

    def _types_of(self, environment: BaseEnvironment) -> EpisodeTypes:
        """Read once for each class: validators are made of them."""
        cls = type(environment)
        if cls not in self._types:
            self._types[cls] = EpisodeTypes(cls)
        return self._types[cls]

    async def _take_place(self, tenant: str) -> None:
        if self._stopping:
            raise _stopping()
        if not self._queue and self.has_room(tenant):
            self._taken[tenant] += 1
            return
        if len(self._queue) >= self.limits.waiting:
            raise self._full()
        waiter = _Waiter(tenant)
        self._queue.append(waiter)
        self._call_next()
        try:
            with anyio.move_on_after(self.limits.queue_seconds):
                await waiter.called.wait()
        except BaseException:
            if not self._leave(waiter):
                self._give_back(tenant)  # the place came together with the cancellation
            raise
        if self._leave(waiter):
            raise _stopping() if self._stopping else self._full()

    def _leave(self, waiter: _Waiter) -> bool:
        """Take a waiter out of the queue; false where it was called in before."""
        if waiter in self._queue:
            self._queue.remove(waiter)
            return True
        return False

    def _give_back(self, tenant: str) -> None:
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        self._call_next()

    def _call_next(self) -> None:
        """Give places to those who wait: a tenant who has all of his own holds up nobody else."""
        for waiter in list(self._queue):
            if self._taken.total() >= self.limits.instances:
                return
            if self.has_room(waiter.tenant) and not self._stopping:
                self._queue.remove(waiter)
                self._taken[waiter.tenant] += 1
                waiter.called.set()

    def has_room(self, tenant: str) -> bool:
        """Whether a place is free for that tenant."""
        own = math.inf if self.limits.per_tenant is None else self.limits.per_tenant
        return self._taken.total() < self.limits.instances and self._taken[tenant] < own

    def _full(self) -> HostException:
        return HostException(
            f"all of {self.limits.instances} places are taken, or all of a tenant's own",
            code="capacity_reached",
            hint="Close what is not used, or ask again later.",
        )


def _stopping() -> HostException:
    return HostException("the host is stopping and begins nothing new", code="stopping")
