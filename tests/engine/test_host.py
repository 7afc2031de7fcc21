"""Places, leases, queues and quotas of a host, on a clock that is turned by hand."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from prismenv import BaseEnvironment, HostException, environment_registry
from prismenv.contracts.services import Services
from prismenv.engine.host.duration import read_duration
from prismenv.engine.host.host import EnvironmentHost, HostLimits
from prismenv.engine.host.instance import Instance
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock, VirtualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.errors import ConfigurationException, RegistryException

pytestmark = pytest.mark.anyio
NAME = "environment_counted"


class Counted(BaseEnvironment):
    """Knows how many of it are open; `boom` in its configuration keeps it from opening."""

    open_now = 0

    async def initialize(self) -> None:
        if self.config.get("boom"):
            raise OSError("no device")
        type(self).open_now += 1

    async def reset(self) -> dict[str, int]:
        return {"dice": self.random("dice").randint(0, 10**9)}

    async def step(self, action: str) -> str:
        if action == "hang":
            await anyio.sleep_forever()
        return action

    async def close(self) -> None:
        type(self).open_now -= 1
        if self.config.get("cancels"):  # as what ends a task of its own and waits for it
            task = asyncio.ensure_future(anyio.sleep_forever())
            task.cancel()
            await task


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    with environment_registry.isolated():
        environment_registry.register(NAME)(Counted)
        Counted.open_now = 0
        yield


Make = Callable[..., EnvironmentHost]


@pytest.fixture
def host_of() -> Make:
    """`host_of(clock, boom=…, cancels=…, seed=…, **limits)`."""

    def build(
        clock: ManualClock, *, boom: bool = False, cancels: bool = False, seed: int = 1, **limits: Any
    ) -> EnvironmentHost:
        interface = InProcessInterface({}, lambda _role: ScriptedTransport({}), clock)
        services = Services(interface=interface, sandbox=ScriptedSandbox(), clock=clock)

        def make(name: str, instance_seed: int) -> BaseEnvironment:
            return BaseEnvironment(
                name, config={"boom": boom, "cancels": cancels}, services=services, seed=instance_seed
            )

        return EnvironmentHost(make, clock, HostLimits(**limits), seed=seed)

    return build


async def test_instances_run_beside_each_other_and_do_not_know_of_each_other(host_of: Make) -> None:
    host = host_of(ManualClock())
    one, other = await host.open(NAME), await host.open(NAME)
    await one.reset()
    await other.reset()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.step, "hang")
        await anyio.wait_all_tasks_blocked()
        assert (await other.step("a")).observation == "a"
        tasks.cancel_scope.cancel()
    assert Counted.open_now == 2
    await host.close()
    assert (Counted.open_now, host.active) == (0, 0)


async def test_a_full_host_lets_wait_in_order_and_gives_each_place_to_the_next(host_of: Make) -> None:
    host = host_of(ManualClock(), instances=1)
    held = await host.open(NAME)
    got: list[int] = []

    async def take(number: int) -> None:
        instance = await host.open(NAME)
        got.append(number)
        await host.release(instance)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(take, number)
            await anyio.wait_all_tasks_blocked()
        assert (host.waiting, got) == (5, [])
        await host.release(held)
    assert got == [0, 1, 2, 3, 4]
    assert (host.active, Counted.open_now) == (0, 0)


async def test_who_waits_too_long_or_finds_the_queue_full_is_refused(host_of: Make) -> None:
    host = host_of(ManualClock(), instances=1, waiting=1, queue_seconds=0.05)
    held = await host.open(NAME)
    refusals: list[str] = []

    async def refused() -> None:
        with pytest.raises(HostException) as full:
            await host.open(NAME)
        refusals.append(full.value.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(refused)
        tasks.start_soon(refused)
    assert refusals == ["capacity_reached", "capacity_reached"]
    await host.release(held)
    assert (host.waiting, host.active) == (0, 0)
    await host.release(await host.open(NAME))


async def test_who_stops_waiting_takes_no_place_with_him(host_of: Make) -> None:
    host = host_of(ManualClock(), instances=1)
    held = await host.open(NAME)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host.open, NAME)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await host.release(held)
    assert (host.waiting, host.active) == (0, 0)


async def test_a_tenant_with_all_of_his_own_holds_up_nobody_else(host_of: Make) -> None:
    host = host_of(ManualClock(), instances=3, per_tenant=1)
    first = await host.open(NAME, "ann")
    got: list[str] = []

    async def take(tenant: str) -> None:
        await host.open(NAME, tenant)
        got.append(tenant)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, "ann")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(take, "bob")
        await anyio.wait_all_tasks_blocked()
        assert got == ["bob"]
        await host.release(first)
    assert got == ["bob", "ann"]
    await host.close()


async def test_an_instance_that_nobody_uses_is_taken_away_and_use_renews_its_lease(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock, lease_seconds=30)
        used, idle = await host.open(NAME), await host.open(NAME, lease_seconds=60)
        told: list[str] = []
        idle.on_close = told.append
        tasks.start_soon(host.sweep)
        for _ in range(10):
            await clock.sleep(20)
            await used.state()
        with pytest.raises(HostException, match="within its lease") as gone:
            await idle.state()
        assert (gone.value.code, told) == ("closed", ["nobody used it within its lease"])
        assert (host.active, Counted.open_now) == (1, 1)
        await host.close()
        tasks.cancel_scope.cancel()


async def test_leases_end_whatever_the_environments_raise_when_they_are_closed(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock, cancels=True, lease_seconds=30)
        tasks.start_soon(host.sweep)
        left = []
        for _ in range(2):
            await host.open(NAME)
            await clock.sleep(40)
            left.append((host.active, Counted.open_now))
        tasks.cancel_scope.cancel()
    assert left == [(0, 0), (0, 0)]  # out here, as what cancels the sweep would end the block above without a word


async def test_a_call_that_runs_keeps_its_instance(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock, lease_seconds=30)
        instance = await host.open(NAME)
        await instance.reset()
        tasks.start_soon(host.sweep)
        tasks.start_soon(instance.step, "hang")
        await clock.sleep(300)
        assert not instance.closed
        tasks.cancel_scope.cancel()


async def test_an_environment_that_does_not_open_takes_no_place(host_of: Make) -> None:
    broken = host_of(ManualClock(), instances=1, boom=True)
    for _ in range(3):
        with pytest.raises(Exception, match="no device"):
            await broken.open(NAME)
        with pytest.raises(RegistryException):
            await broken.open("environment_unknown")
    assert broken.active == 0


async def test_draining_lets_calls_end_refuses_what_is_new_and_closes(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock, instances=1)
        instance = await host.open(NAME)
        await instance.reset()
        codes: list[str] = []
        step = anyio.CancelScope()

        async def refused() -> None:
            with pytest.raises(HostException) as stopping:
                await host.open(NAME)
            codes.append(stopping.value.code)

        async def stepping() -> None:
            with step:
                await instance.step("hang")

        tasks.start_soon(stepping)
        tasks.start_soon(refused)  # waits for a place when the host is told to stop
        await clock.sleep(1)
        tasks.start_soon(host.drain, 3600.0)
        await clock.sleep(60)
        await refused()
        assert (codes, instance.closed) == (["stopping", "stopping"], False)
        step.cancel()
        while not instance.closed:
            await clock.sleep(1)
        assert Counted.open_now == 0


async def test_draining_lets_a_challenge_end(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock)
        begun, ended = anyio.Event(), anyio.Event()

        async def challenge() -> None:
            async with host.place():
                begun.set()
                await clock.sleep(30)
                assert host.stopping
                ended.set()

        tasks.start_soon(challenge)
        await begun.wait()
        await host.drain(3600.0)
        assert ended.is_set()


async def hanging(host: EnvironmentHost, tasks: TaskGroup) -> tuple[Instance, list[str]]:
    """An instance that is in a step without end; how that ended, and how many were open then, is in the list."""
    instance = await host.open(NAME)
    await instance.reset()
    told: list[str] = []

    async def step() -> None:
        try:
            await instance.step("hang")
        except HostException as error:
            told.append(f"{error.code}, {Counted.open_now} open")

    tasks.start_soon(step)
    await anyio.wait_all_tasks_blocked()
    return instance, told


async def test_a_step_that_outlasts_the_grace_is_given_up_and_the_host_closes(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock)
        instance, told = await hanging(host, tasks)
        before = clock.monotonic()
        await host.drain(45.0)
        assert clock.monotonic() - before >= 45
        assert (instance.closed, Counted.open_now, told) == (True, 0, ["closed, 1 open"])


async def test_the_same_seed_gives_the_same_instances(host_of: Make) -> None:
    async def dice(seed: int) -> list[Any]:
        host = host_of(ManualClock(), seed=seed)
        found = [(await (await host.open(NAME)).reset()).observation for _ in range(3)]
        await host.close()
        return found

    assert await dice(1) == await dice(1)
    assert await dice(1) != await dice(2)
    assert len({each["dice"] for each in await dice(1)}) == 3


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("1h", 3600), ("30m", 1800), ("90s", 90), ("1h30m", 5400), ("1d", 86400), (" 2M ", 120), (90, 90), ("0.5", 0.5)],
)
def test_a_time_is_written_as_people_do(given: Any, seconds: float) -> None:
    assert read_duration(given, "lease") == seconds


@pytest.mark.parametrize(
    "given",
    ["", "0", "-1", "1x", "m", "1h 30", "nan", "1e9", "٣h", True, None, 0, -5, float("inf"), [], "9" * 50 + "h"],
)
def test_what_is_no_time_is_refused_with_what_it_may_be(given: Any) -> None:
    with pytest.raises(ConfigurationException, match='"30m"'):
        read_duration(given, "lease")


@given(st.one_of(st.text(max_size=60), st.floats(), st.integers()))
def test_a_time_is_a_number_above_0_or_an_error(given: Any) -> None:
    try:
        assert 0 < read_duration(given, "lease") <= 365 * 86_400
    except ConfigurationException as error:
        assert error.code == "bad_duration"  # noqa: PT017 - either is right


async def test_an_instance_that_is_closed_gives_up_the_step_that_runs_and_closes_after_it(host_of: Make) -> None:
    async with VirtualClock() as clock, anyio.create_task_group() as tasks:
        host = host_of(clock)
        instance, told = await hanging(host, tasks)
        await host.release(instance, "it was closed")
        assert told == ["closed, 1 open"]
        assert Counted.open_now == 0
