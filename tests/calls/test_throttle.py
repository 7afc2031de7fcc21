"""Limits hold in every window, whatever comes and however long it takes; what may start is not held back."""

import math
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv.contracts.recipe import ModelLimits
from prismenv.sessions.calls.gates import Gate, passing
from prismenv.sessions.calls.throttle import Throttle
from prismenv.testing.clock import ManualClock, VirtualClock
from prismenv.words.errors import AgentCommunicationException

pytestmark = pytest.mark.anyio


@dataclass
class Call:
    arrives: float
    lasts: float
    tokens: int


CALLS = st.lists(st.builds(Call, st.floats(0, 90), st.floats(0.01, 40), st.integers(1, 60)), min_size=1, max_size=25)
LIMITS = st.builds(
    ModelLimits,
    concurrency=st.none() | st.integers(1, 4),
    requests_per_minute=st.none() | st.integers(1, 6),
    tokens_per_minute=st.none() | st.integers(30, 150),
)


async def served(calls: list[Call], gates: list[Gate], clock: VirtualClock) -> list[tuple[float, float, int]]:
    """When each call went out and ended, and its tokens."""
    done: list[tuple[float, float, int]] = []

    async def one(call: Call) -> None:
        await clock.sleep(call.arrives)
        async with passing(gates, call.tokens, None) as passage:
            sent = clock.monotonic()
            await clock.sleep(call.lasts)
            passage.used_tokens = call.tokens
        done.append((sent, clock.monotonic(), call.tokens))

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(one, call)
    return done


@settings(max_examples=40)
@given(CALLS, LIMITS, LIMITS)
def test_no_window_of_a_minute_holds_more_than_the_limits_and_everybody_is_served(
    calls: list[Call], of_model: ModelLimits, of_provider: ModelLimits
) -> None:
    async def main() -> list[tuple[float, float, int]]:
        async with VirtualClock() as clock:
            gates = [Gate("model", clock), Gate("provider", clock)]
            for gate, limits in zip(gates, (of_model, of_provider), strict=True):
                gate.join(limits)
            return await served(calls, gates, clock)

    done = anyio.run(main)
    assert len(done) == len(calls)
    for limits in (of_model, of_provider):
        for start, _, _ in done:
            inside = [call for call in done if start <= call[0] < start + 60 - 1e-6]
            if limits.requests_per_minute is not None:
                assert len(inside) <= limits.requests_per_minute
            if limits.tokens_per_minute is not None:
                most = limits.tokens_per_minute
                assert sum(tokens for _, _, tokens in inside) <= max(most, *(tokens for _, _, tokens in inside))
            if limits.concurrency is not None:
                assert sum(sent <= start < end - 1e-9 for sent, end, _ in done) <= limits.concurrency


@given(st.lists(st.integers(0, 30), min_size=2, max_size=12))
def test_who_comes_first_goes_first(arrivals: list[int]) -> None:
    order: list[int] = []

    async def main() -> None:
        async with VirtualClock() as clock:
            gate = Gate("model", clock)
            gate.join(ModelLimits(concurrency=1))

            async def one(number: int) -> None:
                await clock.sleep(arrivals[number])
                async with passing([gate], 1, None):
                    order.append(number)
                    await clock.sleep(7)

            async with anyio.create_task_group() as tasks:
                for number in range(len(arrivals)):
                    tasks.start_soon(one, number)

    anyio.run(main)
    assert order == sorted(range(len(arrivals)), key=lambda number: (arrivals[number], number))


def start(throttle: Throttle, now: float, tokens: int = 1) -> Any:
    assert throttle.wait_seconds(now, tokens) == 0
    entry = throttle.start(now, tokens)
    throttle.sent(entry, now)
    return entry


def test_what_a_call_did_not_use_is_free_for_the_next() -> None:
    throttle = Throttle()
    throttle.tokens_per_minute = 100
    entry = start(throttle, 0, 90)
    assert throttle.wait_seconds(10, 20) == 50
    throttle.finish(entry, 30)
    assert throttle.wait_seconds(10, 20) == 0
    assert throttle.wait_seconds(10, 80) == 50


def test_a_call_above_the_whole_limit_goes_out_alone() -> None:
    throttle = Throttle()
    throttle.tokens_per_minute = 100
    start(throttle, 0, 5000)
    assert throttle.wait_seconds(1, 1) == 59
    assert throttle.wait_seconds(60, 5000) == 0


def test_a_call_that_never_went_out_is_not_counted() -> None:
    throttle = Throttle()
    throttle.requests_per_minute = 1
    throttle.finish(throttle.start(0, 1))
    assert throttle.wait_seconds(0, 1) == 0


def test_what_waits_elsewhere_is_counted_until_it_went_out_and_a_minute_longer() -> None:
    throttle = Throttle()
    throttle.requests_per_minute = 1
    entry = throttle.start(0, 1)
    assert throttle.wait_seconds(100, 1) is None
    throttle.sent(entry, 100)
    assert throttle.wait_seconds(101, 1) == 59


def test_a_refusal_stops_all_for_as_long_as_it_asks_and_longer_each_time_without_a_word() -> None:
    throttle = Throttle()
    first = start(throttle, 0)
    throttle.refused(first, 0, 7.0)
    throttle.finish(first)
    assert throttle.wait_seconds(1, 1) == 6
    waits = []
    for now in (100, 200, 300):
        entry = start(throttle, now)
        throttle.refused(entry, now, None)
        throttle.finish(entry)
        waits.append(throttle.wait_seconds(now, 1))
    assert waits == [1, 2, 4]
    throttle.answered()
    entry = start(throttle, 400)
    throttle.refused(entry, 400, None)
    throttle.finish(entry)
    assert throttle.wait_seconds(400, 1) == 1


def test_refusals_halve_how_many_run_at_once_and_answers_bring_them_back() -> None:
    throttle = Throttle()
    entries = [start(throttle, 0) for _ in range(8)]
    for entry in entries:  # all of one burst: one halving
        throttle.refused(entry, 1, 0.5)
    for entry in entries:
        throttle.finish(entry)

    def at_once(now: float) -> int:
        running = []
        while len(running) < 99 and throttle.wait_seconds(now, 1) == 0:
            running.append(throttle.start(now, 1))
        for entry in running:
            throttle.finish(entry)
        return len(running)

    assert at_once(2) == 4
    one = start(throttle, 3)
    throttle.refused(one, 3, 0.5)
    throttle.finish(one)
    assert at_once(4) == 1  # no more ran when it was refused
    counts = []
    for now in range(5, 200):
        throttle.answered()
        counts.append(at_once(now))
    assert counts == sorted(counts)
    assert counts[-1] == 99


def test_the_strictest_limits_of_those_who_are_there_hold() -> None:
    gate = Gate("model", ManualClock())
    wide, narrow = ModelLimits(concurrency=3), ModelLimits(concurrency=1, requests_per_minute=5)
    gate.join(wide)
    gate.join(narrow)
    limits = gate._throttle
    assert (limits.concurrency, limits.requests_per_minute) == (1, 5)
    gate.leave(narrow)
    assert (limits.concurrency, limits.requests_per_minute) == (3, None)
    gate.leave(wide)
    assert limits.concurrency is None


async def test_who_gives_up_in_the_queue_holds_up_nobody() -> None:
    async with VirtualClock() as clock:
        gate = Gate("model", clock)
        gate.join(ModelLimits(concurrency=1))
        passed: list[str] = []

        async def one(name: str, scope: anyio.CancelScope) -> None:
            with scope:
                async with passing([gate], 1, None):
                    passed.append(name)
                    await clock.sleep(10)

        scopes = [anyio.CancelScope() for _ in range(4)]
        async with anyio.create_task_group() as tasks:
            for name, scope in zip("abcd", scopes, strict=True):
                tasks.start_soon(one, name, scope)
            await clock.sleep(5)
            scopes[1].cancel()
            scopes[2].cancel()
        assert passed == ["a", "d"]


async def test_a_place_that_cannot_come_before_the_deadline_is_refused_at_once() -> None:
    clock = ManualClock()
    gate = Gate("openai/x", clock)
    gate.join(ModelLimits(requests_per_minute=1))
    async with passing([gate], 1, None):
        pass
    before = clock.monotonic()
    with pytest.raises(AgentCommunicationException, match=r"openai/x: .* no room before the deadline") as caught:
        async with passing([gate], 1, before + 30):
            pytest.fail("there was no place")
    assert (caught.value.code, caught.value.retry_after_seconds, clock.monotonic()) == ("rate_limited", 60, before)


def test_runs_in_loops_of_several_threads_share_a_gate() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from prismenv.contracts.clock import SystemClock

    gate = Gate("model", SystemClock())
    gate.join(ModelLimits(concurrency=2))
    running, most = 0, 0

    async def one() -> None:
        nonlocal running, most
        async with passing([gate], 1, None):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async def many() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(one)

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(anyio.run, many) for _ in range(3)]:
            done.result(timeout=60)
    assert 0 < most <= 2
    assert math.isclose(running, 0)
